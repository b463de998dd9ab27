"""Values and derivatives of a network with biases on the CPU: its blocks as in `dense_network_numba`, one per channel.

The reference has the channels' formulas. With g, g_k and g_c the gradients by h, h_k and h_c, those by z, z_k and z_c
are

    a' g + a'' (sum_k z_k g_k + z_c g_c) + a''' g_c sum_k z_k^2,    a' g_k + 2 a'' z_k g_c,    a' g_c
"""

import numpy as np
import torch
from numba import prange
from torch import Tensor

from .dense_network_geometry import DenseNetworkGeometry
from .dense_network_numba import ACTIVATIONS, BESIDE, ROWS, pack, padded_shapes, summed, unpacked
from .numba_runtime import CHUNKS, compiled, compiled_parallel, exact
from .numba_runtime import supports as supports
from .sample_blocks import columns, flat, read_block, write_block
from .vector_activations import FINER, SINE, curve_finer, curve_relu, curve_sine
from .vector_dense import BLOCK, dense, outer

_CURVE = 4  # an activation's value and three derivatives


def forward(
    x: Tensor, directions: Tensor, parameters: Tensor, geometry: DenseNetworkGeometry, *, curved: bool, keep: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Channels (channels, samples, outputs), and the pre-activations that backward needs (empty unless `keep`)."""
    channels = 1 + len(directions) + curved
    out = np.empty((channels, geometry.out_features, len(x)), np.float32)
    shapes, padded = padded_shapes(geometry)
    blocks = -(-len(x) // BLOCK) if keep else 0
    kept = np.empty((blocks, geometry.hidden_layers, channels, BLOCK, padded[0, 0]), np.float32)
    if len(x):
        matrices, biases = unpacked(flat(parameters), shapes, padded, True)
        activation, omegas = ACTIVATIONS[geometry.activation], np.array(geometry.omegas, np.float32)
        _forward(_inputs(x, directions), matrices, biases, padded, activation, omegas, curved, out, kept)
    return torch.from_numpy(out).permute(0, 2, 1), (torch.from_numpy(kept),)


def backward(
    x: Tensor,
    directions: Tensor,
    parameters: Tensor,
    kept: tuple[Tensor, ...],
    gradient: Tensor,
    geometry: DenseNetworkGeometry,
    *,
    curved: bool,
    for_x: bool,
) -> tuple[Tensor | None, Tensor]:
    """Gradients of `sum(gradient * channels)` by x (None where not asked for) and by the parameters."""
    x_gradient = np.empty((geometry.in_features if for_x else 0, len(x)), np.float32)
    total = np.zeros(geometry.parameters, np.float32)
    if len(x):
        shapes, padded = padded_shapes(geometry)
        matrices, _ = unpacked(flat(parameters), shapes, padded, False)
        activation, omegas = ACTIVATIONS[geometry.activation], np.array(geometry.omegas, np.float32)
        sums = np.empty((CHUNKS, (padded[:, 0] * (padded[:, 1] + 1)).sum()), np.float32)
        arrays = kept[0].numpy(), np.stack([columns(channel) for channel in gradient]), x_gradient, sums
        _backward(_inputs(x, directions), matrices, padded, activation, omegas, curved, *arrays)
        pack(summed(sums), shapes, padded, total)
    return torch.from_numpy(x_gradient).T if for_x else None, torch.from_numpy(total)


def _inputs(x: Tensor, directions: Tensor) -> np.ndarray:
    """Coordinates and, behind them, each direction, as [feature, sample]."""
    return np.stack([columns(x), *(columns(direction) for direction in directions)])


@exact
def _trace(activation, z, s, omega, width, curve):
    if activation == SINE:
        curve_sine(z, s, omega, width, curve)
    elif activation == FINER:
        curve_finer(z, s, omega, width, curve)
    else:
        curve_relu(z, s, omega, width, curve)


@compiled
def _push(z, s, curve, curved, width, squares, h):
    """A sample's activations from its pre-activations z, of all channels; `squares` gets sum_k z_k^2."""
    last = len(z) - 1 if curved else len(z)
    h[0, s, :width] = curve[0]
    squares[:] = 0.0
    for k in range(1, last):
        for c in range(width):
            h[k, s, c] = curve[1, c] * z[k, s, c]
            squares[c] += z[k, s, c] * z[k, s, c]
    if curved:
        for c in range(width):
            h[last, s, c] = curve[1, c] * z[last, s, c] + curve[2, c] * squares[c]


@compiled
def _pull(z, s, curve, curved, width, squares, gradient, total, bias):
    """A sample's gradients by its pre-activations, in place of those by its activations; after `_push`."""
    last = len(z) - 1 if curved else len(z)
    for c in range(width):
        gradient[0, s, c] *= curve[1, c]
    for k in range(1, last):
        for c in range(width):
            gradient[0, s, c] += curve[2, c] * z[k, s, c] * gradient[k, s, c]
            gradient[k, s, c] *= curve[1, c]
    if curved:
        for k in range(1, last):
            for c in range(width):
                gradient[k, s, c] += 2.0 * curve[2, c] * z[k, s, c] * gradient[last, s, c]
        for c in range(width):
            gradient[0, s, c] += (curve[2, c] * z[last, s, c] + curve[3, c] * squares[c]) * gradient[last, s, c]
            gradient[last, s, c] *= curve[1, c]
    for c in range(width):
        total[bias + c] += gradient[0, s, c]


@compiled
def _scratch(shapes, channels):
    """Room for a block's inputs and outputs, to turn either, for two blocks of activations, a curve and squares."""
    width, inputs, outputs = shapes[0, 0], shapes[0, 1], shapes[-1, 0]
    one = np.empty((channels, BLOCK, width + BESIDE), np.float32)
    block_in, block_out = np.empty((channels, BLOCK, inputs), np.float32), np.empty((BLOCK, outputs), np.float32)
    turning = np.empty(max(inputs, outputs) * BLOCK, np.float32)
    curve, squares = np.empty((_CURVE, width), np.float32), np.empty(width, np.float32)
    return block_in, block_out, turning, one, np.empty_like(one), curve, squares


@compiled_parallel
def _forward(x, matrices, biases, shapes, activation, omegas, curved, out, kept):
    count, hidden, channels = x.shape[2], len(shapes) - 1, len(out)
    width, inputs, outputs = shapes[0, 0], shapes[0, 1], shapes[-1, 0]
    blocks = (count + BLOCK - 1) // BLOCK
    for chunk in prange(CHUNKS):
        block_in, block_out, turning, h, _, curve, squares = _scratch(shapes, channels)
        forgotten = np.empty((channels, BLOCK, width), np.float32)
        for block in range(blocks * chunk // CHUNKS, blocks * (chunk + 1) // CHUNKS):
            start = block * BLOCK
            samples = min(BLOCK, count - start)
            for k in range(len(x)):
                read_block(x[k], start, samples, block_in[k], turning)
            first = 0
            for layer in range(hidden):
                z = kept[block, layer] if len(kept) else forgotten
                for k in range(channels):
                    if layer > 0:
                        dense(h[k], width, matrices, first, width, z[k], z[k])
                    elif k < len(x):
                        dense(block_in[k], x.shape[1], matrices, first, width, z[k], z[k])
                    else:
                        z[k] = 0.0  # coordinates have no curvature
                first += width * (width if layer > 0 else inputs)
                for s in range(BLOCK):
                    z[0, s] += biases[layer * width : (layer + 1) * width]
                    _trace(activation, z[0], s, omegas[layer], width, curve)
                    _push(z, s, curve, curved, width, squares, h)
            for k in range(channels):
                dense(h[k], width, matrices, first, outputs, block_out, block_out)
                if k == 0:
                    for s in range(BLOCK):
                        block_out[s] += biases[hidden * width :]
                write_block(block_out, out[k], start, samples, turning)


@compiled_parallel
def _backward(x, matrices, shapes, activation, omegas, curved, kept, gradient, x_gradient, sums):
    count, hidden, channels = x.shape[2], len(shapes) - 1, len(gradient)
    width, inputs, outputs = shapes[0, 0], shapes[0, 1], shapes[-1, 0]
    blocks = (count + BLOCK - 1) // BLOCK
    for chunk in prange(CHUNKS):
        block_in, _, turning, h, here, curve, squares = _scratch(shapes, channels)
        above, below = np.empty((channels, BLOCK, outputs), np.float32), np.empty_like(here)
        total = sums[chunk]
        total[:] = 0.0
        for block in range(blocks * chunk // CHUNKS, blocks * (chunk + 1) // CHUNKS):
            start = block * BLOCK
            samples = min(BLOCK, count - start)
            for k in range(channels):
                read_block(gradient[k], start, samples, above[k], turning)
            for k in range(len(x)):
                read_block(x[k], start, samples, block_in[k], turning)
            first, bias = len(matrices) - outputs * width, len(total) - outputs
            for s in range(BLOCK):
                total[bias:] += above[0, s]
            for layer in range(hidden - 1, -1, -1):
                bias -= width
                z = kept[block, layer]
                for k in range(channels):
                    if layer == hidden - 1:
                        dense(above[k], outputs, matrices, first, width, below[k], below[k])
                    else:
                        dense(here[k], width, matrices, first, width, below[k], below[k])
                for s in range(BLOCK):
                    _trace(activation, z[0], s, omegas[layer], width, curve)
                    _push(z, s, curve, curved, width, squares, h)
                    _pull(z, s, curve, curved, width, squares, below, total, bias)
                for k in range(channels):
                    if layer == hidden - 1:
                        outer(h[k], width, above[k], outputs, total, first)
                    else:
                        outer(h[k], width, here[k], width, total, first)
                first -= width * (width if layer > 0 else inputs)
                here, below = below, here
            for k in range(len(x)):
                outer(block_in[k], -(-x.shape[1] // ROWS) * ROWS, here[k], width, total, 0)
            if len(x_gradient):
                dense(here[0], width, matrices, 0, inputs, block_in[0], block_in[0])
                write_block(block_in[0], x_gradient, start, samples, turning)
