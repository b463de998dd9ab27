"""Between the numbers of a picture and those that a field is fitted to."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

_BRIGHT = 30.0
_NOISE = 0.1
_DARKEST = 1e-6


@dataclass(frozen=True)
class Transfer:
    """A function that takes a picture's values to about [0, 1], and its inverse.

        linear:  v = (y - low) / (high - low)
        log:     v = log(1 + y / low) / log(1 + high / low)

    The second is for light of a high dynamic range, where an error matters by its ratio to the value.

    Attributes:
        kind: Which of the two.
        low, high: Values as stored; for "log" 0 < low, and negative values are taken for 0.
    """

    kind: Literal["linear", "log"] = "linear"
    low: float = 0.0
    high: float = 1.0

    @classmethod
    def of(cls, *, low: float, middle: float, high: float, linear_light: bool) -> "Transfer":
        """What suits a picture of floats.

        Args:
            low, middle, high: Its least value, its median and its largest value.
            linear_light: Whether values are proportional to light. If so, and if the brightest of them is more than 30
                times as bright as the median, they are taken by their logarithm; what little lies below zero is noise.
        """
        if high <= low:
            return cls("linear", low, low + max(abs(low), 1.0))
        if linear_light and low >= -_NOISE * middle and high > _BRIGHT * middle > 0.0:
            return cls("log", max(middle, _DARKEST * high), high)
        return cls("linear", low, high)

    def encode(self, values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Values as stored to those that are fitted."""
        if self.kind == "linear":
            return (values - self.low) / (self.high - self.low)
        return torch.log1p(values.clamp(min=0.0) / self.low) / self._octaves

    def decode(self, fitted: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The inverse of `encode`."""
        if self.kind == "linear":
            return self.low + fitted * (self.high - self.low)
        return torch.expm1(fitted * self._octaves) * self.low

    @property
    def _octaves(self) -> float:
        return float(torch.log1p(torch.tensor(self.high / self.low, dtype=torch.float64)))
