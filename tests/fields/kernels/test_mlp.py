"""Every backend of the small network is held to the reference.

Weights and inputs are small integers where results are compared bit for bit: all sums are then exact in float32,
whatever their order, and no ReLU can decide otherwise.
"""

import importlib
from types import ModuleType

import pytest
import torch
from torch import Tensor

from neufield.fields.kernels import mlp_reference as reference
from neufield.fields.kernels.mlp_geometry import MLPGeometry

CPU_BACKENDS = ("reference", "numba")
GEOMETRIES = {
    "nothing to pad": MLPGeometry(32, 16, 64, 1),
    "inputs and outputs to pad": MLPGeometry(3, 1, 16, 2),
    "more outputs than neurons": MLPGeometry(17, 33, 16, 1),
    "three hidden layers": MLPGeometry(31, 3, 32, 3),
    "widest": MLPGeometry(40, 5, 128, 2),
    "three times widest": MLPGeometry(16, 16, 128, 3),
}
COUNTS = (0, 1, 127, 128, 129, 4500)
on_geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=list(GEOMETRIES))
on_cpu_backends = pytest.mark.parametrize("backend", CPU_BACKENDS)


def load(backend: str) -> ModuleType:
    return importlib.import_module(f"neufield.fields.kernels.mlp_{backend}")


def integers(geometry: MLPGeometry, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, weights and a gradient of small integers."""
    generator = torch.Generator().manual_seed(count)
    shapes = ((count, geometry.in_features), (geometry.parameters,), (count, geometry.out_features))
    x, weights, gradient = (torch.randint(-1, 2, shape, generator=generator).float() for shape in shapes)
    return x, weights, gradient


def reals(geometry: MLPGeometry, count: int, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, weights and a gradient as training meets them."""
    generator = torch.Generator().manual_seed(count)
    x = torch.randn(count, geometry.in_features, generator=generator, dtype=dtype)
    weights = torch.randn(geometry.parameters, generator=generator, dtype=dtype) * (2.0 / geometry.width) ** 0.5
    return x, weights, torch.randn(count, geometry.out_features, generator=generator, dtype=dtype)


def run(kernel: ModuleType, x: Tensor, weights: Tensor, gradient: Tensor, geometry: MLPGeometry) -> tuple[Tensor, ...]:
    """Outputs, gradient by x, gradient by the weights."""
    out, kept = kernel.forward(x, weights, geometry, keep=True)
    return out, *kernel.backward(x, weights, kept, gradient, geometry, for_x=True)


@on_geometries
@pytest.mark.parametrize("count", COUNTS)
def test_values_and_gradients_are_exact_on_integers(geometry: MLPGeometry, count: int):
    arguments = integers(geometry, count)
    for found, truth in zip(run(load("numba"), *arguments, geometry), run(reference, *arguments, geometry)):
        assert torch.equal(found, truth)


@on_geometries
def test_values_and_gradients_are_the_reference_s(geometry: MLPGeometry, assert_agree):
    arguments = reals(geometry, 150)
    for found, truth in zip(run(load("numba"), *arguments, geometry), run(reference, *arguments, geometry)):
        assert_agree(found, truth)


@pytest.mark.parametrize("count", [1, 129])
def test_strides_do_not_matter(count: int):
    geometry = GEOMETRIES["inputs and outputs to pad"]
    x, weights, gradient = reals(geometry, count)
    plain = run(load("numba"), x, weights, gradient, geometry)
    for change in (lambda t: t.T.contiguous().T, lambda t: t.repeat_interleave(2, dim=0)[::2]):
        strided = run(load("numba"), change(x), weights, change(gradient), geometry)
        assert all(torch.equal(one, other) for one, other in zip(plain, strided))


@on_cpu_backends
def test_a_gradient_that_is_not_asked_for_is_not_computed(backend: str):
    geometry, kernel = GEOMETRIES["inputs and outputs to pad"], load(backend)
    x, weights, gradient = reals(geometry, 5)
    _, kept = kernel.forward(x, weights, geometry, keep=True)
    found, _ = kernel.backward(x, weights, kept, gradient, geometry, for_x=False)
    assert found is None


@on_cpu_backends
def test_outputs_are_the_same_with_and_without_what_backward_needs(backend: str):
    geometry = GEOMETRIES["three hidden layers"]
    x, weights, _ = reals(geometry, 300)
    one, other = (load(backend).forward(x, weights, geometry, keep=keep)[0] for keep in (True, False))
    assert torch.equal(one, other)


@on_cpu_backends
def test_padded_inputs_get_no_weight_gradient(backend: str):
    geometry = GEOMETRIES["inputs and outputs to pad"]
    _, _, found = run(load(backend), *reals(geometry, 300), geometry)
    first = found[: 16 * 16].view(16, 16)
    last = found[-16 * 16 :].view(16, 16)
    assert not first[:, 3:].any()
    assert not last[1:].any()
    assert first[:, :3].any()
    assert last[:1].any()


@on_cpu_backends
def test_nan_is_not_hidden_by_the_relu(backend: str):
    """A run that diverges must show it."""
    geometry = GEOMETRIES["three hidden layers"]
    x, weights, gradient = reals(geometry, 3)
    x[1, 0] = torch.nan
    out, for_x, for_weights = run(load(backend), x, weights, gradient, geometry)
    assert out.isnan().any(dim=1).tolist() == [False, True, False]
    assert for_x.isnan().any(dim=1).tolist()[::2] == [False, False]
    assert for_weights.isnan().any()


@on_geometries
def test_the_reference_s_gradients_are_those_of_differences(geometry: MLPGeometry):
    x, weights, _ = reals(geometry, 3, torch.float64)
    arguments = (x.requires_grad_(), weights.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda x, weights: reference.evaluate(x, weights, geometry), arguments, fast_mode=True
    )


def test_the_reference_s_second_derivatives_are_those_of_differences():
    geometry = MLPGeometry(2, 2, 16, 1)
    x, weights, _ = reals(geometry, 2, torch.float64)
    arguments = (x.requires_grad_(), weights.requires_grad_())
    assert torch.autograd.gradgradcheck(
        lambda x, weights: reference.evaluate(x, weights, geometry), arguments, fast_mode=True
    )


def test_gradients_repeat_on_any_number_of_threads(on_one_and_two_threads):
    geometry = GEOMETRIES["widest"]
    arguments = reals(geometry, 6000)
    alone, together = on_one_and_two_threads(lambda: run(load("numba"), *arguments, geometry))
    assert all(torch.equal(one, other) for one, other in zip(alone, together))


def test_parameters_are_padded_matrices_one_after_the_other():
    geometry = MLPGeometry(3, 17, 64, 2)
    assert geometry.shapes == ((64, 16), (64, 64), (32, 64))
    assert geometry.parameters == 64 * 16 + 64 * 64 + 32 * 64


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3, 64, 2), "needs inputs and outputs, got 0 and 3"),
        ((3, 0, 64, 2), "needs inputs and outputs, got 3 and 0"),
        ((3, 3, 48, 2), "is 16, 32, 64 or 128; got 48"),
        ((3, 3, 64, 0), "at least one hidden layer, got 0"),
    ],
)
def test_impossible_geometries_are_refused(arguments: tuple[int, int, int, int], message: str):
    with pytest.raises(ValueError, match=message):
        MLPGeometry(*arguments)
