"""Every backend of a network's derivatives is held to the reference, that in turn to autograd and to differences."""

import importlib
from types import ModuleType

import pytest
import torch
from torch import Tensor

from neufield.fields.jet_operation import evaluate_jets
from neufield.fields.kernels import dense_jets_reference as reference
from neufield.fields.kernels import dense_network_reference
from neufield.fields.kernels.dense_network_geometry import DenseNetworkGeometry

GEOMETRIES = {
    "nothing to pad": DenseNetworkGeometry(16, 16, 64, 2, "sine", 2.0, 3.0),
    "all to pad": DenseNetworkGeometry(2, 3, 21, 3, "sine", 30.0, 20.0),
    "one hidden layer": DenseNetworkGeometry(1, 1, 17, 1, "sine", 30.0, 30.0),
    "wide": DenseNetworkGeometry(2, 3, 256, 4, "sine", 30.0, 30.0),
    "finer": DenseNetworkGeometry(2, 3, 40, 3, "finer", 5.0, 5.0),
    "relu": DenseNetworkGeometry(3, 33, 48, 3, "relu"),
}
on_geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=list(GEOMETRIES))
on_orders = pytest.mark.parametrize("curved", [False, True], ids=["slopes", "curvature"])


def load(backend: str) -> ModuleType:
    return importlib.import_module(f"neufield.fields.kernels.dense_jets_{backend}")


def reals(geometry: DenseNetworkGeometry, count: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Inputs, two directions and parameters as training meets them."""
    generator = torch.Generator().manual_seed(count)
    parameters: list[Tensor] = []
    for i, (outputs, inputs) in enumerate(geometry.shapes):
        bound = 1.0 / inputs if i == 0 else (6.0 / inputs) ** 0.5 / geometry.hidden_omega
        parameters += [torch.rand(outputs * inputs, generator=generator) * 2 * bound - bound]
        parameters += [torch.rand(outputs, generator=generator) - 0.5]
    x = torch.rand(count, geometry.in_features, generator=generator) * 2 - 1
    directions = torch.randn(2, count, geometry.in_features, generator=generator)
    return [tensor.to(dtype) for tensor in (x, directions, torch.cat(parameters))]


def run(kernel: ModuleType, arguments: list[Tensor], geometry: DenseNetworkGeometry, curved: bool) -> list[Tensor]:
    """Channels, gradient by x, gradient by the parameters: by turns of one channel and of all."""
    x, directions, parameters = arguments
    out, kept = kernel.forward(*arguments, geometry, curved=curved, keep=True)
    found = [*out]
    generator = torch.Generator().manual_seed(1)
    slopes = torch.randn(out.shape, generator=generator).to(x.dtype)
    for chosen in [*range(len(out)), slice(None)]:
        gradient = torch.zeros_like(slopes)
        gradient[chosen] = slopes[chosen]
        found += kernel.backward(x, directions, parameters, kept, gradient, geometry, curved=curved, for_x=True)
    return found


@on_geometries
@on_orders
@pytest.mark.parametrize("count", [0, 1, 129, 1000])
def test_channels_and_gradients_are_the_reference_s(geometry: DenseNetworkGeometry, curved: bool, count: int):
    arguments = reals(geometry, count)
    truths = run(reference, [argument.double() for argument in arguments], geometry, curved)
    for found, truth in zip(run(load("numba"), arguments, geometry, curved), truths):
        assert found.shape == truth.shape
        if count:
            assert (found - truth).norm() <= 1e-4 * truth.norm()
            assert (found - truth).abs().max() <= 1e-4 * truth.abs().max()


@pytest.mark.parametrize("activation", ["sine", "finer", "relu"])
def test_the_reference_agrees_with_autograd(activation: str):
    geometry = DenseNetworkGeometry(3, 2, 9, 3, activation, 3.0, 2.0)
    x, directions, parameters = reals(geometry, 7, torch.float64)

    def along(t: Tensor) -> Tensor:
        moved = x + torch.einsum("k,knd->nd", t, directions)
        return dense_network_reference.evaluate(moved, parameters, geometry)

    zero = torch.zeros(2, dtype=torch.float64)
    slopes = torch.autograd.functional.jacobian(along, zero)
    out = reference.evaluate(x, directions, parameters, geometry, curved=True)
    torch.testing.assert_close(out[0], along(zero))
    torch.testing.assert_close(out[1:3], torch.as_tensor(slopes).permute(2, 0, 1))
    bends = [
        torch.autograd.functional.jacobian(
            lambda t: torch.autograd.functional.jacobian(along, t, create_graph=True), zero
        )
    ]
    torch.testing.assert_close(out[3], torch.einsum("nckk->nc", bends[0]))


@pytest.mark.parametrize("activation", ["sine", "finer"])
def test_the_reference_s_gradients_are_those_of_differences(activation: str):
    geometry = DenseNetworkGeometry(2, 2, 7, 2, activation, 3.0, 2.0)
    x, directions, parameters = reals(geometry, 2, torch.float64)

    def evaluate(x: Tensor, parameters: Tensor) -> Tensor:
        return evaluate_jets(x, directions, parameters, geometry, curved=True, backend="reference")

    arguments = x.requires_grad_(), parameters.requires_grad_()
    assert torch.autograd.gradcheck(evaluate, arguments, fast_mode=True)
    assert torch.autograd.gradgradcheck(evaluate, arguments, fast_mode=True)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_gradient_that_is_not_asked_for_is_not_computed(backend: str):
    geometry, kernel = GEOMETRIES["all to pad"], load(backend)
    arguments = reals(geometry, 5)
    out, kept = kernel.forward(*arguments, geometry, curved=False, keep=True)
    found, _ = kernel.backward(*arguments, kept, torch.ones_like(out), geometry, curved=False, for_x=False)
    assert found is None


def test_channels_are_the_same_with_and_without_what_backward_needs():
    geometry = GEOMETRIES["all to pad"]
    arguments = reals(geometry, 300)
    one, other = (load("numba").forward(*arguments, geometry, curved=True, keep=keep)[0] for keep in (True, False))
    assert torch.equal(one, other)


def test_gradients_repeat_on_any_number_of_threads(on_one_and_two_threads):
    geometry = GEOMETRIES["wide"]
    arguments = reals(geometry, 1000)
    alone, together = on_one_and_two_threads(lambda: run(load("numba"), arguments, geometry, True))
    assert all(torch.equal(one, other) for one, other in zip(alone, together))
