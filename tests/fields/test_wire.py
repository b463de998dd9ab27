"""WIRE: its formula, its shapes, and that it fits."""

import math

import pytest
import torch

from neufield.fields import Siren, Wire


def test_forward_is_the_formula():
    """A width of one: complex numbers by hand."""
    wire = Wire(1, 1, width=1, hidden_layers=1, omega=3.0, s=2.0).double()
    x = 0.4
    z = complex(wire.first_weight.item() * x + wire.first_bias.item())
    for weight, bias in zip(wire.weights, wire.biases):
        wavelet = math.exp(-3.0 * z.imag - 4.0 * abs(z) ** 2)
        turned = wavelet * complex(math.cos(3.0 * z.real), math.sin(3.0 * z.real))
        z = complex(*weight.flatten().tolist()) * turned + complex(*bias.flatten().tolist())
    assert wire(torch.tensor([[x]], dtype=torch.float64)).item() == pytest.approx(z.real, rel=1e-12)


@pytest.mark.parametrize("batch", [(), (0,), (5,), (2, 3)])
def test_any_batch_shape(batch: tuple[int, ...]):
    assert Wire(2, 3, width=16)(torch.rand(*batch, 2)).shape == (*batch, 3)


def test_parameters_are_real_and_as_many_as_those_of_a_siren():
    counts = [sum(p.numel() for p in field.parameters()) for field in (Wire(2, 3), Siren(2, 3))]
    assert counts[0] == pytest.approx(counts[1], rel=0.01)
    assert not any(p.is_complex() for p in Wire(2, 3).parameters())


def test_repeats_with_the_seed_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    x = torch.rand(5, 2, generator=torch.Generator().manual_seed(0))
    a, b, c = (Wire(2, 1, width=16, seed=seed)(x) for seed in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(state, torch.get_rng_state())


def test_fits_an_edge():
    """A step in one dimension, without ringing beside it."""
    x = torch.linspace(-1, 1, 256)[:, None]
    target = (x > 0.1).float()
    wire = Wire(1, 1, width=32, hidden_layers=1)
    optimizer = torch.optim.Adam(wire.parameters(), lr=5e-3)
    for _ in range(150):
        optimizer.zero_grad()
        (wire(x) - target).square().mean().backward()
        optimizer.step()
    assert (wire(x) - target).square().mean().item() < 1e-3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "found 2, 1, 0 and 3"),
        ({"omega": 0.0}, "omega and s must be finite and > 0, found 0.0 and 30.0"),
        ({"s": math.inf}, "omega and s must be finite and > 0, found 20.0 and inf"),
    ],
)
def test_sizes_out_of_range_are_refused(arguments: dict[str, float], message: str):
    with pytest.raises(ValueError, match=message):
        Wire(2, 1, **arguments)


def test_coordinates_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"Wire takes tensors of shape \(\.\.\., 2\), found \(5, 3\)"):
        Wire(2, 1, width=16)(torch.rand(5, 3))
