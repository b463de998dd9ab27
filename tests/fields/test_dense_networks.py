"""What `Siren`, `Finer` and `ReLUNetwork` share, and what sets the latter two apart."""

import math

import pytest
import torch

from neufield.fields import Finer, ReLUNetwork, Siren

NETWORKS = {"siren": Siren, "finer": Finer, "relu": ReLUNetwork}
on_networks = pytest.mark.parametrize("network", NETWORKS.values(), ids=list(NETWORKS))
on_backends = pytest.mark.parametrize("backend", ["reference", "numba"])


def points(count: int) -> torch.Tensor:
    """Points in [-1, 1]^2."""
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(count)) * 2 - 1


@on_backends
def test_finer_is_its_formula(backend: str):
    finer = Finer(2, 3, width=20, hidden_layers=1, omega_0=5.0, hidden_omega_0=7.0, first_bias=2.0, backend=backend)
    (w0, b0), (w1, b1), (w2, b2) = finer.layers
    x = points(40)
    z = x @ w0.T + b0
    z = torch.sin(5.0 * (z.abs() + 1.0) * z) @ w1.T + b1
    torch.testing.assert_close(finer(x), torch.sin(7.0 * (z.abs() + 1.0) * z) @ w2.T + b2, rtol=1e-4, atol=1e-5)


@on_backends
def test_a_relu_network_is_its_formula(backend: str):
    network, x = ReLUNetwork(2, 3, width=20, hidden_layers=1, backend=backend), points(40)
    (w0, b0), (w1, b1), (w2, b2) = network.layers
    hidden = ((x @ w0.T + b0).relu() @ w1.T + b1).relu()
    torch.testing.assert_close(network(x), hidden @ w2.T + b2)


def test_first_biases_of_finer_fill_what_is_asked_for():
    (_, first), (_, second), *_ = Finer(2, 1, width=512, first_bias=4.0).layers
    assert 3.9 < first.abs().max().item() <= 4.0
    assert second.abs().max().item() <= 1 / math.sqrt(512)
    (weight, bias), *_ = Finer(2, 1, width=512, seed=3).layers
    expected, *_ = Siren(2, 1, width=512, seed=3).layers
    assert torch.equal(weight, expected[0])
    assert torch.equal(bias, expected[1])


def test_a_relu_network_keeps_the_variance_from_layer_to_layer():
    network = ReLUNetwork(64, 512, width=512, hidden_layers=5)
    x = torch.randn(500, 64, generator=torch.Generator().manual_seed(0))
    assert 0.5 < network(x).square().mean().item() / (2.0 * x.square().mean().item()) < 2.0


@on_networks
@pytest.mark.parametrize("batch", [(), (0,), (1,), (5,), (2, 3)])
def test_any_batch_shape(network: type[Siren], batch: tuple[int, ...]):
    field, x = network(2, 3, width=16), torch.rand(*batch, 2, generator=torch.Generator().manual_seed(0))
    out = field(x)
    assert out.shape == (*batch, 3)
    torch.testing.assert_close(out.reshape(-1, 3), field(x.reshape(-1, 2)))


@on_networks
def test_no_points_leave_parameters_a_gradient_of_zeros(network: type[Siren]):
    field = network(2, 3, width=16)
    field(torch.zeros(0, 2)).sum().backward()
    assert field.weights.grad is not None
    assert not field.weights.grad.any()


@on_networks
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_inputs_of_any_float_type(network: type[Siren], dtype: torch.dtype):
    field, x = network(2, 3, width=16, hidden_layers=1), torch.tensor([[0.25, -0.5], [0.0, 0.125]])
    found = field(x.to(dtype).requires_grad_())
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(found.float(), field(x), rtol=1e-4, atol=1e-5)
    found.sum().backward()


@on_networks
@pytest.mark.parametrize("frozen", ["weights", "x", "neither"])
def test_second_derivatives_are_the_reference_s(network: type[Siren], frozen: str, assert_agree):
    start = points(20)

    def slopes(backend: str) -> list[torch.Tensor]:
        field, x = network(2, 3, width=16, hidden_layers=1, backend=backend), start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(field(x).sin().sum(), x, create_graph=True)
        wanted = {"weights": [x], "x": [field.weights], "neither": [x, field.weights]}[frozen]
        return [slope, *torch.autograd.grad(slope.square().sum(), wanted)]

    for found, truth in zip(slopes("numba"), slopes("reference")):
        assert_agree(found, truth, zeros=False)


def test_frozen_weights_stay_without_gradient():
    field, x = Siren(2, 3, width=16).requires_grad_(False), points(4).requires_grad_()
    field(x).sum().backward()
    assert field.weights.grad is None
    assert x.grad is not None


@on_networks
@pytest.mark.parametrize("sizes", [(0, 1, 8, 1), (2, 0, 8, 1), (2, 1, 0, 1), (2, 1, 8, -1)])
def test_sizes_out_of_range_are_refused(network: type[Siren], sizes: tuple[int, int, int, int]):
    inputs, outputs, width, hidden = sizes
    with pytest.raises(ValueError, match=rf"hidden_layers >= 0, found {inputs}, {outputs}, {width} and {hidden}\."):
        network(inputs, outputs, width=width, hidden_layers=hidden)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"omega_0": -1.0}, r"omega_0 and hidden_omega_0 must be finite and > 0, found -1.0 and 30.0\."),
        ({"hidden_omega_0": math.nan}, r"omega_0 and hidden_omega_0 must be finite and > 0, found 30.0 and nan\."),
        ({"first_bias": 0.0}, r"first_bias must be finite and > 0, found 0.0\."),
    ],
)
def test_frequencies_and_biases_out_of_range_are_refused(arguments: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        Finer(2, 1, **arguments)


@on_networks
def test_coordinates_of_another_size_are_refused(network: type[Siren]):
    with pytest.raises(ValueError, match=rf"{network.__name__} takes tensors of shape \(\.\.\., 2\), found \(5, 3\)"):
        network(2, 1, width=16)(torch.rand(5, 3))
