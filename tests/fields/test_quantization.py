import numpy as np
import pytest
import torch

from neufield.fields.quantization import GeometricBits


def test_bits_are_those_of_a_distribution_with_the_given_mean():
    numbers = torch.arange(-2000.0, 2001.0, dtype=torch.float64)
    for mean in (0.01, 0.5, 3.0, 40.0):
        chances = 2.0 ** -GeometricBits.of(torch.full_like(numbers, mean)).bits(numbers)
        assert float(chances.sum()) == pytest.approx(1.0, abs=1e-6)
        assert float((chances * numbers.abs()).sum()) == pytest.approx(mean, rel=1e-4)


def test_spreads_follow_from_what_is_around():
    generator = np.random.default_rng(0)
    around = torch.from_numpy(generator.exponential(2.0, 100_000))
    means = 0.1 + 0.2 * around
    ratio = ((1.0 + means.square()).sqrt() - 1.0) / means
    magnitudes = [torch.from_numpy(generator.geometric(1.0 - ratio.numpy())) - 1.0 for _ in range(2)]
    numbers = magnitudes[0] - magnitudes[1]  # the difference of two geometric numbers is two-sided geometric
    known, expected = GeometricBits.given(numbers, around), GeometricBits.of(means)
    torch.testing.assert_close(known.slope, expected.slope, rtol=0.05, atol=0.02)
    blind = GeometricBits.given(numbers, torch.zeros_like(around))
    assert float(known.bits(numbers).mean()) < float(blind.bits(numbers).mean()) - 0.03


def test_rounding_minimises_error_and_bits_together():
    values = torch.linspace(-6.0, 6.0, 1001)
    bits = GeometricBits.of(torch.full_like(values, 0.4))
    cost = 0.2
    candidates = torch.arange(-8.0, 9.0)[:, None].expand(-1, len(values))
    costs = (values - candidates).square() + cost * bits.bits(candidates)
    found = bits.rounded(values, cost)
    torch.testing.assert_close((values - found).square() + cost * bits.bits(found), costs.min(dim=0).values)


def test_no_numbers_are_nothing():
    empty = torch.zeros(0, 5)
    assert GeometricBits.given(empty, empty).rounded(empty, 0.1).shape == (0, 5)
