"""A small bias-free network on the CPU: a block of samples goes through all layers while its activations are in cache.

Products are the vector code of `vector_dense`, on blocks that `sample_blocks` turns to [sample, feature]. Forward keeps
the hidden activations block after block for backward, which costs less than computing them again. Weight gradients are
summed per chunk and then over chunks, in a fixed order.
"""

import functools

import numpy as np
import torch
from numba import prange
from torch import Tensor

from .mlp_geometry import MLPGeometry
from .numba_runtime import CHUNKS, compiled, compiled_parallel, exact
from .numba_runtime import supports as supports
from .sample_blocks import columns, flat, read_block, write_block
from .vector_dense import BLOCK, dense, dense_gated, dense_relu, outer


def forward(x: Tensor, parameters: Tensor, geometry: MLPGeometry, *, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs (samples, outputs), and the hidden activations that backward needs (empty unless `keep`)."""
    out = np.empty((geometry.out_features, len(x)), np.float32)
    blocks = -(-len(x) // BLOCK) if keep else 0
    hidden = np.empty((blocks, geometry.hidden_layers, BLOCK, geometry.width), np.float32)
    if len(x):
        turned = _transposed(flat(parameters), _shapes(geometry))
        _forward(columns(x), turned, _shapes(geometry), out, hidden)
    return torch.from_numpy(out).T, (torch.from_numpy(hidden),)


def backward(
    x: Tensor, parameters: Tensor, kept: tuple[Tensor, ...], gradient: Tensor, geometry: MLPGeometry, *, for_x: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients of `sum(gradient * forward(x, parameters))` by x (None where not asked for) and by the parameters."""
    x_gradient = np.empty((geometry.in_features if for_x else 0, len(x)), np.float32)
    shapes = _shapes(geometry)
    partial = np.zeros((CHUNKS, geometry.parameters), np.float32)
    if len(x):
        _backward(columns(x), flat(parameters), shapes, kept[0].numpy(), columns(gradient), x_gradient, partial)
    total = _transposed(partial.sum(axis=0), shapes[:, ::-1].copy())
    return torch.from_numpy(x_gradient).T if for_x else None, torch.from_numpy(total)


@functools.cache
def _shapes(geometry: MLPGeometry) -> np.ndarray:
    return np.array(geometry.shapes, np.int64)


@exact
def _transposed(matrices, shapes):
    """Matrices of these shapes, one after the other, each transposed."""
    transposed = np.empty_like(matrices)
    first = 0
    for layer in range(len(shapes)):
        rows, columns = shapes[layer]
        for r in range(rows):
            for c in range(columns):
                transposed[first + c * rows + r] = matrices[first + r * columns + c]
        first += rows * columns
    return transposed


@compiled
def _scratch(shapes):
    """Room for a block's inputs, for its outputs, and to turn either."""
    inputs, outputs = shapes[0, 1], shapes[-1, 0]
    turning = np.empty(max(inputs, outputs) * BLOCK, np.float32)
    return np.empty((BLOCK, inputs), np.float32), np.empty((BLOCK, outputs), np.float32), turning


@compiled_parallel
def _forward(x, turned, shapes, out, hidden):
    count, layers = x.shape[1], len(shapes)
    width, inputs, outputs = shapes[0, 0], shapes[0, 1], shapes[-1, 0]
    blocks = (count + BLOCK - 1) // BLOCK
    for chunk in prange(CHUNKS):
        block_in, block_out, turning = _scratch(shapes)
        forgotten = np.empty((layers - 1, BLOCK, width), np.float32)
        for block in range(blocks * chunk // CHUNKS, blocks * (chunk + 1) // CHUNKS):
            start = block * BLOCK
            samples = min(BLOCK, count - start)
            read_block(x, start, samples, block_in, turning)
            activations = hidden[block] if len(hidden) else forgotten
            dense_relu(block_in, inputs, turned, 0, width, activations[0], activations[0])
            first = width * inputs
            for layer in range(1, layers - 1):
                dense_relu(activations[layer - 1], width, turned, first, width, activations[layer], activations[0])
                first += width * width
            dense(activations[layers - 2], width, turned, first, outputs, block_out, activations[0])
            write_block(block_out, out, start, samples, turning)


@compiled_parallel
def _backward(x, parameters, shapes, hidden, gradient, x_gradient, partial):
    count, layers = x.shape[1], len(shapes)
    width, inputs, outputs = shapes[0, 0], shapes[0, 1], shapes[-1, 0]
    blocks = (count + BLOCK - 1) // BLOCK
    for chunk in prange(CHUNKS):
        block_in, block_gradient, turning = _scratch(shapes)
        here, below = np.empty((BLOCK, width), np.float32), np.empty((BLOCK, width), np.float32)
        for block in range(blocks * chunk // CHUNKS, blocks * (chunk + 1) // CHUNKS):
            start = block * BLOCK
            samples = min(BLOCK, count - start)
            read_block(gradient, start, samples, block_gradient, turning)
            read_block(x, start, samples, block_in, turning)
            first = partial.shape[1] - outputs * width
            activations = hidden[block, layers - 2]
            outer(activations, width, block_gradient, outputs, partial[chunk], first)
            dense_gated(block_gradient, outputs, parameters, first, width, here, activations)
            for layer in range(layers - 2, 0, -1):
                first -= width * width
                activations = hidden[block, layer - 1]
                outer(activations, width, here, width, partial[chunk], first)
                dense_gated(here, width, parameters, first, width, below, activations)
                here, below = below, here
            outer(block_in, inputs, here, width, partial[chunk], 0)
            if len(x_gradient):
                dense(here, width, parameters, 0, inputs, block_in, here)
                write_block(block_in, x_gradient, start, samples, turning)
