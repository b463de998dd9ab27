"""The emitted vector code computes what its portable twins do."""

import numpy as np
import pytest
from numba import njit

from neufield.fields.kernels.vector_code import LANES
from neufield.fields.kernels.vector_dense import (
    BLOCK,
    REGISTER_SUMS,
    dense,
    dense_gated,
    dense_loops,
    dense_relu,
    multiply_adds,
    outer,
    outer_loops,
    transpose,
)


@njit
def run_dense(x, inputs, weights, first, outputs, y):
    dense(x, inputs, weights, first, outputs, y, y)


@njit
def run_dense_relu(x, inputs, weights, first, outputs, y):
    dense_relu(x, inputs, weights, first, outputs, y, y)


@njit
def run_dense_gated(x, inputs, weights, first, outputs, y, gate):
    dense_gated(x, inputs, weights, first, outputs, y, gate)


@njit
def run_outer(x, inputs, gradient, outputs, total, first):
    outer(x, inputs, gradient, outputs, total, first)


@njit
def run_transpose(x, x_start, x_pitch, rows, columns, y, y_start, y_pitch):
    transpose(x, x_start, x_pitch, rows, columns, y, y_start, y_pitch)


@njit
def run_multiply_adds(out, rounds):
    multiply_adds(out, rounds)


def draw(*shape: int) -> np.ndarray:
    """Small integers: their sums are exact in any order."""
    return np.random.default_rng(len(shape)).integers(-4, 5, shape).astype(np.float32)


@pytest.mark.parametrize(("outputs", "inputs"), [(16, 1), (16, 16), (16, 3), (64, 32), (128, 128), (48, 40)])
def test_dense_is_its_portable_twin(outputs: int, inputs: int):
    first = 5
    weights, x = draw(first + outputs * inputs + 7), draw(BLOCK, inputs)
    found, truth = np.full((BLOCK, outputs), np.nan, np.float32), np.empty((BLOCK, outputs), np.float32)
    dense_loops(x, inputs, weights, first, outputs, truth)
    run_dense(x, inputs, weights, first, outputs, found)
    np.testing.assert_array_equal(found, truth)
    run_dense_relu(x, inputs, weights, first, outputs, found)
    np.testing.assert_array_equal(found, np.maximum(truth, 0.0))
    gate = draw(BLOCK, outputs)
    run_dense_gated(x, inputs, weights, first, outputs, found, gate)
    np.testing.assert_array_equal(found, np.where(gate > 0.0, truth, 0.0))


@pytest.mark.parametrize(("outputs", "inputs"), [(16, 16), (64, 32), (16, 128), (48, 64), (128, 128)])
def test_outer_is_its_portable_twin_and_touches_nothing_beside(outputs: int, inputs: int):
    first = 3
    gradient, x, before = draw(BLOCK, outputs), draw(BLOCK, inputs), draw(first + outputs * inputs + 9)
    found, truth = before.copy(), before.copy()
    run_outer(x, inputs, gradient, outputs, found, first)
    outer_loops(x, inputs, gradient, outputs, truth, first)
    np.testing.assert_array_equal(found, truth)
    np.testing.assert_array_equal(found[:first], before[:first])
    np.testing.assert_array_equal(found[-9:], before[-9:])


@pytest.mark.parametrize(("rows", "columns"), [(16, 16), (BLOCK, 16), (48, BLOCK)])
def test_transpose_of_a_part(rows: int, columns: int):
    x = np.arange((rows + 2) * (columns + 5), dtype=np.float32).reshape(rows + 2, columns + 5)
    found = np.zeros((columns + 1, rows + 3), np.float32)
    run_transpose(x, columns + 5 + 4, columns + 5, rows, columns, found, 2, rows + 3)
    expected = np.zeros_like(found)
    expected[:columns, 2 : rows + 2] = x[1 : rows + 1, 4 : columns + 4].T
    np.testing.assert_array_equal(found, expected)


def test_a_block_is_a_whole_number_of_vectors():
    assert LANES in (4, 8, 16)
    assert BLOCK % LANES == 0


def test_the_measure_of_multiply_adds_does_them_all():
    """Every vector gets its own product as often as was asked."""
    out = np.arange(1.0, LANES * REGISTER_SUMS + 1.0, dtype=np.float32)
    before = out.reshape(REGISTER_SUMS, LANES).copy()
    run_multiply_adds(out, 5)
    expected = [before[k] + 5.0 * before[k % 4] * before[4 + k // 4] for k in range(REGISTER_SUMS)]
    np.testing.assert_allclose(out.reshape(REGISTER_SUMS, LANES), expected, rtol=1e-6)
