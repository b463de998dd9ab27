"""One Adam step on the CPU in a single pass over memory; values without a gradient cost one read."""

import functools

import numpy as np
from numba import prange
from torch import Tensor

from .adam_reference import COUNT_LIMIT
from .numba_runtime import CHUNKS, compiled, compiled_parallel
from .numba_runtime import supports as supports

BLOCK = 1024


def step(
    parameters: Tensor,
    gradient: Tensor,
    mean: Tensor,
    square: Tensor,
    count: Tensor,
    *,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    sparse: bool,
) -> None:
    """Updates parameters, mean, square and count in place; see the reference for the formula."""
    arrays = [tensor.detach().numpy() for tensor in (parameters, gradient, mean, square)]
    settings = np.array([rate, beta1, beta2, epsilon, weight_decay], np.float32)
    _step(*arrays, count.numpy().view(np.uint16), settings, *_corrections(beta1, beta2), sparse)


@functools.cache
def _corrections(beta1: float, beta2: float) -> tuple[np.ndarray, np.ndarray]:
    """1 / (1 - beta1^n) and 1 / sqrt(1 - beta2^n) for every count n; entry 0 is not used."""
    n = np.arange(1, COUNT_LIMIT + 1, dtype=np.float64)
    return tuple(
        np.concatenate([[1.0], values]).astype(np.float32)
        for values in (1.0 / (1.0 - beta1**n), 1.0 / np.sqrt(1.0 - beta2**n))
    )  # pyright: ignore[reportReturnType]


@compiled_parallel
def _step(parameters, gradient, mean, square, count, settings, correction1, correction2, sparse):
    size = len(parameters)
    for chunk in prange(CHUNKS):
        first, last = size * chunk // CHUNKS, size * (chunk + 1) // CHUNKS
        scale1, scale2 = np.empty(BLOCK, np.float32), np.empty(BLOCK, np.float32)
        for start in range(first, last, BLOCK):
            part = slice(start, min(start + BLOCK, last))
            s1, s2 = scale1[: part.stop - start], scale2[: part.stop - start]
            _count(gradient[part], count[part], correction1, correction2, s1, s2, sparse)
            _update(parameters[part], gradient[part], mean[part], square[part], settings, s1, s2, sparse)


# Short loops over few arrays each: with more of them LLVM gives up on proving that they do not overlap, and does not
# vectorise. No branch on the gradient: which values have one is random, and a wrong guess costs more than the
# arithmetic.


@compiled
def _count(gradient, count, correction1, correction2, scale1, scale2, sparse):
    """Counts the values that take part, and looks up the bias corrections of their counts."""
    for i in range(len(gradient)):
        more = np.uint16(1) if gradient[i] != np.float32(0.0) or not sparse else np.uint16(0)
        count[i] = min(np.uint16(count[i] + more), np.uint16(COUNT_LIMIT))
    for i in range(len(gradient)):
        scale1[i] = correction1[np.uint32(count[i])]
    for i in range(len(gradient)):
        scale2[i] = correction2[np.uint32(count[i])]


@compiled
def _update(parameters, gradient, mean, square, settings, scale1, scale2, sparse):
    rate, beta1, beta2, epsilon, weight_decay = settings
    one, zero = np.float32(1.0), np.float32(0.0)
    for i in range(len(mean)):
        g = gradient[i] + weight_decay * parameters[i]
        mean[i] += (one - beta1) * (g - mean[i]) if gradient[i] != zero or not sparse else zero
    for i in range(len(square)):
        g = gradient[i] + weight_decay * parameters[i]
        square[i] += (one - beta2) * (g * g - square[i]) if gradient[i] != zero or not sparse else zero
    for i in range(len(scale1)):
        scale1[i] *= rate if gradient[i] != zero or not sparse else zero
    for i in range(len(parameters)):
        parameters[i] -= scale1[i] * mean[i] / (np.sqrt(square[i]) * scale2[i] + epsilon)
