"""Every backend of the optimiser's step is held to the reference."""

import importlib

import numpy as np
import pytest
import torch
from numba import njit
from torch import Tensor

from neufield.fields.kernels.adam_numba import _corrections
from neufield.fields.kernels.adam_reference import COUNT_LIMIT
from neufield.fields.kernels.vector_adam import update, update_loops
from neufield.fields.kernels.vector_code import LANES

CPU_BACKENDS = ("reference", "numba")
SETTINGS = {"rate": 1e-2, "beta1": 0.9, "beta2": 0.99, "epsilon": 1e-15, "weight_decay": 0.0}
on_cpu_backends = pytest.mark.parametrize("backend", CPU_BACKENDS)


@njit
def run_update(parameters, gradient, mean, square, count, start, vectors, settings, corrections, sparse):
    update(parameters, gradient, mean, square, count, start, vectors, settings, corrections, sparse)


def start(size: int) -> list[Tensor]:
    """Parameters, mean, square, count."""
    parameters = torch.randn(size, generator=torch.Generator().manual_seed(size))
    return [parameters, torch.zeros(size), torch.zeros(size), torch.zeros(size, dtype=torch.int16)]


def run(backend: str, state: list[Tensor], gradients: list[Tensor], **settings: float | bool) -> list[Tensor]:
    """The state after a step for each gradient; the one given is left alone."""
    kernel = importlib.import_module(f"neufield.fields.kernels.adam_{backend}")
    parameters, mean, square, count = (tensor.clone() for tensor in state)
    for gradient in gradients:
        kernel.step(parameters, gradient, mean, square, count, **{**SETTINGS, "sparse": True, **settings})
    return [parameters, mean, square, count]


def sparse_gradients(size: int, steps: int = 6) -> list[Tensor]:
    """Half of the values are zero, others every time; the sizes differ by many orders."""
    generator = torch.Generator().manual_seed(7)
    return [
        torch.randn(size, generator=generator)
        * torch.pow(10.0, torch.randint(-9, 3, (size,), generator=generator).float())
        * (torch.rand(size, generator=generator) < 0.5)
        for _ in range(steps)
    ]


@pytest.mark.parametrize("size", [0, 1, 15, 17, 1000])
@pytest.mark.parametrize("sparse", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("beta1", [0.9, 0.5])
def test_steps_are_the_reference_s(size: int, sparse: bool, weight_decay: float, beta1: float, assert_agree):
    gradients, settings = sparse_gradients(size), {"sparse": sparse, "weight_decay": weight_decay, "beta1": beta1}
    *found, count = run("numba", start(size), gradients, **settings)
    *truth, true_count = run("reference", start(size), gradients, **settings)
    assert torch.equal(count, true_count)
    for one, other in zip(found, truth):
        assert_agree(one, other)


@pytest.mark.parametrize("sparse", [True, False])
def test_vectors_are_updated_as_single_values_are(sparse: bool):
    """Also where no lane of a vector has a gradient, where one is no number, and where counts stop."""
    values = np.random.default_rng(0).normal(size=(4, 4 * LANES)).astype(np.float32)
    values[1, :LANES], values[1, LANES::3], values[1, -1] = 0.0, -0.0, np.nan
    values[3] = np.abs(values[3])
    count = np.arange(4 * LANES, dtype=np.uint16) + np.uint16(1)
    count[-LANES:] = COUNT_LIMIT
    settings = np.array([1e-2, 0.1, 0.01, 1e-8, 0.1], np.float32)
    found, truth = ([*(row.copy() for row in values), count.copy()] for _ in range(2))
    run_update(*found, 0, 4, settings, _corrections(0.9, 0.99), sparse)
    update_loops(*truth, 0, 4 * LANES, settings, _corrections(0.9, 0.99), sparse)
    for one, other in zip(found, truth):
        np.testing.assert_allclose(one, other, rtol=1e-5)
    untouched = (values[1] == 0.0) & sparse
    np.testing.assert_array_equal(found[0][untouched], values[0][untouched])


@on_cpu_backends
def test_values_without_a_gradient_are_left_alone_bit_for_bit(backend: str):
    before = run(backend, start(200), sparse_gradients(200))
    (gradient,) = sparse_gradients(200, 1)
    after = run(backend, before, [gradient], weight_decay=0.1)
    untouched = gradient == 0
    for old, new in zip(before, after):
        assert torch.equal(old[untouched], new[untouched])
    assert (before[0] != after[0])[~untouched].any()
    assert (after[3] - before[3])[~untouched].eq(1).all()


@on_cpu_backends
def test_the_first_step_is_as_long_as_the_rate_whatever_the_gradient(backend: str):
    """Which is why steps are counted by value: a rarely touched value's first step is corrected as a first step."""
    state = start(3)
    gradients = [torch.tensor([1.0, 0.0, 0.0])] * 5 + [torch.tensor([0.0, -1e-6, 0.0])]
    parameters, _, _, count = run(backend, state, gradients)
    assert count.tolist() == [5, 1, 0]
    assert (parameters - state[0])[1:].tolist() == pytest.approx([1e-2, 0.0], rel=1e-4)


@on_cpu_backends
def test_counts_stop_at_their_limit(backend: str):
    state = start(4)
    state[3] = torch.tensor([COUNT_LIMIT - 2, COUNT_LIMIT - 1, COUNT_LIMIT, 0], dtype=torch.int16)
    parameters, _, _, count = run(backend, state, [torch.ones(4)] * 2)
    assert count.tolist() == [COUNT_LIMIT, COUNT_LIMIT, COUNT_LIMIT, 2]
    assert parameters.isfinite().all()
    assert parameters[0] - state[0][0] == pytest.approx((parameters[2] - state[0][2]).item(), rel=1e-3)


def test_steps_repeat_on_any_number_of_threads(on_one_and_two_threads):
    alone, together = on_one_and_two_threads(lambda: run("numba", start(5000), sparse_gradients(5000, 3)))
    assert all(torch.equal(one, other) for one, other in zip(alone, together))
