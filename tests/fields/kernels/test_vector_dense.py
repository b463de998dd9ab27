"""The emitted vector code computes what its portable twins do."""

import numpy as np
import pytest
from numba import njit

from neufield.fields.kernels.vector_dense import (
    BLOCK,
    LANES,
    REGISTER_SUMS,
    dense,
    dense_loops,
    multiply_adds,
    outer,
    outer_loops,
)


@njit
def run_dense(weights, first, outputs, inputs, x, y):
    dense(weights, first, outputs, inputs, x, y)


@njit
def run_outer(gradient, outputs, x, inputs, total, first):
    outer(gradient, outputs, x, inputs, total, first)


@njit
def run_multiply_adds(out, rounds):
    multiply_adds(out, rounds)


def draw(*shape: int) -> np.ndarray:
    """Small integers: their sums are exact in any order."""
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32)


@pytest.mark.parametrize(("outputs", "inputs"), [(8, 1), (16, 16), (16, 3), (64, 32), (128, 128), (24, 40)])
def test_dense_is_its_portable_twin(outputs: int, inputs: int):
    first = 5
    weights, x = draw(first + outputs * inputs + 7), draw(inputs, BLOCK)
    found, truth = np.full((outputs, BLOCK), np.nan, np.float32), np.empty((outputs, BLOCK), np.float32)
    run_dense(weights, first, outputs, inputs, x, found)
    dense_loops(weights, first, outputs, inputs, x, truth)
    np.testing.assert_array_equal(found, truth)


@pytest.mark.parametrize(("outputs", "inputs"), [(16, 16), (64, 32), (16, 128), (128, 128)])
def test_outer_is_its_portable_twin_and_touches_nothing_beside(outputs: int, inputs: int):
    first = 3
    gradient, x, before = draw(outputs, BLOCK), draw(inputs, BLOCK), draw(first + outputs * inputs + 9)
    found, truth = before.copy(), before.copy()
    run_outer(gradient, outputs, x, inputs, found, first)
    outer_loops(gradient, outputs, x, inputs, truth, first)
    np.testing.assert_array_equal(found, truth)
    np.testing.assert_array_equal(found[:first], before[:first])
    np.testing.assert_array_equal(found[-9:], before[-9:])


def test_a_block_is_a_whole_number_of_vectors():
    assert LANES in (4, 8, 16)
    assert BLOCK % (2 * LANES) == 0


def test_the_measure_of_multiply_adds_does_them_all():
    """Every vector gets its own product as often as was asked."""
    out = np.arange(1.0, LANES * REGISTER_SUMS + 1.0, dtype=np.float32)
    before = out.reshape(REGISTER_SUMS, LANES).copy()
    run_multiply_adds(out, 5)
    expected = [before[k] + 5.0 * before[k % 4] * before[4 + k // 4] for k in range(REGISTER_SUMS)]
    np.testing.assert_allclose(out.reshape(REGISTER_SUMS, LANES), expected, rtol=1e-6)
