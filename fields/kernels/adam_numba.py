"""One Adam step on the CPU in a single pass over memory; values without a gradient cost one read."""

import functools

import numpy as np
from numba import njit, prange
from torch import Tensor

from .adam_reference import COUNT_LIMIT
from .numba_runtime import CHUNKS, FASTMATH
from .numba_runtime import supports as supports


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
    arrays = [tensor.detach().numpy() for tensor in (parameters, gradient, mean, square, count)]
    settings = np.array([rate, beta1, beta2, epsilon, weight_decay], np.float32)
    _step(*arrays, settings, *_corrections(beta1, beta2), sparse)


@functools.cache
def _corrections(beta1: float, beta2: float) -> tuple[np.ndarray, np.ndarray]:
    """1 / (1 - beta1^n) and 1 / sqrt(1 - beta2^n) for every count n; entry 0 is not used."""
    n = np.arange(1, COUNT_LIMIT + 1, dtype=np.float64)
    return tuple(
        np.concatenate([[1.0], values]).astype(np.float32)
        for values in (1.0 / (1.0 - beta1**n), 1.0 / np.sqrt(1.0 - beta2**n))
    )  # pyright: ignore[reportReturnType]


@njit(cache=True, parallel=True, fastmath=FASTMATH)
def _step(parameters, gradient, mean, square, count, settings, correction1, correction2, sparse):
    rate, beta1, beta2, epsilon, weight_decay = settings
    one = np.float32(1.0)
    size = len(parameters)
    for chunk in prange(CHUNKS):
        for i in range(size * chunk // CHUNKS, size * (chunk + 1) // CHUNKS):
            g = gradient[i]
            if sparse and g == np.float32(0.0):
                continue
            g += weight_decay * parameters[i]
            n = min(count[i] + 1, COUNT_LIMIT)
            count[i] = n
            mean[i] = beta1 * mean[i] + (one - beta1) * g
            square[i] = beta2 * square[i] + (one - beta2) * g * g
            parameters[i] -= rate * mean[i] * correction1[n] / (np.sqrt(square[i]) * correction2[n] + epsilon)
