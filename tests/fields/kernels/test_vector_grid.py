"""The emitted vector code computes what its portable twins do, for every number of dimensions and features."""

import numpy as np
import pytest
from numba import njit

from neufield.fields.kernels.hash_grid_geometry import PRIMES
from neufield.fields.kernels.vector_grid import (
    BLOCK,
    add_pairs,
    corners,
    corners_loops,
    gather,
    gather_loops,
    read_pairs,
    scatter,
    scatter_loops,
)

on_dimensions = pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
on_features = pytest.mark.parametrize("features", [1, 2, 4, 8])


@njit
def run_corners(x, dimensions, columns, start, scale, factors, size, hashed, derivative_axis, entry, weight):
    corners(x, dimensions, columns, start, scale, factors, size, hashed, derivative_axis, entry, weight)


@njit
def run_gather(table, first, features, entry, weight, corners, count, out, columns, place):
    gather(table, first, features, entry, weight, corners, count, out, columns, place)


@njit
def run_scatter(table, first, features, entry, weight, corners, count, gradient, columns, place):
    scatter(table, first, features, entry, weight, corners, count, gradient, columns, place)


@njit
def run_read_pairs(table, places, count, out):
    read_pairs(table, places, count, out)


@njit
def run_add_pairs(table, places, count):
    add_pairs(table, places, count)


def coordinates(dimensions: int) -> np.ndarray:
    """Two blocks: anywhere, on and beyond the borders, and no numbers."""
    x = np.random.default_rng(dimensions).uniform(-0.1, 1.1, (dimensions, 2 * BLOCK)).astype(np.float32)
    x[:, BLOCK : BLOCK + 7] = np.array([0.0, 1.0, -np.inf, np.inf, np.nan, 0.5, -0.0], np.float32)
    return x


@on_dimensions
@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("last_axis_derived", [False, True])
def test_corners_are_those_of_the_portable_twin(dimensions: int, hashed: bool, last_axis_derived: bool):
    resolution, scale = 9, np.float32(8.0)
    size = 1 << 6 if hashed else -(-(resolution**dimensions) // 8) * 8
    factors = np.array([PRIMES[d] if hashed else resolution**d for d in range(dimensions)], np.uint32)
    derivative_axis = dimensions - 1 if last_axis_derived else -1
    shape, x = (1 << dimensions, BLOCK), coordinates(dimensions)
    found, truth = ((np.empty(shape, np.uint32), np.empty(shape, np.float32)) for _ in range(2))
    for start in (0, BLOCK):
        run_corners(x, dimensions, 2 * BLOCK, start, scale, factors, size, hashed, derivative_axis, *found)
        corners_loops(x, dimensions, 2 * BLOCK, start, scale, factors, size, hashed, derivative_axis, *truth)
        np.testing.assert_array_equal(found[0], truth[0])
        np.testing.assert_allclose(found[1], truth[1], rtol=1e-6, atol=1e-6)
        assert found[0].max() < size


@on_features
@pytest.mark.parametrize("count", [0, 1, 77, BLOCK])
def test_gather_and_scatter_are_their_portable_twins(features: int, count: int):
    """Small integers, whose sums are exact in any order; places outside the block are left alone."""
    random = np.random.default_rng(features)
    first, entries, corners_of_a_cell, columns, place = 5, 40, 8, BLOCK + 3, 2
    table = random.integers(-4, 5, (first + entries, features)).astype(np.float32)
    entry = random.integers(0, entries, (corners_of_a_cell, BLOCK)).astype(np.uint32)
    weight = random.integers(-3, 4, (corners_of_a_cell, BLOCK)).astype(np.float32)
    arguments = first, features, entry, weight, corners_of_a_cell, count
    found, truth = (np.full((features, columns), 9.0, np.float32) for _ in range(2))
    run_gather(table, *arguments, found, columns, place)
    gather_loops(table, *arguments, truth, columns, place)
    np.testing.assert_array_equal(found, truth)
    slope = random.integers(-4, 5, (features, columns)).astype(np.float32)
    found, truth = table.copy(), table.copy()
    run_scatter(found, *arguments, slope, columns, place)
    scatter_loops(truth, *arguments, slope, columns, place)
    np.testing.assert_array_equal(found, truth)
    np.testing.assert_array_equal(found[:first], table[:first])


def test_the_measures_of_memory_visit_every_place():
    places = np.array([3, 0, 3, 1, 2, 2, 2, 7] * 3, np.uint32)
    table = np.arange(16, dtype=np.float32).reshape(8, 2)
    out = np.zeros(2, np.float32)
    run_read_pairs(table, places, len(places), out)
    np.testing.assert_array_equal(out, table[places].sum(axis=0))
    run_add_pairs(table, places, len(places))
    expected = np.arange(16, dtype=np.float32).reshape(8, 2) + np.bincount(places, minlength=8)[:, None]
    np.testing.assert_array_equal(table, expected)
