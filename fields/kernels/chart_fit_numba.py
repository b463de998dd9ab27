"""Adam's steps for many small networks on the CPU: a chart makes all of its steps while everything it has is in cache.

Sizes are padded with zeros to multiples of 16, as in `dense_network_numba`; what is padded stays zero.
"""

import numpy as np
import torch
from numba import prange
from torch import Tensor

from .chart_geometry import ChartGeometry
from .dense_network_numba import BESIDE, _activate, _retrace
from .numba_runtime import compiled, compiled_parallel, exact
from .numba_runtime import supports as supports
from .vector_activations import RELU, SINE
from .vector_dense import BLOCK, dense, outer, transpose

_MULTIPLE = 16


def fit(
    x: Tensor,
    targets: Tensor,
    weights: Tensor,
    parameters: Tensor,
    mean: Tensor,
    square: Tensor,
    geometry: ChartGeometry,
    enough: Tensor,
    *,
    done: int,
    steps: int,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> Tensor:
    """See `chart_fit_reference.fit`."""
    shapes = np.array(geometry.shapes, np.int64)
    padded = -(-shapes // _MULTIPLE) * _MULTIPLE
    arrays = [tensor.detach().contiguous().numpy() for tensor in (x, targets, weights, enough)]
    state = [tensor.detach().numpy() for tensor in (parameters, mean, square)]
    settings = np.array([rate, beta1, beta2, epsilon], np.float64)
    error = np.zeros(len(x), np.float32)
    activation = RELU if geometry.activation == "relu" else SINE
    if error.size and steps:
        _fit(*arrays, *state, shapes, padded, activation, np.float32(geometry.omega), done, steps, settings, error)
    return torch.from_numpy(error)


@compiled
def _pad(row, shapes, padded, room):
    """A chart's parameters with every matrix padded and then every layer's biases padded."""
    room[:] = 0.0
    source, matrix, bias = 0, 0, (padded[:, 0] * padded[:, 1]).sum()
    for layer in range(len(shapes)):
        inputs, outputs = shapes[layer]
        for i in range(inputs):
            first = matrix + i * padded[layer, 1]
            room[first : first + outputs] = row[source : source + outputs]
            source += outputs
        room[bias : bias + outputs] = row[source : source + outputs]
        source, matrix, bias = source + outputs, matrix + padded[layer, 0] * padded[layer, 1], bias + padded[layer, 1]


@compiled
def _unpad(room, shapes, padded, row):
    """The opposite of `_pad`."""
    source, matrix, bias = 0, 0, (padded[:, 0] * padded[:, 1]).sum()
    for layer in range(len(shapes)):
        inputs, outputs = shapes[layer]
        for i in range(inputs):
            first = matrix + i * padded[layer, 1]
            row[source : source + outputs] = room[first : first + outputs]
            source += outputs
        row[source : source + outputs] = room[bias : bias + outputs]
        source, matrix, bias = source + outputs, matrix + padded[layer, 0] * padded[layer, 1], bias + padded[layer, 1]


@compiled
def _adam(values, mean, square, slope, rate, beta1, beta2, epsilon, step):
    gain1, gain2 = np.float32(1 - beta1), np.float32(1 - beta2)
    keep1, keep2, floor = np.float32(beta1), np.float32(beta2), np.float32(epsilon)
    speed, inverse = np.float32(rate / (1 - beta1**step)), np.float32(1 / (1 - beta2**step))
    for k in range(len(values)):
        mean[k] = keep1 * mean[k] + gain1 * slope[k]
        square[k] = keep2 * square[k] + gain2 * slope[k] * slope[k]
        values[k] -= speed * mean[k] / (np.sqrt(square[k] * inverse) + floor)


@exact
def _blocks(x, targets, weights):
    """Points, targets and shares of the total weight in full blocks; what is behind the last weight is left out."""
    count, total = 0, 0.0
    for i in range(len(weights)):
        total += weights[i]
        if weights[i] > 0:
            count = i + 1
    blocks = (count + BLOCK - 1) // BLOCK
    points = np.zeros((blocks, BLOCK, _MULTIPLE), np.float32)
    goals, shares = np.zeros((blocks, BLOCK, 3), np.float32), np.zeros((blocks, BLOCK), np.float32)
    for i in range(count):
        block, s = i // BLOCK, i % BLOCK
        points[block, s, :2] = x[i]
        goals[block, s] = targets[i]
        shares[block, s] = weights[i] / total
    return points, goals, shares


@exact
def _slope_of_error(y, biases, goals, shares):
    """Turns outputs into the gradient of the error, in place; returns the error."""
    error = np.float32(0)
    for s in range(BLOCK):
        for axis in range(3):
            off = y[s, axis] + biases[axis] - goals[s, axis]
            error += shares[s] * off * off
            y[s, axis] = np.float32(2) * shares[s] * off
    return error


@exact
def _descend(points, goals, shares, values, padded, activation, omega, room):
    """The error of one chart, and its gradient by all values in `room[0]`."""
    slope, turned, h, here, below, kept, y = room
    layers, hidden = len(padded), len(padded) - 1
    first_bias = (padded[:, 0] * padded[:, 1]).sum()
    slope[:] = 0.0
    error = np.float32(0)
    for block in range(len(points)):
        source, matrix, bias = points[block], 0, first_bias
        for layer in range(hidden):
            inputs, width = padded[layer]
            z = kept[layer]
            dense(source if layer == 0 else h, 2 if layer == 0 else inputs, values, matrix, width, z, z)
            _activate(activation, z, values, bias, omega, width, h)
            matrix, bias = matrix + inputs * width, bias + width
        width, outputs = padded[hidden]
        dense(h, width, values, matrix, outputs, y, y)
        error += _slope_of_error(y, values[bias:], goals[block], shares[block])
        for s in range(BLOCK):
            for axis in range(3):
                slope[bias + axis] += y[s, axis]
        for layer in range(layers - 1, 0, -1):
            inputs, outputs = padded[layer]
            gradient = y if layer == hidden else here
            transpose(values, matrix, outputs, inputs, outputs, turned, 0, inputs)
            dense(gradient, outputs, turned, 0, inputs, below, below)
            bias -= inputs
            _retrace(activation, kept[layer - 1], omega, inputs, h, below, slope, bias)
            outer(h, inputs, gradient, outputs, slope, matrix)
            matrix -= padded[layer - 1, 0] * padded[layer - 1, 1]
            here, below = below, here
        outer(source, _MULTIPLE, here, padded[0, 1], slope, 0)
    return error


@compiled_parallel
def _fit(
    x, targets, weights, enough, parameters, mean, square,
    shapes, padded, activation, omega, done, steps, settings, error,
):  # fmt: skip
    size = (padded[:, 0] * padded[:, 1]).sum() + padded[:, 1].sum()
    widest, largest = padded[:-1, 1].max(), (padded[:, 0] * padded[:, 1]).max()
    for chart in prange(len(x)):
        points, goals, shares = _blocks(x[chart], targets[chart], weights[chart])
        state = np.empty((3, size), np.float32)
        _pad(parameters[chart], shapes, padded, state[0])
        _pad(mean[chart], shapes, padded, state[1])
        _pad(square[chart], shapes, padded, state[2])
        blocks = np.empty((3, BLOCK, widest + BESIDE), np.float32)
        kept = np.empty((len(shapes) - 1, BLOCK, widest + BESIDE), np.float32)
        y = np.empty((BLOCK, _MULTIPLE), np.float32)
        room = np.empty(size, np.float32), np.empty(largest, np.float32), blocks[0], blocks[1], blocks[2], kept, y
        for step in range(done + 1, done + steps + 1):
            error[chart] = _descend(points, goals, shares, state[0], padded, activation, omega, room)
            if error[chart] <= enough[chart]:
                break
            _adam(
                state[0], state[1], state[2], room[0],
                settings[0], settings[1], settings[2], settings[3], step,
            )  # fmt: skip
        _unpad(state[0], shapes, padded, parameters[chart])
        _unpad(state[1], shapes, padded, mean[chart])
        _unpad(state[2], shapes, padded, square[chart])
