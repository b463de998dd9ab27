"""Likelihoods: closed forms, scales that are recovered from samples, intervals that hold what they promise."""

import math

import pytest
import torch

from neufield.fields import Likelihood

KINDS = ("gaussian", "laplace")


def distribution(kind: str, location: torch.Tensor, scale: torch.Tensor):
    kinds = {"gaussian": torch.distributions.Normal, "laplace": torch.distributions.Laplace}
    return kinds[kind](location, scale)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scales", [1, 3])
def test_the_negative_logarithm_is_that_of_the_distribution(kind: str, scales: int):
    generator = torch.Generator().manual_seed(0)
    location, target = (torch.randn(50, 3, generator=generator) for _ in range(2))
    raw = torch.randn(50, scales, generator=generator)
    likelihood = Likelihood(kind, least_scale=0.01)
    expected = -distribution(kind, location, likelihood.scale(raw).expand(50, 3)).log_prob(target).mean()
    torch.testing.assert_close(likelihood.negative_log(location, raw, target), expected)


def test_errors_at_a_fixed_scale_are_squares_and_absolute_values():
    location, target = torch.tensor([[0.0, 1.0]]), torch.tensor([[2.0, 0.0]])
    assert Likelihood("gaussian").error(location, target) == 2.5
    assert Likelihood("laplace").error(location, target) == 1.5


@pytest.mark.parametrize("kind", KINDS)
def test_the_best_location_and_scale_are_those_that_values_were_drawn_with(kind: str):
    torch.manual_seed(1)
    values = distribution(kind, torch.tensor(0.7), torch.tensor(0.2)).sample((50_000, 1))
    location, raw = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    likelihood, optimizer = Likelihood(kind), torch.optim.Adam([location, raw], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        likelihood.negative_log(location.expand_as(values), raw.expand_as(values), values).backward()
        optimizer.step()
    assert location.item() == pytest.approx(0.7, abs=0.01)
    assert likelihood.scale(raw).item() == pytest.approx(0.2, rel=0.03)
    for share in (0.1, 0.5, 0.9):
        scale = likelihood.scale(raw.detach().expand_as(values))
        found = likelihood.coverage(share, location.detach().expand_as(values), scale, values)
        assert found == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_half_widths_are_those_of_the_distribution(kind: str, share: float):
    reach = torch.tensor(Likelihood(kind).half_width(share), dtype=torch.float64)
    unit = distribution(kind, torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64))
    assert float(unit.cdf(reach) - unit.cdf(-reach)) == pytest.approx(share, abs=1e-9)


def test_a_perfect_fit_has_a_bounded_loss():
    values = torch.zeros(4, 1)
    found = Likelihood("laplace", least_scale=1e-3).negative_log(values, torch.full((4, 1), -1e4), values)
    assert found.item() == pytest.approx(math.log(2e-3))


@pytest.mark.parametrize("share", [0.0, 1.0, -1.0, math.nan])
def test_shares_that_are_none_are_refused(share: float):
    with pytest.raises(ValueError, match="A probability lies between 0 and 1"):
        Likelihood("gaussian").half_width(share)


def test_a_scale_of_zero_is_refused():
    with pytest.raises(ValueError, match=r"least_scale must be > 0, found 0\.0"):
        Likelihood("gaussian", least_scale=0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_the_error_of_no_values_is_zero_and_has_no_gradient(kind: str):
    location = torch.zeros(0, 3, requires_grad=True)
    error = Likelihood(kind).error(location, torch.zeros(0, 3))
    error.backward()
    assert error.item() == 0.0
    assert location.grad is not None
