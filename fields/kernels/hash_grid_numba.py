"""Multiresolution hash encoding on the CPU: compiled loops over blocks of samples, one level at a time.

Within a block the arithmetic (cells, weights, hashes of all corners) runs vectorised into small arrays that stay in the
first-level cache; what remains per sample is a run of independent table reads, which is what the memory system likes.
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

BLOCK = 128
_PRIMES = np.array(PRIMES, np.uint32)


def forward(x: Tensor, table: Tensor, geometry: HashGridGeometry) -> Tensor:
    """Features (samples, levels * features) at x (samples, d); see the reference for the formula."""
    out = np.empty((geometry.levels * geometry.features, len(x)), np.float32)
    if len(x):
        out[geometry.evaluated * geometry.features :] = 0.0
        splits = -(-get_num_threads() // geometry.evaluated)  # of a level's samples, so that every thread has work
        _forward(_rows(x.T), _rows(table.view(-1, geometry.features)), out, *_levels(geometry), splits)
    return torch.from_numpy(out).T


def backward(
    x: Tensor, table: Tensor, gradient: Tensor, geometry: HashGridGeometry, *, for_x: bool, for_table: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of `sum(gradient * forward(x, table))` with respect to x and to the table; None where not asked for."""
    gradient_columns = _rows(gradient.T)
    coordinates, rows = _rows(x.T), _rows(table.view(-1, geometry.features))
    x_gradient, table_gradient = None, None
    if for_x:
        x_gradient = np.zeros((geometry.dimensions, len(x)), np.float32)
        if len(x):
            _backward_x(coordinates, rows, gradient_columns, x_gradient, *_levels(geometry))
    if for_table:
        table_gradient = np.empty((geometry.offsets[-1], geometry.features), np.float32)
        table_gradient[geometry.offsets[geometry.evaluated] :] = 0.0
        _backward_table(coordinates, gradient_columns, table_gradient, *_levels(geometry))
    return (
        None if x_gradient is None else torch.from_numpy(x_gradient).T,
        None if table_gradient is None else torch.from_numpy(table_gradient).view(-1),
    )


def _rows(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().numpy())


@functools.cache
def _levels(geometry: HashGridGeometry) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Per open level: scale, resolution, (first entry, number of entries), hashed or not."""
    scales, count = np.array(geometry.scales, np.float32), geometry.evaluated
    resolutions, hashed = np.array(geometry.resolutions, np.uint32), np.array(geometry.hashed)
    ranges = np.array([geometry.offsets[:-1], geometry.entries], np.int64).T.copy()
    return scales[:count], resolutions[:count], ranges[:count], hashed[:count]


@exact
def _balanced(turn, levels):
    """The level of a turn: neighbouring turns go to one thread, and fine levels are slower than coarse ones."""
    half = (levels + 1) // 2
    return 2 * turn if turn < half else 2 * (turn - half) + 1


@exact
def _cells(x, start, stop, scale, cell, fraction):
    """The cell that holds each sample of a block, and where in it: `cell` (d, BLOCK) and `fraction` (d, BLOCK)."""
    for d in range(x.shape[0]):
        for s in range(stop - start):
            value = x[d, start + s]
            value = value if value > np.float32(0.0) else np.float32(0.0)
            fraction[d, s] = (value if value < np.float32(1.0) else np.float32(1.0)) * scale
        # A loop of its own: in one with the product, the sum becomes a fused multiply-add and rounds otherwise than
        # the reference.
        for s in range(stop - start):
            position = fraction[d, s] + np.float32(0.5)
            floor = np.int32(position)
            cell[d, s] = np.uint32(floor)
            fraction[d, s] = position - np.float32(floor)


# Corners are numbered by bits, one per axis: each axis doubles those that the axes before it have made.


@compiled
def _corner_entries(cell, count, resolution, entries, hashed, index):
    """Table entries of all corners of each sample's cell: `index` (2^d, BLOCK), relative to the level."""
    mask = np.uint32(entries - 1)
    stride = np.uint32(1)
    for s in range(count):
        index[0, s] = 0
    for d in range(cell.shape[0]):
        for corner in range(1 << d):
            if hashed:
                _hash_axis(cell[d], count, _PRIMES[d], mask, index[corner], index[corner | 1 << d])
            else:
                _stride_axis(cell[d], count, stride, index[corner], index[corner | 1 << d])
        stride = np.uint32(stride * resolution)
    if not hashed:
        size = np.uint32(entries)
        for corner in range(index.shape[0]):
            row = index[corner]
            for s in range(count):  # at most one lap: indices stay below two times the entries
                row[s] -= size if row[s] >= size else np.uint32(0)


@compiled
def _hash_axis(cell, count, prime, mask, low, high):
    for s in range(count):
        here = np.uint32(cell[s] * prime)
        high[s] = low[s] ^ (np.uint32(here + prime) & mask)
        low[s] ^= here & mask


@compiled
def _stride_axis(cell, count, stride, low, high):
    for s in range(count):
        here = np.uint32(low[s] + np.uint32(cell[s] * stride))
        high[s] = np.uint32(here + stride)
        low[s] = here


@compiled
def _corner_weights(fraction, count, weight, skip):
    """Interpolation weights of all corners: `weight` (2^d, BLOCK).

    Axis `skip` contributes -1 or 1, the derivative of its factor (-1: no axis does).
    """
    for s in range(count):
        weight[0, s] = 1.0
    for d in range(fraction.shape[0]):
        for corner in range(1 << d):
            low, high = weight[corner], weight[corner | 1 << d]
            if d == skip:
                for s in range(count):
                    high[s] = low[s]
                    low[s] = -low[s]
            else:
                _weigh_axis(fraction[d], count, low, high)


@compiled
def _weigh_axis(fraction, count, low, high):
    for s in range(count):
        high[s] = low[s] * fraction[s]
        low[s] *= np.float32(1.0) - fraction[s]


@compiled
def _scratch(dimensions):
    corners = 1 << dimensions
    return (
        np.empty((dimensions, BLOCK), np.uint32),
        np.empty((dimensions, BLOCK), np.float32),
        np.empty((corners, BLOCK), np.uint32),
        np.empty((corners, BLOCK), np.float32),
    )


@compiled
def _gather(table, first, index, weight, count, out, row, start):
    """out[row + f, start + s] = sum over corners of weight * table[first + index, f]."""
    corners = index.shape[0]
    if table.shape[1] == 2:
        for s in range(count):
            a = np.float32(0.0)
            b = np.float32(0.0)
            for c in range(corners):
                entry = first + index[c, s]
                a += weight[c, s] * table[entry, 0]
                b += weight[c, s] * table[entry, 1]
            out[row, start + s] = a
            out[row + 1, start + s] = b
    else:
        for f in range(table.shape[1]):
            for s in range(count):
                a = np.float32(0.0)
                for c in range(corners):
                    a += weight[c, s] * table[first + index[c, s], f]
                out[row + f, start + s] = a


@compiled
def _stream(table, first, last, note):
    """Reads a level's part of the table from end to end: that brings it into the cache far faster than gathers do."""
    total = np.float32(0.0)
    lines = table[first:last].reshape(-1)
    for i in range(0, len(lines), 16):
        total += lines[i]
    note[0, 0] = total


@compiled_parallel
def _forward(x, table, out, scales, resolutions, ranges, hashed, splits):
    count, features, levels = x.shape[1], table.shape[1], len(scales)
    blocks = (count + BLOCK - 1) // BLOCK
    for turn in prange(levels * splits):
        # A thread takes its samples through one level after the other, so that a level's part of the table stays in its
        # cache.
        level, split = _balanced(turn // splits, levels), turn % splits
        cell, fraction, index, weight = _scratch(x.shape[0])
        if 64 * count > splits * ranges[level, 1]:
            _stream(table, ranges[level, 0], ranges[level, 0] + ranges[level, 1], fraction)
        for block in range(blocks * split // splits, blocks * (split + 1) // splits):
            start = block * BLOCK
            stop = min(start + BLOCK, count)
            _cells(x, start, stop, scales[level], cell, fraction)
            _corner_entries(cell, stop - start, resolutions[level], ranges[level, 1], hashed[level], index)
            _corner_weights(fraction, stop - start, weight, -1)
            _gather(table, ranges[level, 0], index, weight, stop - start, out, level * features, start)


@compiled_parallel
def _backward_table(x, gradient, table_gradient, scales, resolutions, ranges, hashed):
    count, features, levels = x.shape[1], table_gradient.shape[1], len(scales)
    for turn in prange(levels):
        level = _balanced(turn, levels)
        cell, fraction, index, weight = _scratch(x.shape[0])
        first = ranges[level, 0]
        table_gradient[first : first + ranges[level, 1]] = 0.0
        for start in range(0, count, BLOCK):
            stop = min(start + BLOCK, count)
            _cells(x, start, stop, scales[level], cell, fraction)
            _corner_entries(cell, stop - start, resolutions[level], ranges[level, 1], hashed[level], index)
            _corner_weights(fraction, stop - start, weight, -1)
            _scatter(table_gradient, first, index, weight, stop - start, gradient, level * features, start)


@compiled
def _scatter(table_gradient, first, index, weight, count, gradient, row, start):
    """table_gradient[first + index, f] += weight * gradient[row + f, start + s]."""
    corners = index.shape[0]
    if table_gradient.shape[1] == 2:
        for s in range(count):
            a = gradient[row, start + s]
            b = gradient[row + 1, start + s]
            for c in range(corners):
                entry = first + index[c, s]
                table_gradient[entry, 0] += weight[c, s] * a
                table_gradient[entry, 1] += weight[c, s] * b
    else:
        for f in range(table_gradient.shape[1]):
            for s in range(count):
                for c in range(corners):
                    table_gradient[first + index[c, s], f] += weight[c, s] * gradient[row + f, start + s]


@compiled_parallel
def _backward_x(x, table, gradient, x_gradient, scales, resolutions, ranges, hashed):
    count, features, dimensions = x.shape[1], table.shape[1], x.shape[0]
    blocks = (count + BLOCK - 1) // BLOCK
    for chunk in prange(CHUNKS):
        cell, fraction, index, weight = _scratch(dimensions)
        slope = np.empty((features, BLOCK), np.float32)
        for block in range(blocks * chunk // CHUNKS, blocks * (chunk + 1) // CHUNKS):
            start = block * BLOCK
            stop = min(start + BLOCK, count)
            for level in range(len(scales)):
                _cells(x, start, stop, scales[level], cell, fraction)
                _corner_entries(cell, stop - start, resolutions[level], ranges[level, 1], hashed[level], index)
                for d in range(dimensions):
                    _corner_weights(fraction, stop - start, weight, d)
                    _gather(table, ranges[level, 0], index, weight, stop - start, slope, 0, 0)
                    for f in range(features):
                        for s in range(stop - start):
                            if np.float32(0.0) <= x[d, start + s] <= np.float32(1.0):
                                x_gradient[d, start + s] += (
                                    scales[level] * slope[f, s] * gradient[level * features + f, start + s]
                                )
