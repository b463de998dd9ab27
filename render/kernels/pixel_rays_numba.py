"""The rays that pixels see on the CPU: one loop over pixels for perspective lenses, with or without distortion."""

import numpy as np
import torch
from numba import prange
from torch import Tensor

from ...fields.kernels.numba_runtime import CHUNKS, compiled, compiled_parallel
from ...fields.kernels.numba_runtime import supports as supports
from ..cameras import Cameras
from . import pixel_rays_reference


def rays(cameras: Cameras, pixels: Tensor, camera_indices: Tensor) -> tuple[Tensor, Tensor]:
    """Origins and unit directions; fisheye lenses, and cameras that want gradients, go through the reference."""
    if camera_indices.numel():
        first, last = (int(index) for index in camera_indices.aminmax())
        if first < 0 or last >= len(cameras):
            raise IndexError(f"camera {first if first < 0 else last} of {len(cameras)}")
    kinds = cameras.lens_kinds
    learned = any(part.requires_grad for part in (cameras.world_from_camera, cameras.focal, cameras.center))
    if kinds.any_fisheye or learned or cameras.distortion.requires_grad or pixels.requires_grad:
        return pixel_rays_reference.rays(cameras, pixels, camera_indices)
    if kinds.distorted:
        table = cameras.lens_table
        entries, per_unit, lens_of_camera = table.entries, table.entries_per_unit, table.lens_of_camera
        steps = table.radial_steps if kinds.radial_terms else -1, table.tangential_steps if kinds.tangential else 0
    else:
        entries, per_unit, lens_of_camera, steps = (
            pixels.new_ones(1, 2),
            pixels.new_ones(1),
            camera_indices[:0],
            (-1, 0),
        )
    out = np.empty((2, len(pixels), 3), np.float32)
    tensors = pixels, camera_indices, cameras.world_from_camera, cameras.focal, cameras.center, cameras.distortion
    arrays = (tensor.contiguous().numpy() for tensor in (*tensors, entries, per_unit, lens_of_camera))
    _rays(*arrays, *steps, out)
    return torch.from_numpy(out[0]), torch.from_numpy(out[1])


@compiled_parallel
def _rays(
    pixels, cameras, poses, focal, center, distortion, entries, per_unit, lenses, radial_steps, tangential_steps, out
):
    for chunk in prange(CHUNKS):
        for n in range(len(pixels) * chunk // CHUNKS, len(pixels) * (chunk + 1) // CHUNKS):
            camera = cameras[n]
            x = u = (pixels[n, 0] - center[camera, 0]) / focal[camera, 0]
            y = v = (pixels[n, 1] - center[camera, 1]) / focal[camera, 1]
            k = distortion[camera]
            if radial_steps >= 0:
                scale = _scale(k, u * u + v * v, entries[lenses[camera]], per_unit[lenses[camera]], radial_steps)
                x, y = u * scale, v * scale
            for _ in range(tangential_steps):
                x, y = _newton_plane(k, u, v, x, y)
            z = np.float32(1.0) / np.sqrt(x * x + y * y + np.float32(1.0))
            for axis in range(3):
                out[0, n, axis] = poses[camera, axis, 3]
                out[1, n, axis] = z * (poses[camera, axis, 0] * x + poses[camera, axis, 1] * y + poses[camera, axis, 2])


@compiled
def _radial_factor(k, q):
    """R(q) and dR/dq, see `camera_models`."""
    value = q * (k[0] + q * (k[1] + q * (k[2] + q * k[3])))
    slope = k[0] + q * (np.float32(2.0) * k[1] + q * (np.float32(3.0) * k[2] + np.float32(4.0) * q * k[3]))
    return np.float32(1.0) + value, slope


@compiled
def _scale(k, squared, entries, per_unit, steps):
    """Undistorted over distorted distance, see `LensTable.scale`."""
    position = squared * per_unit
    entry = min(max(int(position), 0), len(entries) - 2)
    share = min(position - np.float32(entry), np.float32(1.0))
    scale = entries[entry] + share * (entries[entry + 1] - entries[entry])
    for _ in range(steps):
        inner = scale * scale * squared
        value, slope = _radial_factor(k, inner)
        scale -= (scale * value - np.float32(1.0)) / (value + np.float32(2.0) * inner * slope)
    return scale


@compiled
def _newton_plane(k, u, v, x, y):
    """One step of `camera_models.newton_plane`."""
    two, six, p1, p2 = np.float32(2.0), np.float32(6.0), k[4], k[5]
    r2 = x * x + y * y
    radial, slope = _radial_factor(k, r2)
    error_u = x * radial + two * p1 * x * y + p2 * (r2 + two * x * x) - u
    error_v = y * radial + p1 * (r2 + two * y * y) + two * p2 * x * y - v
    du_dx = radial + two * x * x * slope + two * p1 * y + six * p2 * x
    du_dy = two * x * y * slope + two * (p1 * x + p2 * y)
    dv_dy = radial + two * y * y * slope + six * p1 * y + two * p2 * x
    inverse = np.float32(1.0) / (du_dx * dv_dy - du_dy * du_dy)
    return x - (dv_dy * error_u - du_dy * error_v) * inverse, y - (du_dx * error_v - du_dy * error_u) * inverse
