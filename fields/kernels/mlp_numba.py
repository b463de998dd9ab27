"""A small bias-free network on the CPU: a block of samples goes through all layers while its activations are in cache.

Activations are [feature, sample]; the products are the vector code of `vector_dense`. Forward keeps the hidden
activations block after block for backward, which costs less than computing them again. Weight gradients are summed per
chunk and then over chunks, in a fixed order.
"""

import functools

import numpy as np
import torch
from numba import prange
from torch import Tensor

from .mlp_geometry import MLPGeometry
from .numba_runtime import CHUNKS, compiled, compiled_parallel, exact
from .numba_runtime import supports as supports
from .vector_dense import BLOCK, PITCH, dense, outer


def forward(x: Tensor, parameters: Tensor, geometry: MLPGeometry, *, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs (samples, outputs), and the hidden activations that backward needs (empty unless `keep`)."""
    out = np.empty((geometry.out_features, len(x)), np.float32)
    blocks = -(-len(x) // BLOCK) if keep else 0
    hidden = np.empty((blocks, geometry.hidden_layers, geometry.width, PITCH), np.float32)
    if len(x):
        _forward(_columns(x), _flat(parameters), _shapes(geometry), out, hidden)
    return torch.from_numpy(out).T, (torch.from_numpy(hidden),)


def backward(
    x: Tensor, parameters: Tensor, kept: tuple[Tensor, ...], gradient: Tensor, geometry: MLPGeometry, *, for_x: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients of `sum(gradient * forward(x, parameters))` by x (None where not asked for) and by the parameters."""
    x_gradient = np.empty((geometry.in_features if for_x else 0, len(x)), np.float32)
    total = np.zeros(geometry.parameters, np.float32)
    if len(x):
        shapes = _shapes(geometry)
        turned = np.empty(geometry.parameters, np.float32)
        _transpose(_flat(parameters), shapes, turned)
        partial = np.zeros((CHUNKS, geometry.parameters), np.float32)
        _backward(_columns(x), turned, shapes, kept[0].numpy(), _columns(gradient), x_gradient, partial)
        for chunk in partial:
            total += chunk
    return torch.from_numpy(x_gradient).T if for_x else None, torch.from_numpy(total)


def _columns(tensor: Tensor) -> np.ndarray:
    """The tensor (samples, features) as [feature, sample] in memory; no copy where it already lies so."""
    return np.ascontiguousarray(tensor.detach().float().numpy().T)


def _flat(tensor: Tensor) -> np.ndarray:
    return np.ascontiguousarray(tensor.detach().float().numpy())


@functools.cache
def _shapes(geometry: MLPGeometry) -> np.ndarray:
    return np.array(geometry.shapes, np.int64)


@exact
def _transpose(parameters, shapes, turned):
    first = 0
    for layer in range(len(shapes)):
        outputs, inputs = shapes[layer, 0], shapes[layer, 1]
        for o in range(outputs):
            for i in range(inputs):
                turned[first + i * outputs + o] = parameters[first + o * inputs + i]
        first += outputs * inputs


@compiled
def _read_block(source, start, count, block):
    """Copies columns start..start + count of source into the block and fills the rest with zeros."""
    block[:] = 0.0
    for feature in range(source.shape[0]):
        block[feature, :count] = source[feature, start : start + count]


@compiled_parallel
def _forward(x, parameters, shapes, out, hidden):
    count, layers = x.shape[1], len(shapes)
    width = shapes[0, 0]
    blocks = (count + BLOCK - 1) // BLOCK
    for chunk in prange(CHUNKS):
        block_in = np.empty((shapes[0, 1], PITCH), np.float32)
        block_out = np.empty((shapes[layers - 1, 0], PITCH), np.float32)
        scratch = np.empty((layers - 1, width, PITCH), np.float32)
        for block in range(blocks * chunk // CHUNKS, blocks * (chunk + 1) // CHUNKS):
            start = block * BLOCK
            samples = min(BLOCK, count - start)
            _read_block(x, start, samples, block_in)
            activations = hidden[block] if len(hidden) else scratch
            dense(parameters, 0, width, shapes[0, 1], block_in, activations[0])
            first = width * shapes[0, 1]
            for layer in range(1, layers):
                _relu(activations[layer - 1])
                if layer == layers - 1:
                    dense(parameters, first, shapes[layer, 0], width, activations[layer - 1], block_out)
                else:
                    dense(parameters, first, width, width, activations[layer - 1], activations[layer])
                first += shapes[layer, 0] * width
            for feature in range(out.shape[0]):
                out[feature, start : start + samples] = block_out[feature, :samples]


@compiled
def _relu(block):
    flat = block.reshape(-1)
    for i in range(len(flat)):
        flat[i] = np.float32(0.0) if flat[i] < np.float32(0.0) else flat[i]  # NaN stays NaN


@compiled
def _mask(gradient, activation):
    """Stops the gradient where the ReLU's output is zero."""
    flat, active = gradient.reshape(-1), activation.reshape(-1)
    for i in range(len(flat)):
        flat[i] = np.float32(0.0) if active[i] <= np.float32(0.0) else flat[i]


@compiled_parallel
def _backward(x, turned, shapes, hidden, gradient, x_gradient, partial):
    count, layers = x.shape[1], len(shapes)
    width, inputs, outputs = shapes[0, 0], shapes[0, 1], shapes[layers - 1, 0]
    blocks = (count + BLOCK - 1) // BLOCK
    for chunk in prange(CHUNKS):
        block_in = np.empty((inputs, PITCH), np.float32)
        block_gradient = np.empty((outputs, PITCH), np.float32)
        here, below = np.empty((width, PITCH), np.float32), np.empty((width, PITCH), np.float32)
        for block in range(blocks * chunk // CHUNKS, blocks * (chunk + 1) // CHUNKS):
            start = block * BLOCK
            samples = min(BLOCK, count - start)
            _read_block(gradient, start, samples, block_gradient)
            _read_block(x, start, samples, block_in)
            first = partial.shape[1] - outputs * width
            outer(block_gradient, outputs, hidden[block, layers - 2], width, partial[chunk], first)
            dense(turned, first, width, outputs, block_gradient, here)
            for layer in range(layers - 2, 0, -1):
                _mask(here, hidden[block, layer])
                first -= width * width
                outer(here, width, hidden[block, layer - 1], width, partial[chunk], first)
                dense(turned, first, width, width, here, below)
                here, below = below, here
            _mask(here, hidden[block, 0])
            outer(here, width, block_in, inputs, partial[chunk], 0)
            if len(x_gradient):
                dense(turned, 0, inputs, width, here, block_in)
                for feature in range(x_gradient.shape[0]):
                    x_gradient[feature, start : start + samples] = block_in[feature, :samples]
