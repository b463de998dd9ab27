"""Rounding numbers for what they cost: how many bits whole numbers take, and which ones are worth theirs."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_LEAST_MEAN = 1e-5
_LARGEST_SLOPE = 0.5
_FLOOR = 0.3  # what a sum of magnitudes is taken for at least, where errors are weighed by it


@dataclass(frozen=True)
class GeometricBits:
    """The bits of whole numbers that are two-sided geometric, each with a mean magnitude m of its own.

        p(n) = (1 - r) / (1 + r) r^|n|,    m = 2 r / (1 - r^2),    bits(n) = zero + |n| slope

    Attributes:
        zero: The bits of 0.
        slope: More bits for every step away from it.
    """

    zero: Tensor
    slope: Tensor

    @classmethod
    def of(cls, means: Float[Tensor, "*shape"]) -> "GeometricBits":
        """Of numbers with these mean magnitudes."""
        means = means.clamp(min=_LEAST_MEAN)
        ratio = ((1.0 + means.square()).sqrt() - 1.0) / means
        return cls(torch.log2((1.0 + ratio) / (1.0 - ratio)), -ratio.log2())

    @classmethod
    def given(cls, numbers: Float[Tensor, "*shape"], around: Float[Tensor, "*shape"]) -> "GeometricBits":
        """Of numbers whose mean magnitude depends linearly on something that is known, by weighted least squares."""
        weight = 1.0 / (around + _FLOOR)
        magnitude = numbers.abs()
        terms = torch.ones_like(around), around, around.square(), magnitude, around * magnitude
        total, first, second, mean, product = (float((weight * term).sum(dtype=torch.float64)) for term in terms)
        spread = total * second - first**2
        slope = (total * product - first * mean) / spread if spread > 0.0 else 0.0
        slope = min(max(slope, 0.0), _LARGEST_SLOPE)
        return cls.of((mean - slope * first) / max(total, 1.0) + slope * around)

    def bits(self, numbers: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """What numbers take; between whole ones, linearly."""
        return self.zero + numbers.abs() * self.slope

    def rounded(self, values: Float[Tensor, "*shape"], bit_cost: float) -> Float[Tensor, "*shape"]:
        """The whole numbers n that minimise (v - n)^2 + bit_cost bits(n)."""
        return values.sign() * ((values.abs() - 0.5 * bit_cost * self.slope).clamp(min=0.0) + 0.5).floor()
