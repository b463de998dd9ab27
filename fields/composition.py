"""Encodings made of encodings: the identity, and several side by side."""

from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .features import check_features, features_of


class Identity(nn.Module):
    """Hands coordinates on as they are.

    Args:
        in_features: Coordinates per point.

    Raises:
        ValueError: in_features is negative.
    """

    def __init__(self, in_features: int) -> None:
        super().__init__()
        if in_features < 0:
            raise ValueError(f"in_features must be >= 0, found {in_features}.")
        self.in_features = in_features
        self.out_features = in_features

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch in"]:
        """Returns x itself."""
        check_features(x, self.in_features, self)
        return x

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"{self.in_features}"


class Concatenation(nn.Module):
    """Several encodings side by side, their values one after the other.

    Args:
        encodings: Modules with `in_features` and `out_features`. None at all make an encoding of zero numbers.
        shared: Whether every encoding sees all coordinates. Else the first takes the first `in_features` of them, the
            second the next, and so on: a position by a hash grid and a direction by spherical harmonics.

    Raises:
        ValueError: An encoding does not tell its sizes, or shared encodings take different numbers of coordinates.
    """

    def __init__(self, *encodings: nn.Module, shared: bool = False) -> None:
        super().__init__()
        sizes = [features_of(encoding, f"encoding {i}") for i, encoding in enumerate(encodings)]
        taken = [size for size, _ in sizes]
        if shared and any(a != b for a, b in pairwise(taken)):
            raise ValueError(
                f"Encodings that share their input must take the same number of coordinates, found {taken}. "
                "With shared=False each gets its own part."
            )
        self.encodings = nn.ModuleList(encodings)
        self.shared = shared
        self.in_features = taken[0] if shared and taken else sum(taken)
        self.out_features = sum(size for _, size in sizes)
        self._taken = taken

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Encodes x by every encoding; without any, gives (..., 0)."""
        check_features(x, self.in_features, self)
        parts = [x] * len(self._taken) if self.shared else torch.split(x, self._taken, dim=-1)
        values = [encoding(part) for encoding, part in zip(self.encodings, parts, strict=True)]
        return torch.cat(values, dim=-1) if values else x.new_zeros((*x.shape[:-1], 0))

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"shared={self.shared}"
