"""A network with biases on the CPU: a block of samples goes through all layers while its activations are in cache.

Sizes are padded with zeros to multiples of 16; what is padded stays zero through every activation. Rows of blocks are a
little longer than the network is wide: at powers of two, the rows of a tile would all fall into the same few lines of
the first-level cache. Forward keeps what the activations are taken of; backward takes them and their slopes from it
again, which costs less than moving both through memory. Gradients of parameters are summed per chunk and then over
chunks, in a fixed order.
"""

import functools

import numpy as np
import torch
from numba import prange
from torch import Tensor

from .dense_network_geometry import DenseNetworkGeometry
from .numba_runtime import CHUNKS, compiled, compiled_parallel, exact
from .numba_runtime import supports as supports
from .sample_blocks import columns, flat, read_block, write_block
from .vector_activations import (
    FINER,
    RELU,
    SINE,
    activate_finer,
    activate_relu,
    activate_sine,
    retrace_finer,
    retrace_relu,
    retrace_sine,
)
from .vector_dense import BLOCK, dense, outer

ACTIVATIONS = {"sine": SINE, "finer": FINER, "relu": RELU}
_MULTIPLE = 16
BESIDE = 16  # floats between the rows of a block
ROWS = 8  # coordinates are few: gradients of their weights are computed for multiples of so many of them


def forward(
    x: Tensor, parameters: Tensor, geometry: DenseNetworkGeometry, *, keep: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs (samples, outputs), and the pre-activations that backward needs (empty unless `keep`)."""
    out = np.empty((geometry.out_features, len(x)), np.float32)
    shapes, padded = padded_shapes(geometry)
    blocks = -(-len(x) // BLOCK) if keep else 0
    kept = np.empty((blocks, geometry.hidden_layers, BLOCK, padded[0, 0]), np.float32)
    if len(x):
        matrices, biases = unpacked(flat(parameters), shapes, padded, True)
        activation, omegas = ACTIVATIONS[geometry.activation], np.array(geometry.omegas, np.float32)
        _forward(columns(x), matrices, biases, padded, activation, omegas, out, kept)
    return torch.from_numpy(out).T, (torch.from_numpy(kept),)


def backward(
    x: Tensor,
    parameters: Tensor,
    kept: tuple[Tensor, ...],
    gradient: Tensor,
    geometry: DenseNetworkGeometry,
    *,
    for_x: bool,
) -> tuple[Tensor | None, Tensor]:
    """Gradients of `sum(gradient * forward(x, parameters))` by x (None where not asked for) and by the parameters."""
    x_gradient = np.empty((geometry.in_features if for_x else 0, len(x)), np.float32)
    total = np.zeros(geometry.parameters, np.float32)
    if len(x):
        shapes, padded = padded_shapes(geometry)
        matrices, _ = unpacked(flat(parameters), shapes, padded, False)
        activation, omegas = ACTIVATIONS[geometry.activation], np.array(geometry.omegas, np.float32)
        sums = np.empty((CHUNKS, (padded[:, 0] * (padded[:, 1] + 1)).sum()), np.float32)
        arrays = kept[0].numpy(), columns(gradient), x_gradient, sums
        _backward(columns(x), matrices, padded, activation, omegas, *arrays)
        pack(summed(sums), shapes, padded, total)
    return torch.from_numpy(x_gradient).T if for_x else None, torch.from_numpy(total)


@functools.cache
def padded_shapes(geometry: DenseNetworkGeometry) -> tuple[np.ndarray, np.ndarray]:
    """(outputs, inputs) of every layer, as they are and padded."""
    shapes = np.array(geometry.shapes, np.int64)
    return shapes, -(-shapes // _MULTIPLE) * _MULTIPLE


@exact
def unpacked(parameters, shapes, padded, turned):
    """Padded matrices one after the other, (inputs, outputs) if turned and else (outputs, inputs); padded biases."""
    matrices = np.zeros((padded[:, 0] * padded[:, 1]).sum(), np.float32)
    biases = np.zeros(padded[:, 0].sum(), np.float32)
    source, matrix, bias = 0, 0, 0
    for layer in range(len(shapes)):
        rows, pitch = shapes[layer, 0], shapes[layer, 1]
        down, along = (1, padded[layer, 0]) if turned else (padded[layer, 1], 1)
        for r in range(rows):
            for c in range(pitch):
                matrices[matrix + r * down + c * along] = parameters[source + r * pitch + c]
        source += rows * pitch
        biases[bias : bias + rows] = parameters[source : source + rows]
        source, matrix, bias = source + rows, matrix + padded[layer, 0] * padded[layer, 1], bias + padded[layer, 0]
    return matrices, biases


@exact
def pack(sums, shapes, padded, total):
    """The opposite of `unpacked` for gradients: matrices (inputs, outputs), and behind all of them the biases."""
    target, matrix, bias = 0, 0, (padded[:, 0] * padded[:, 1]).sum()
    for layer in range(len(shapes)):
        rows, pitch = shapes[layer, 0], shapes[layer, 1]
        for r in range(rows):
            for c in range(pitch):
                total[target + r * pitch + c] = sums[matrix + c * padded[layer, 0] + r]
        target += rows * pitch
        total[target : target + rows] = sums[bias : bias + rows]
        target, matrix, bias = target + rows, matrix + padded[layer, 0] * padded[layer, 1], bias + padded[layer, 0]


@compiled_parallel
def summed(sums):
    """Sums over the chunks, chunk after chunk."""
    length = sums.shape[1]
    total = np.empty(length, np.float32)
    for part in prange(CHUNKS):
        first, last = length * part // CHUNKS, length * (part + 1) // CHUNKS
        total[first:last] = sums[0, first:last]
        for chunk in range(1, CHUNKS):
            total[first:last] += sums[chunk, first:last]
    return total


@exact
def _activate(activation, z, biases, first, omega, width, h):
    if activation == SINE:
        activate_sine(z, biases, first, omega, width, h)
    elif activation == FINER:
        activate_finer(z, biases, first, omega, width, h)
    else:
        activate_relu(z, biases, first, omega, width, h)


@exact
def _retrace(activation, z, omega, width, h, gradient, total, first):
    if activation == SINE:
        retrace_sine(z, omega, width, h, gradient, total, first)
    elif activation == FINER:
        retrace_finer(z, omega, width, h, gradient, total, first)
    else:
        retrace_relu(z, omega, width, h, gradient, total, first)


@compiled
def _scratch(shapes):
    """Room for a block's inputs, for its outputs, to turn either, and for two blocks of activations."""
    width, inputs, outputs = shapes[0, 0], shapes[0, 1], shapes[-1, 0]
    one, other = np.empty((BLOCK, width + BESIDE), np.float32), np.empty((BLOCK, width + BESIDE), np.float32)
    turning = np.empty(max(inputs, outputs) * BLOCK, np.float32)
    return np.empty((BLOCK, inputs), np.float32), np.empty((BLOCK, outputs), np.float32), turning, one, other


@compiled_parallel
def _forward(x, matrices, biases, shapes, activation, omegas, out, kept):
    count, hidden = x.shape[1], len(shapes) - 1
    width, inputs, outputs = shapes[0, 0], shapes[0, 1], shapes[-1, 0]
    blocks = (count + BLOCK - 1) // BLOCK
    for chunk in prange(CHUNKS):
        block_in, block_out, turning, h, _ = _scratch(shapes)
        forgotten = np.empty((BLOCK, width), np.float32)
        for block in range(blocks * chunk // CHUNKS, blocks * (chunk + 1) // CHUNKS):
            start = block * BLOCK
            samples = min(BLOCK, count - start)
            read_block(x, start, samples, block_in, turning)
            first = 0
            for layer in range(hidden):
                z = kept[block, layer] if len(kept) else forgotten
                if layer == 0:
                    dense(block_in, len(x), matrices, first, width, z, z)
                    first += width * inputs
                else:
                    dense(h, width, matrices, first, width, z, z)
                    first += width * width
                _activate(activation, z, biases, layer * width, omegas[layer], width, h)
            dense(h, width, matrices, first, outputs, block_out, block_out)
            for s in range(BLOCK):
                block_out[s] += biases[hidden * width :]
            write_block(block_out, out, start, samples, turning)


@compiled_parallel
def _backward(x, matrices, shapes, activation, omegas, kept, gradient, x_gradient, sums):
    count, hidden = x.shape[1], len(shapes) - 1
    width, inputs, outputs = shapes[0, 0], shapes[0, 1], shapes[-1, 0]
    blocks = (count + BLOCK - 1) // BLOCK
    for chunk in prange(CHUNKS):
        block_in, block_gradient, turning, h, here = _scratch(shapes)
        below = np.empty_like(here)
        total = sums[chunk]
        total[:] = 0.0
        for block in range(blocks * chunk // CHUNKS, blocks * (chunk + 1) // CHUNKS):
            start = block * BLOCK
            samples = min(BLOCK, count - start)
            read_block(gradient, start, samples, block_gradient, turning)
            read_block(x, start, samples, block_in, turning)
            first, bias = len(matrices) - outputs * width, len(total) - outputs
            for s in range(BLOCK):
                total[bias:] += block_gradient[s]
            for layer in range(hidden - 1, -1, -1):
                bias -= width
                if layer == hidden - 1:
                    dense(block_gradient, outputs, matrices, first, width, below, below)
                else:
                    dense(here, width, matrices, first, width, below, below)
                _retrace(activation, kept[block, layer], omegas[layer], width, h, below, total, bias)
                if layer == hidden - 1:
                    outer(h, width, block_gradient, outputs, total, first)
                else:
                    outer(h, width, here, width, total, first)
                first -= width * (width if layer > 0 else inputs)
                here, below = below, here
            outer(block_in, -(-len(x) // ROWS) * ROWS, here, width, total, 0)
            if len(x_gradient):
                dense(here, width, matrices, 0, inputs, block_in, block_in)
                write_block(block_in, x_gradient, start, samples, turning)
