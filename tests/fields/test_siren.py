"""SIREN: its formula, its initialisation, and that it fits."""

import math

import pytest
import torch

from neufield.fields import Siren


def test_forward_is_the_formula():
    siren = Siren(2, 3, width=8, hidden_layers=1, omega_0=5.0, hidden_omega_0=7.0).double()
    x = torch.rand(4, 2, dtype=torch.float64)
    (w0, b0), (w1, b1), (w2, b2) = siren.layers
    hidden = torch.sin(7.0 * (torch.sin(5.0 * (x @ w0.T + b0)) @ w1.T + b1))
    torch.testing.assert_close(siren(x), hidden @ w2.T + b2)


def test_weights_fill_their_bounds():
    siren = Siren(2, 64, width=256, hidden_layers=2, hidden_omega_0=20.0)
    bounds = [1 / 2, *[math.sqrt(6 / 256) / 20.0] * 3]
    for (weight, bias), bound in zip(siren.layers, bounds, strict=True):
        assert 0.98 * bound < weight.abs().max().item() <= bound
        assert abs(weight.mean().item()) < 0.06 * bound
        bias_bound = 1 / math.sqrt(weight.shape[1])
        assert 0.9 * bias_bound < bias.abs().max().item() <= bias_bound


def test_activations_are_distributed_alike_in_every_layer():
    """The point of the initialisation: arguments of the hidden sines are about N(0, 1), plus the bias."""
    siren = Siren(2, 1, width=512, hidden_layers=4)
    x = torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
    for i, (weight, bias) in enumerate(siren.layers[:-1]):
        x = torch.sin(30.0 * (x @ weight.T + bias))
        assert 0.65 < x.std().item() < 0.75, f"layer {i}"  # sin of a wide distribution has the deviation sqrt(1/2)


def test_repeats_with_the_seed_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    x = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))
    a, b, c = (Siren(2, 1, width=16, seed=seed)(x) for seed in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("batch", [(), (0,), (5,), (2, 3)])
def test_any_batch_shape(batch: tuple[int, ...]):
    assert Siren(2, 3, width=16)(torch.rand(*batch, 2)).shape == (*batch, 3)


def test_no_hidden_layers_leave_one_sine_layer():
    siren = Siren(2, 3, width=16, hidden_layers=0)
    assert [tuple(weight.shape) for weight, _ in siren.layers] == [(16, 2), (3, 16)]


def test_fits_a_wave_that_a_relu_network_of_that_size_cannot():
    """One dimension, 12 periods; the quality is reached within 150 steps."""
    x = torch.linspace(-1, 1, 256)[:, None]
    target = torch.sin(12 * math.pi * x) * torch.exp(-x * x)
    siren = Siren(1, 1, width=64, hidden_layers=1, seed=0)
    optimizer = torch.optim.Adam(siren.parameters(), lr=1e-3)
    for _ in range(150):
        optimizer.zero_grad()
        error = (siren(x) - target).square().mean()
        error.backward()
        optimizer.step()
    assert (siren(x) - target).square().mean().item() < 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "found 2, 1, 0 and 3"),
        ({"hidden_layers": -1}, "found 2, 1, 256 and -1"),
        ({"omega_0": 0.0}, "finite and > 0, found 0.0 and 30.0"),
        ({"hidden_omega_0": math.inf}, "finite and > 0, found 30.0 and inf"),
    ],
)
def test_sizes_out_of_range_are_refused(arguments: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        Siren(2, 1, **arguments)


def test_coordinates_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"Siren takes tensors of shape \(\.\.\., 2\), found \(5, 3\)"):
        Siren(2, 1, width=16)(torch.rand(5, 3))
