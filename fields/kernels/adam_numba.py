"""One Adam step on the CPU in a single pass over memory; vectors of values without a gradient cost one read."""

import functools

import numpy as np
from numba import prange
from torch import Tensor

from .adam_reference import COUNT_LIMIT
from .numba_runtime import CHUNKS, compiled_parallel
from .numba_runtime import supports as supports
from .vector_adam import update, update_loops
from .vector_code import LANES


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
    settings = np.array([rate, 1.0 - beta1, 1.0 - beta2, epsilon, weight_decay], np.float32)
    _step(*arrays, count.numpy().view(np.uint16), settings, _corrections(beta1, beta2), sparse)


@functools.cache
def _corrections(beta1: float, beta2: float) -> np.ndarray:
    """1 / (1 - beta1^n) and 1 / sqrt(1 - beta2^n) for every count n; entry 0 is not used."""
    n = np.arange(1, COUNT_LIMIT + 1, dtype=np.float64)
    pairs = np.stack([1.0 / (1.0 - beta1**n), 1.0 / np.sqrt(1.0 - beta2**n)], axis=1)
    return np.concatenate([np.ones((1, 2)), pairs]).astype(np.float32)


@compiled_parallel
def _step(parameters, gradient, mean, square, count, settings, corrections, sparse):
    vectors = len(parameters) // LANES
    for chunk in prange(CHUNKS):
        first, last = vectors * chunk // CHUNKS, vectors * (chunk + 1) // CHUNKS
        update(
            parameters,
            gradient,
            mean,
            square,
            count,
            first * LANES,
            last - first,
            settings,
            corrections,
            sparse,
        )
    update_loops(
        parameters,
        gradient,
        mean,
        square,
        count,
        vectors * LANES,
        len(parameters),
        settings,
        corrections,
        sparse,
    )
