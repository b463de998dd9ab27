"""Real spherical harmonics on the CPU: all values of a direction at once, written as rows [harmonic, direction]."""

import numpy as np
import torch
from numba import prange
from torch import Tensor

from .numba_runtime import CHUNKS, exact_parallel
from .numba_runtime import supports as supports
from .spherical_harmonics_reference import B0, B1, B2M0, B2M1, B2M2, B3M0, B3M1, B3M2, B3M3

_FACTORS = np.array([B0, B1, B2M0, B2M1, B2M2, B3M0, B3M1, B3M2, B3M3], np.float32)


def forward(directions: Tensor, degree: int) -> Tensor:
    """Values (samples, degree²) at directions (samples, 3); see the reference."""
    out = np.empty((degree * degree, len(directions)), np.float32)
    _forward(np.ascontiguousarray(directions.detach().numpy()), degree, _FACTORS, out)
    return torch.from_numpy(out).T


def backward(directions: Tensor, gradient: Tensor, degree: int) -> Tensor:
    """Gradient of `sum(gradient * forward(directions))` by the directions."""
    out = np.empty((len(directions), 3), np.float32)
    slopes = np.ascontiguousarray(gradient.detach().numpy().T)
    _backward(np.ascontiguousarray(directions.detach().numpy()), slopes, degree, _FACTORS, out)
    return torch.from_numpy(out)


@exact_parallel
def _forward(directions, degree, factors, out):
    b0, b1, b2m0, b2m1, b2m2, b3m0, b3m1, b3m2, b3m3 = factors
    one, two, three, five = np.float32(1.0), np.float32(2.0), np.float32(3.0), np.float32(5.0)
    count = len(directions)
    for chunk in prange(CHUNKS):
        for s in range(count * chunk // CHUNKS, count * (chunk + 1) // CHUNKS):
            x, y, z = directions[s, 0], directions[s, 1], directions[s, 2]
            xx, yy, zz = x * x, y * y, z * z
            out[0, s] = b0
            if degree > 1:
                out[1, s], out[2, s], out[3, s] = -b1 * y, b1 * z, -b1 * x
            if degree > 2:
                out[4, s], out[5, s], out[6, s] = b2m1 * x * y, -b2m1 * y * z, b2m0 * (three * zz - one)
                out[7, s], out[8, s] = -b2m1 * x * z, b2m2 * (xx - yy)
            if degree > 3:
                out[9, s], out[10, s] = -b3m3 * y * (three * xx - yy), two * b3m2 * x * y * z
                out[11, s], out[12, s] = -b3m1 * y * (five * zz - one), b3m0 * z * (five * zz - three)
                out[13, s], out[14, s] = -b3m1 * x * (five * zz - one), b3m2 * z * (xx - yy)
                out[15, s] = -b3m3 * x * (xx - three * yy)


@exact_parallel
def _backward(directions, slopes, degree, factors, out):
    _, b1, b2m0, b2m1, b2m2, b3m0, b3m1, b3m2, b3m3 = factors
    one, two, three, five = np.float32(1.0), np.float32(2.0), np.float32(3.0), np.float32(5.0)
    six, ten, fifteen = np.float32(6.0), np.float32(10.0), np.float32(15.0)
    count = len(directions)
    for chunk in prange(CHUNKS):
        for s in range(count * chunk // CHUNKS, count * (chunk + 1) // CHUNKS):
            x, y, z = directions[s, 0], directions[s, 1], directions[s, 2]
            by_x = by_y = by_z = np.float32(0.0)
            if degree > 1:
                by_x, by_y, by_z = -b1 * slopes[3, s], -b1 * slopes[1, s], b1 * slopes[2, s]
            if degree > 2:
                by_x += b2m1 * (y * slopes[4, s] - z * slopes[7, s]) + two * b2m2 * x * slopes[8, s]
                by_y += b2m1 * (x * slopes[4, s] - z * slopes[5, s]) - two * b2m2 * y * slopes[8, s]
                by_z += six * b2m0 * z * slopes[6, s] - b2m1 * (y * slopes[5, s] + x * slopes[7, s])
            if degree > 3:
                squares, slant = x * x - y * y, five * z * z - one
                by_x -= b3m3 * (six * x * y * slopes[9, s] + three * squares * slopes[15, s])
                by_x += two * b3m2 * z * (y * slopes[10, s] + x * slopes[14, s]) - b3m1 * slant * slopes[13, s]
                by_y += b3m3 * (six * x * y * slopes[15, s] - three * squares * slopes[9, s])
                by_y += two * b3m2 * z * (x * slopes[10, s] - y * slopes[14, s]) - b3m1 * slant * slopes[11, s]
                by_z += b3m2 * (two * x * y * slopes[10, s] + squares * slopes[14, s])
                by_z -= ten * b3m1 * z * (y * slopes[11, s] + x * slopes[13, s])
                by_z += b3m0 * (fifteen * z * z - three) * slopes[12, s]
            out[s, 0], out[s, 1], out[s, 2] = by_x, by_y, by_z
