"""Likelihoods of measured values given a field's: what an error is worth, and how wide it says the errors are."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

LikelihoodKind = Literal["gaussian", "laplace"]


@dataclass(frozen=True)
class Likelihood:
    """How measured values are spread around what the field says of them.

        gaussian:  -log p(y | m, s) = (y - m)^2 / (2 s^2) + log s + log(2 pi) / 2
        laplace:   -log p(y | m, s) = |y - m| / s + log s + log 2

    With a fixed scale s, the Gaussian's location m is the mean of the values and its loss the squared error; the
    Laplace distribution's is their median, which some wild values do not move, and its loss the absolute error.

    Attributes:
        kind: Which of the two.
        least_scale: Learned scales are at least this: where a fit meets its values, the likelihood has no bound.
    """

    kind: LikelihoodKind
    least_scale: float = 1e-3

    def __post_init__(self) -> None:
        if not self.least_scale > 0.0:
            raise ValueError(f"least_scale must be > 0, found {self.least_scale}.")

    def error(self, location: Float[Tensor, "n c"], target: Float[Tensor, "n c"]) -> Float[Tensor, ""]:
        """The mean negative log-likelihood at a fixed scale, up to constants: mean squared or absolute error.

        That of no values is zero.
        """
        difference = location - target
        terms = difference.square() if self.kind == "gaussian" else difference.abs()
        return terms.mean() if terms.numel() else terms.sum()

    def negative_log(
        self, location: Float[Tensor, "n c"], raw_scale: Float[Tensor, "n #c"], target: Float[Tensor, "n c"]
    ) -> Float[Tensor, ""]:
        """The mean negative log-likelihood of values at scales that are learned, in nats.

        Args:
            location: Mean or median.
            raw_scale: What `scale` turns into scales; one for all channels, or one for each.
            target: What was measured.
        """
        scale = self.scale(raw_scale)
        if self.kind == "gaussian":
            terms = 0.5 * ((location - target) / scale).square() + scale.log() + 0.5 * math.log(2.0 * math.pi)
        else:
            terms = (location - target).abs() / scale + scale.log() + math.log(2.0)
        return terms.mean()

    def scale(self, raw_scale: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Scales (standard deviation, or mean absolute deviation) of any numbers: least_scale + softplus."""
        return self.least_scale + torch.nn.functional.softplus(raw_scale)

    def half_width(self, probability: float) -> float:
        """Half the width, in scales, of the interval around the location that holds a value with this probability.

        Raises:
            ValueError: The probability is not between 0 and 1.
        """
        if not 0.0 < probability < 1.0:
            raise ValueError(f"A probability lies between 0 and 1, found {probability}.")
        if self.kind == "gaussian":
            return math.sqrt(2.0) * float(torch.erfinv(torch.tensor(probability, dtype=torch.float64)))
        return -math.log1p(-probability)

    def coverage(
        self,
        probability: float,
        location: Float[Tensor, "n c"],
        scale: Float[Tensor, "n #c"],
        target: Float[Tensor, "n c"],
    ) -> float:
        """The share of values inside that interval; where scales are calibrated, about the probability itself."""
        return float(((location - target).abs() <= self.half_width(probability) * scale).double().mean())
