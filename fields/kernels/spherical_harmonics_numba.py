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
