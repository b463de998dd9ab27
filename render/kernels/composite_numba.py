"""Packed volume rendering on the CPU: one loop per ray, front to back, and back to front for the gradient."""

import numpy as np
import torch
from numba import prange
from torch import Tensor

from ...fields.kernels.numba_runtime import CHUNKS, compiled_parallel
from ...fields.kernels.numba_runtime import supports as supports


def forward(
    density: Tensor, color: Tensor, t_starts: Tensor, t_ends: Tensor, ray_starts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Colour, opacity, depth and distortion per ray, and weight per sample; see the reference."""
    rays = len(ray_starts) - 1
    out = np.empty((rays, color.shape[1] + 3), np.float32)
    weights = np.empty(len(density), np.float32)
    _forward(*_arrays(density, color, t_starts, t_ends, ray_starts), out, weights)
    total = torch.from_numpy(out)
    return total[:, :-3], total[:, -3], total[:, -2], total[:, -1], torch.from_numpy(weights)


def backward(
    density: Tensor,
    color: Tensor,
    t_starts: Tensor,
    t_ends: Tensor,
    ray_starts: Tensor,
    for_color: Tensor,
    for_opacity: Tensor,
    for_depth: Tensor,
    for_distortion: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to density and colour, from those of the four outputs."""
    density_gradient = np.empty(len(density), np.float32)
    color_gradient = np.empty((color.shape[1], len(density)), np.float32)
    outer = torch.cat([for_color, *(slope[:, None] for slope in (for_opacity, for_depth, for_distortion))], dim=1)
    _backward(*_arrays(density, color, t_starts, t_ends, ray_starts), outer.numpy(), density_gradient, color_gradient)
    return torch.from_numpy(density_gradient), torch.from_numpy(color_gradient).T


def thin(
    density: Tensor,
    t_starts: Tensor,
    t_ends: Tensor,
    ray_starts: Tensor,
    transmittance: Tensor,
    *,
    least_weight: float,
    least_transmittance: float,
) -> Tensor:
    """Which samples can be seen; and carries the rays' transmittance through all samples, in place."""
    keep = np.empty(len(density), np.bool_)
    arrays = (tensor.detach().contiguous().numpy() for tensor in (density, t_starts, t_ends, ray_starts))
    _thin(*arrays, transmittance.numpy(), np.float32(least_weight), np.float32(least_transmittance), keep)
    return torch.from_numpy(keep)


def _arrays(density: Tensor, color: Tensor, *rest: Tensor) -> tuple[np.ndarray, ...]:
    if rest[-1][-1] != len(density):
        raise ValueError(f"ray_starts must end with the number of samples, {len(density)}; found {int(rest[-1][-1])}.")
    colors = np.ascontiguousarray(color.detach().float().numpy().T)
    return _flat(density), colors, *(_flat(tensor) for tensor in rest)


def _flat(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().numpy())


# Distortion needs, of each sample, `lag`: the sum over the samples before it of weight times distance to them. It grows
# from sample to sample by the weight so far times the way to the next one: no differences of large sums.


@compiled_parallel
def _forward(density, color, t_starts, t_ends, ray_starts, out, weights):
    rays, channels = out.shape[0], color.shape[0]
    half, third = np.float32(0.5), np.float32(1.0 / 3.0)
    for chunk in prange(CHUNKS):
        for ray in range(rays * chunk // CHUNKS, rays * (chunk + 1) // CHUNKS):
            out[ray] = 0.0
            transmittance = np.float32(1.0)
            mass = np.float32(0.0)  # of the samples before this one
            lag = np.float32(0.0)
            previous = np.float32(0.0)
            for i in range(ray_starts[ray], ray_starts[ray + 1]):
                length, middle = t_ends[i] - t_starts[i], half * (t_starts[i] + t_ends[i])
                absorbed = -np.expm1(-density[i] * length)
                weight = transmittance * absorbed
                weights[i] = weight
                for channel in range(channels):
                    out[ray, channel] += weight * color[channel, i]
                out[ray, channels] += weight
                out[ray, channels + 1] += weight * middle
                lag += mass * (middle - previous)
                out[ray, channels + 2] += weight * (lag + lag + weight * length * third)
                mass += weight
                previous = middle
                transmittance *= np.float32(1.0) - absorbed


@compiled_parallel
def _backward(density, color, t_starts, t_ends, ray_starts, outer, density_gradient, color_gradient):
    rays, channels = outer.shape[0], color.shape[0]
    half, third = np.float32(0.5), np.float32(1.0 / 3.0)
    for chunk in prange(CHUNKS):
        for ray in range(rays * chunk // CHUNKS, rays * (chunk + 1) // CHUNKS):
            transmittance = np.float32(1.0)
            mass = np.float32(0.0)
            lag = np.float32(0.0)
            previous = np.float32(0.0)
            for i in range(ray_starts[ray], ray_starts[ray + 1]):
                length, middle = t_ends[i] - t_starts[i], half * (t_starts[i] + t_ends[i])
                absorbed = -np.expm1(-density[i] * length)
                lag += mass * (middle - previous)
                mass += transmittance * absorbed
                previous = middle
                density_gradient[i] = transmittance  # both are kept here until the second loop needs them
                color_gradient[0, i] = lag
                transmittance *= np.float32(1.0) - absorbed
            behind = np.float32(0.0)  # sum over the samples behind i of their weight times the gradient of their weight
            mass = np.float32(0.0)
            lead = np.float32(0.0)  # as `lag`, of the samples behind
            for i in range(ray_starts[ray + 1] - 1, ray_starts[ray] - 1, -1):
                length, middle = t_ends[i] - t_starts[i], half * (t_starts[i] + t_ends[i])
                absorbed = -np.expm1(-density[i] * length)
                before = density_gradient[i]
                after, weight = before * (np.float32(1.0) - absorbed), before * absorbed
                lead += mass * (previous - middle)
                mass += weight
                previous = middle
                spread = color_gradient[0, i] + lead + weight * length * third
                slope = outer[ray, channels] + outer[ray, channels + 1] * middle
                slope += np.float32(2.0) * outer[ray, channels + 2] * spread
                for channel in range(channels):
                    slope += outer[ray, channel] * color[channel, i]
                    color_gradient[channel, i] = outer[ray, channel] * weight
                density_gradient[i] = length * (after * slope - behind)
                behind += weight * slope


@compiled_parallel
def _thin(density, t_starts, t_ends, ray_starts, transmittance, least_weight, least_transmittance, keep):
    rays = len(transmittance)
    for chunk in prange(CHUNKS):
        for ray in range(rays * chunk // CHUNKS, rays * (chunk + 1) // CHUNKS):
            arriving = transmittance[ray]
            for i in range(ray_starts[ray], ray_starts[ray + 1]):
                passed = np.exp(-density[i] * (t_ends[i] - t_starts[i]))
                seen = arriving * (np.float32(1.0) - passed) > least_weight
                keep[i] = seen and arriving > least_transmittance
                arriving *= passed
            transmittance[ray] = arriving
