"""Every backend of networks with biases is held to the reference, that in turn to differences."""

import importlib
from types import ModuleType

import pytest
import torch
from torch import Tensor

from neufield.fields.kernels import dense_network_reference as reference
from neufield.fields.kernels.dense_network_geometry import DenseNetworkGeometry

CPU_BACKENDS = ("reference", "numba")
GEOMETRIES = {
    "nothing to pad": DenseNetworkGeometry(16, 16, 64, 2, "sine", 2.0, 3.0),
    "all to pad": DenseNetworkGeometry(2, 3, 21, 3, "sine", 30.0, 20.0),
    "one hidden layer": DenseNetworkGeometry(1, 1, 17, 1, "sine", 30.0, 30.0),
    "wide": DenseNetworkGeometry(2, 3, 256, 4, "sine", 30.0, 30.0),
    "finer": DenseNetworkGeometry(2, 3, 40, 3, "finer", 30.0, 30.0),
    "relu": DenseNetworkGeometry(19, 33, 48, 3, "relu"),
    "widest relu": DenseNetworkGeometry(40, 3, 512, 2, "relu"),
}
COUNTS = (0, 1, 127, 128, 129, 3000)
on_geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=list(GEOMETRIES))
on_cpu_backends = pytest.mark.parametrize("backend", CPU_BACKENDS)


def load(backend: str) -> ModuleType:
    return importlib.import_module(f"neufield.fields.kernels.dense_network_{backend}")


def reals(
    geometry: DenseNetworkGeometry, count: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, parameters and a gradient as training meets them."""
    generator = torch.Generator().manual_seed(count)
    parameters: list[Tensor] = []
    for i, (outputs, inputs) in enumerate(geometry.shapes):
        bound = 1.0 / inputs if i == 0 else (6.0 / inputs) ** 0.5 / geometry.hidden_omega
        parameters += [torch.rand(outputs * inputs, generator=generator) * 2 * bound - bound]
        parameters += [torch.rand(outputs, generator=generator) - 0.5]
    x = torch.rand(count, geometry.in_features, generator=generator) * 2 - 1
    gradient = torch.randn(count, geometry.out_features, generator=generator)
    return x.to(dtype), torch.cat(parameters).to(dtype), gradient.to(dtype)


def run(
    kernel: ModuleType, x: Tensor, parameters: Tensor, gradient: Tensor, geometry: DenseNetworkGeometry
) -> tuple[Tensor, ...]:
    """Outputs, gradient by x, gradient by the parameters."""
    out, kept = kernel.forward(x, parameters, geometry, keep=True)
    return out, *kernel.backward(x, parameters, kept, gradient, geometry, for_x=True)


@on_geometries
@pytest.mark.parametrize("count", COUNTS)
def test_values_and_gradients_are_the_reference_s(geometry: DenseNetworkGeometry, count: int, assert_agree):
    arguments = reals(geometry, count)
    truths = run(reference, *(argument.double() for argument in arguments), geometry)
    for found, truth in zip(run(load("numba"), *arguments, geometry), truths):
        assert found.shape == truth.shape
        if count:
            assert (found - truth).norm() <= 1e-5 * truth.norm()
            assert (found - truth).abs().max() <= 1e-5 * truth.abs().max()


@pytest.mark.parametrize("count", [1, 129])
def test_strides_do_not_matter(count: int):
    geometry = GEOMETRIES["all to pad"]
    x, parameters, gradient = reals(geometry, count)
    plain = run(load("numba"), x, parameters, gradient, geometry)
    for change in (lambda t: t.T.contiguous().T, lambda t: t.repeat_interleave(2, dim=0)[::2]):
        strided = run(load("numba"), change(x), parameters, change(gradient), geometry)
        assert all(torch.equal(one, other) for one, other in zip(plain, strided))


@on_cpu_backends
def test_a_gradient_that_is_not_asked_for_is_not_computed(backend: str):
    geometry, kernel = GEOMETRIES["all to pad"], load(backend)
    x, parameters, gradient = reals(geometry, 5)
    _, kept = kernel.forward(x, parameters, geometry, keep=True)
    found, _ = kernel.backward(x, parameters, kept, gradient, geometry, for_x=False)
    assert found is None


@on_cpu_backends
def test_outputs_are_the_same_with_and_without_what_backward_needs(backend: str):
    geometry = GEOMETRIES["all to pad"]
    x, parameters, _ = reals(geometry, 300)
    one, other = (load(backend).forward(x, parameters, geometry, keep=keep)[0] for keep in (True, False))
    assert torch.equal(one, other)


@on_cpu_backends
@pytest.mark.parametrize("name", ["all to pad", "finer", "relu"])
def test_nan_is_not_hidden_by_the_activation(backend: str, name: str):
    """A run that diverges must show it."""
    geometry = GEOMETRIES[name]
    x, parameters, gradient = reals(geometry, 3)
    x[1, 0] = torch.nan
    out, for_x, for_parameters = run(load(backend), x, parameters, gradient, geometry)
    assert out.isnan().any(dim=1).tolist() == [False, True, False]
    assert for_x.isnan().any(dim=1).tolist()[::2] == [False, False]
    assert for_parameters.isnan().any()


@pytest.mark.parametrize("name", ["all to pad", "one hidden layer", "finer", "relu"])
def test_the_reference_s_gradients_are_those_of_differences(name: str):
    geometry = GEOMETRIES[name]
    x, parameters, _ = reals(geometry, 3, torch.float64)
    arguments = (x.requires_grad_(), parameters.requires_grad_())
    assert torch.autograd.gradcheck(
        lambda x, parameters: reference.evaluate(x, parameters, geometry), arguments, fast_mode=True
    )


@pytest.mark.parametrize("activation", ["sine", "finer", "relu"])
def test_the_reference_s_second_derivatives_are_those_of_differences(activation: str):
    geometry = DenseNetworkGeometry(2, 2, 9, 2, activation, 3.0, 2.0)
    x, parameters, _ = reals(geometry, 2, torch.float64)
    arguments = (x.requires_grad_(), parameters.requires_grad_())
    assert torch.autograd.gradgradcheck(
        lambda x, parameters: reference.evaluate(x, parameters, geometry), arguments, fast_mode=True
    )


@pytest.mark.parametrize("name", ["wide", "finer"])
def test_gradients_repeat_on_any_number_of_threads(name: str, on_one_and_two_threads):
    geometry = GEOMETRIES[name]
    arguments = reals(geometry, 3000)
    alone, together = on_one_and_two_threads(lambda: run(load("numba"), *arguments, geometry))
    assert all(torch.equal(one, other) for one, other in zip(alone, together))


def test_parameters_are_layers_one_after_the_other():
    geometry = DenseNetworkGeometry(3, 2, 5, 2, "relu")
    assert geometry.shapes == ((5, 3), (5, 5), (2, 5))
    assert geometry.parameters == 5 * 4 + 5 * 6 + 2 * 6
    layers = geometry.layers(torch.arange(geometry.parameters))
    assert torch.equal(torch.cat([part.flatten() for layer in layers for part in layer]), torch.arange(62))
    assert [tuple(part.shape) for part in layers[1]] == [(5, 5), (5,)]
