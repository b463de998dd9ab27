"""The emitted activations compute what their portable twins do, and sines are accurate far from zero."""

import numpy as np
import pytest
from numba import njit

from neufield.fields.kernels.numba_runtime import exact
from neufield.fields.kernels.vector_activations import (
    FINER,
    RELU,
    SINE,
    activate_finer,
    activate_loops,
    activate_relu,
    activate_sine,
    curve_finer,
    curve_relu,
    curve_sine,
    retrace_finer,
    retrace_loops,
    retrace_relu,
    retrace_sine,
)
from neufield.fields.kernels.vector_dense import BLOCK

WIDTH = 48


def intrinsics(activate, retrace):
    """Both as functions that Python can call."""

    @njit
    def run_activate(z, biases, first, omega, width, h):
        activate(z, biases, first, omega, width, h)

    @njit
    def run_retrace(z, omega, width, h, gradient, total, first):
        retrace(z, omega, width, h, gradient, total, first)

    return run_activate, run_retrace


RUN = {
    SINE: intrinsics(activate_sine, retrace_sine),
    FINER: intrinsics(activate_finer, retrace_finer),
    RELU: intrinsics(activate_relu, retrace_relu),
}


@exact
def run_sine(z, biases, h, gradient, total):
    activate_sine(z, biases, 0, np.float32(1.0), z.shape[1], h)
    retrace_sine(z, np.float32(1.0), z.shape[1], h, gradient, total, 0)


def sine_and_cosine(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both of any number of floats."""
    z = np.zeros((BLOCK, -(-len(x) // BLOCK) // 16 * 16 + 16), np.float32)
    z.reshape(-1)[: len(x)] = x
    nothing, total = np.zeros((2, z.shape[1]), np.float32)
    h, gradient = np.empty_like(z), np.ones_like(z)
    run_sine(z, nothing, h, gradient, total)
    return h.reshape(-1)[: len(x)], gradient.reshape(-1)[: len(x)]


@pytest.mark.parametrize("limit", [1.0, 100.0, 5000.0, 10000.0])
def test_sines_are_accurate(limit: float):
    x = np.concatenate(
        [
            np.random.default_rng(0).uniform(-limit, limit, 100_000),
            np.pi / 2.0 * np.arange(-(limit // 1.6), limit // 1.6),  # where r is largest, and where it is zero
            [0.0, -0.0, 1e-30, np.finfo(np.float32).tiny],
        ]
    ).astype(np.float32)
    for found, truth in zip(sine_and_cosine(x), (np.sin(np.float64(x)), np.cos(np.float64(x)))):
        np.testing.assert_allclose(found, truth, rtol=0.0, atol=2e-7)


def test_sines_stay_bounded_and_show_what_is_no_number():
    huge = np.array([1e7, -3e8, 1e20, 3e38], np.float32)
    for found in sine_and_cosine(huge):
        assert (np.abs(found) <= 1.0).all()
    for found in sine_and_cosine(np.array([np.nan, np.inf, -np.inf], np.float32)):
        assert np.isnan(found).all()


@pytest.mark.parametrize("activation", RUN)
@pytest.mark.parametrize("omega", [1.0, 30.0])
def test_activations_are_their_portable_twins(activation: int, omega: float):
    """On multiples of 1/64, of which the arguments of sines are exact floats."""
    random = np.random.default_rng(activation)
    run_activate, run_retrace = RUN[activation]
    frequency, first = np.float32(omega), 3
    biases, start = random.integers(-64, 65, WIDTH + 9) / 64.0, random.integers(-128, 129, (BLOCK, WIDTH + 5)) / 64.0
    slopes, totals = random.normal(size=(BLOCK, WIDTH + 16)), random.normal(size=WIDTH + 9)
    results = []
    for activate, retrace in ((run_activate, run_retrace), (activate_loops, retrace_loops)):
        z, offsets, gradient, total = (array.astype(np.float32) for array in (start, biases, slopes, totals))
        h, again = np.zeros((BLOCK, WIDTH + 16), np.float32), np.zeros((BLOCK, WIDTH + 16), np.float32)
        chosen = (activation,) if activate is activate_loops else ()
        activate(*chosen, z, offsets, first, frequency, WIDTH, h)
        retrace(*chosen, z, frequency, WIDTH, again, gradient, total, first)
        np.testing.assert_array_equal(h, again)
        results.append((z, h, gradient, total))
    for found, truth in zip(*results):
        np.testing.assert_allclose(found, truth, rtol=1e-6, atol=1e-6 * np.abs(truth).max())


CURVES = {SINE: curve_sine, FINER: curve_finer, RELU: curve_relu}


@pytest.mark.parametrize("activation", CURVES)
def test_curves_are_an_activation_and_three_derivatives(activation: int):
    """The first two are `retrace`'s; each of the next ones is the slope of the one before."""
    intrinsic = CURVES[activation]

    @njit
    def run(z, s, omega, width, curve):
        intrinsic(z, s, omega, width, curve)

    random, omega, step = np.random.default_rng(activation), np.float32(3.0), np.float32(1.0 / 256.0)
    z = (random.integers(-64, 65, (BLOCK, WIDTH + 16)) / 32.0 + 1.0 / 64.0).astype(np.float32)
    curves = [np.zeros((4, WIDTH), np.float32) for _ in range(3)]
    for curve, shift in zip(curves, (-step, np.float32(0.0), step)):
        run(z + shift, 5, omega, WIDTH, curve)
    h, gradient, total = np.zeros_like(z), np.ones_like(z), np.zeros(WIDTH, np.float32)
    retrace_loops(activation, z, omega, WIDTH, h, gradient, total, 0)
    below, there, above = curves
    np.testing.assert_allclose(there[0], h[5, :WIDTH], rtol=0.0, atol=1e-6)
    np.testing.assert_allclose(there[1], gradient[5, :WIDTH], rtol=1e-6, atol=1e-5)
    for n in (2, 3):
        slopes = (above[n - 1] - below[n - 1]) / (2.0 * step)
        np.testing.assert_allclose(there[n], slopes, rtol=0.0, atol=0.01 * np.abs(slopes).max())
