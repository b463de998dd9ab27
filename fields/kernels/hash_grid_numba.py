"""Multiresolution hash encoding on the CPU: compiled loops over blocks of samples, one level at a time.

Within a block entries and weights of all corners are computed vectorised into small arrays that stay in the first-level
cache; what remains per sample is a run of independent table reads, which is what the memory system likes
(`vector_grid`).
Features come out as [feature, sample] in memory, the layout in which the network reads them. Backward is parallel over
levels: a level's part of the table belongs to one thread, so that no atomics are needed and additions happen in a fixed
order.
"""

import functools

import numpy as np
import torch
from numba import get_num_threads, prange
from torch import Tensor

from .hash_grid_geometry import PRIMES, HashGridGeometry
from .numba_runtime import CHUNKS, compiled, compiled_parallel, exact
from .numba_runtime import supports as supports
from .vector_grid import BLOCK, corners, gather, scatter


def forward(x: Tensor, table: Tensor, geometry: HashGridGeometry) -> Tensor:
    """Features (samples, levels * features) at x (samples, d); see the reference for the formula."""
    out = np.empty((geometry.levels * geometry.features, len(x)), np.float32)
    if len(x):
        out[geometry.evaluated * geometry.features :] = 0.0
        splits = -(-get_num_threads() // geometry.evaluated)  # of a level's samples, so that every thread has work
        read = np.empty(geometry.evaluated * splits, np.float32)
        _forward(_columns(x), len(x), _entries(table, geometry), out, *_levels(geometry), splits, read)
    return torch.from_numpy(out).T


def backward(
    x: Tensor, table: Tensor, gradient: Tensor, geometry: HashGridGeometry, *, for_x: bool, for_table: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of `sum(gradient * forward(x, table))` with respect to x and to the table; None where not asked for."""
    slopes, count = np.ascontiguousarray(gradient.detach().float().numpy().T), len(x)
    coordinates = _columns(x)
    x_gradient, table_gradient = None, None
    if for_x:
        x_gradient = np.zeros((geometry.dimensions, count), np.float32)
        if count:
            _backward_x(coordinates, count, _entries(table, geometry), slopes, x_gradient, *_levels(geometry))
    if for_table:
        table_gradient = np.empty((geometry.offsets[-1], geometry.features), np.float32)
        table_gradient[geometry.offsets[geometry.evaluated] :] = 0.0
        _backward_table(coordinates, count, slopes, table_gradient, *_levels(geometry))
    return (
        None if x_gradient is None else torch.from_numpy(x_gradient).T,
        None if table_gradient is None else torch.from_numpy(table_gradient).view(-1),
    )


def _columns(x: Tensor) -> np.ndarray:
    """Coordinates as (d, samples), filled up with zeros to whole blocks."""
    columns = np.empty((x.shape[1], -(-len(x) // BLOCK) * BLOCK), np.float32)
    columns[:, : len(x)] = x.detach().float().numpy().T
    columns[:, len(x) :] = 0.0
    return columns


def _entries(table: Tensor, geometry: HashGridGeometry) -> np.ndarray:
    return np.ascontiguousarray(table.detach().float().numpy()).reshape(-1, geometry.features)


@functools.cache
def _levels(geometry: HashGridGeometry) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per open level: scale, what an axis's coordinate is multiplied by, (first entry, number of entries), hashed."""
    count, axes = geometry.evaluated, range(geometry.dimensions)
    factors = [
        [PRIMES[d] if hashed else resolution**d % 2**32 for d in axes]
        for resolution, hashed in zip(geometry.resolutions, geometry.hashed)
    ]
    ranges = np.array([geometry.offsets[:-1], geometry.entries], np.int64).T.copy()
    scales, hashed = np.array(geometry.scales, np.float32), np.array(geometry.hashed)
    return scales[:count], np.array(factors, np.uint32)[:count], ranges[:count], hashed[:count]


@exact
def _balanced(turn, levels):
    """The level of a turn: neighbouring turns go to one thread, and fine levels are slower than coarse ones."""
    half = (levels + 1) // 2
    return 2 * turn if turn < half else 2 * (turn - half) + 1


@compiled
def _stream(table, first, last):
    """Reads a level's part of the table from end to end: that brings it into the cache far faster than gathers do."""
    total = np.float32(0.0)
    lines = table[first:last].reshape(-1)
    for i in range(0, len(lines), 16):
        total += lines[i]
    return total


@compiled_parallel
def _forward(x, count, table, out, scales, factors, ranges, hashed, splits, read):
    dimensions, features, levels = x.shape[0], table.shape[1], len(scales)
    blocks = x.shape[1] // BLOCK
    for turn in prange(levels * splits):
        # A thread takes its samples through one level after the other, so that a level's part of the table stays in its
        # cache.
        level, split = _balanced(turn // splits, levels), turn % splits
        first, size = ranges[level]
        entry, weight = np.empty((1 << dimensions, BLOCK), np.uint32), np.empty((1 << dimensions, BLOCK), np.float32)
        if 64 * count > splits * size:
            read[turn] = _stream(table, first, first + size)  # kept, or else the compiler would not read at all
        for block in range(blocks * split // splits, blocks * (split + 1) // splits):
            start = block * BLOCK
            samples = min(BLOCK, count - start)
            corners(
                x, dimensions, x.shape[1], start, scales[level], factors[level], size, hashed[level], -1, entry, weight
            )
            place = level * features * count + start
            gather(table, first, features, entry, weight, 1 << dimensions, samples, out, count, place)


@compiled_parallel
def _backward_table(x, count, gradient, table_gradient, scales, factors, ranges, hashed):
    dimensions, features, levels = x.shape[0], table_gradient.shape[1], len(scales)
    for turn in prange(levels):
        level = _balanced(turn, levels)
        first, size = ranges[level]
        entry, weight = np.empty((1 << dimensions, BLOCK), np.uint32), np.empty((1 << dimensions, BLOCK), np.float32)
        table_gradient[first : first + size] = 0.0
        for start in range(0, count, BLOCK):
            corners(
                x, dimensions, x.shape[1], start, scales[level], factors[level], size, hashed[level], -1, entry, weight
            )
            samples, place = min(BLOCK, count - start), level * features * count + start
            scatter(table_gradient, first, features, entry, weight, 1 << dimensions, samples, gradient, count, place)


@compiled_parallel
def _backward_x(x, count, table, gradient, x_gradient, scales, factors, ranges, hashed):
    dimensions, features, levels = x.shape[0], table.shape[1], len(scales)
    blocks = x.shape[1] // BLOCK
    for chunk in prange(CHUNKS):
        entry, weight = np.empty((1 << dimensions, BLOCK), np.uint32), np.empty((1 << dimensions, BLOCK), np.float32)
        slope = np.empty((features, BLOCK), np.float32)
        for block in range(blocks * chunk // CHUNKS, blocks * (chunk + 1) // CHUNKS):
            start = block * BLOCK
            samples = min(BLOCK, count - start)
            for level in range(levels):
                first, size = ranges[level]
                for d in range(dimensions):
                    corners(
                        x,
                        dimensions,
                        x.shape[1],
                        start,
                        scales[level],
                        factors[level],
                        size,
                        hashed[level],
                        d,
                        entry,
                        weight,
                    )
                    gather(table, first, features, entry, weight, 1 << dimensions, samples, slope, BLOCK, 0)
                    for f in range(features):
                        for s in range(samples):
                            if np.float32(0.0) <= x[d, start + s] <= np.float32(1.0):
                                x_gradient[d, start + s] += (
                                    scales[level] * slope[f, s] * gradient[level * features + f, start + s]
                                )
