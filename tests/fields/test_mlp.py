"""The small network as a module: closed forms, batches, dtypes, derivatives of any order."""

import pytest
import torch

from neufield.fields import MLP

WIDTHS = (16, 32, 64, 128)


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_positively_homogeneous(backend: str, width: int):
    """Without biases, and with ReLU: scaling the input by a > 0 scales the output; zero gives zero."""
    network, x = MLP(3, 2, width=width, backend=backend), torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(network(4.0 * x), 4.0 * network(x))
    assert not network(torch.zeros(2, 3)).any()


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_it_computes_its_formula(backend: str):
    network = MLP(3, 2, width=16, hidden_layers=2, backend=backend)
    first, second, third = network.weights.split([16 * 16, 16 * 16, 16 * 16])
    x = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    hidden = (x @ first.view(16, 16)[:, :3].T).relu() @ second.view(16, 16).T
    torch.testing.assert_close(network(x), hidden.relu() @ third.view(16, 16)[:2].T)


@pytest.mark.parametrize("batch", [(), (0,), (1,), (5,), (2, 3)])
def test_any_batch_shape(batch: tuple[int, ...]):
    network, x = MLP(3, 2, width=16), torch.randn(*batch, 3, generator=torch.Generator().manual_seed(0))
    out = network(x)
    assert out.shape == (*batch, 2)
    torch.testing.assert_close(out.reshape(-1, 2), network(x.reshape(-1, 3)))


def test_weights_fill_their_bounds_and_repeat_with_the_seed():
    one, same, other = (MLP(3, 2, width=64, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.weights, same.weights)
    assert not torch.equal(one.weights, other.weights)
    first = 0
    for outputs, inputs in one.geometry.shapes:
        layer, bound = one.weights[first : first + outputs * inputs], (6.0 / (inputs + outputs)) ** 0.5
        assert 0.98 * bound < layer.abs().max().item() <= bound
        first += outputs * inputs


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_inputs_of_any_float_type(dtype: torch.dtype):
    network, x = MLP(3, 2, width=16), torch.tensor([[0.25, -0.5, 0.75], [0.0, 1.0, 0.125]])
    found = network(x.to(dtype).requires_grad_())
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(found.float(), network(x), rtol=1e-5, atol=1e-5)
    found.sum().backward()


@pytest.mark.parametrize("frozen", ["weights", "x", "neither"])
def test_second_derivatives_are_the_reference_s(frozen: str, assert_agree):
    start = torch.randn(20, 3, generator=torch.Generator().manual_seed(3))

    def slopes(backend: str) -> list[torch.Tensor]:
        network, x = MLP(3, 2, width=16, backend=backend), start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(network(x).sin().sum(), x, create_graph=True)
        wanted = {"weights": [x], "x": [network.weights], "neither": [x, network.weights]}[frozen]
        return [slope, *torch.autograd.grad(slope.square().sum(), wanted)]

    for found, truth in zip(slopes("numba"), slopes("reference")):
        assert_agree(found, truth, zeros=False)


def test_frozen_weights_stay_without_gradient():
    network, x = MLP(3, 2, width=16).requires_grad_(False), torch.randn(4, 3, requires_grad=True)
    network(x).sum().backward()
    assert network.weights.grad is None
    assert x.grad is not None


def test_inputs_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"takes 3 inputs, got a tensor of shape \(5, 2\)"):
        MLP(3, 2)(torch.rand(5, 2))
