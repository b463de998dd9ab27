"""Sinusoidal encodings of coordinates: octaves along the axes, and random directions."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .features import check_features


class FrequencyEncoding(nn.Module):
    """Sines and cosines of every coordinate in octaves.

        x -> (sin(2^0 pi x), cos(2^0 pi x), ..., sin(2^(L-1) pi x), cos(2^(L-1) pi x)),    L = octaves

    All values of the first coordinate come first, then those of the second, and so on; with `include_input` the
    coordinates themselves stand before them. Mildenhall et al. 2020, eq. 4.

    Args:
        in_features: Coordinates per point.
        octaves: L >= 0. Zero octaves leave the input, or nothing.
        include_input: Whether the coordinates are handed on as well.

    Raises:
        ValueError: A size is out of range.
    """

    def __init__(self, in_features: int, *, octaves: int = 10, include_input: bool = False) -> None:
        super().__init__()
        if in_features < 1 or octaves < 0:
            raise ValueError(f"in_features must be >= 1 and octaves >= 0, found {in_features} and {octaves}.")
        self.in_features = in_features
        self.octaves = octaves
        self.include_input = include_input
        self.out_features = in_features * (2 * octaves + include_input)

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Encodes coordinates of any range; over [-1, 1] the lowest octave has one period."""
        check_features(x, self.in_features, self)
        half_turns = x[..., None] * torch.exp2(torch.arange(self.octaves, dtype=x.dtype, device=x.device))
        # Whole periods are taken off while that is still exact: float32 keeps its accuracy at high octaves.
        angles = torch.pi * (half_turns - 2 * torch.round(half_turns / 2))
        waves = torch.stack([torch.sin(angles), torch.cos(angles)], dim=-1).flatten(start_dim=-3)
        return torch.cat([x, waves], dim=-1) if self.include_input else waves

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"{self.in_features}, octaves={self.octaves}, include_input={self.include_input}"


class FourierFeatures(nn.Module):
    """Random Fourier features with Gaussian frequencies.

        x -> (cos(2 pi B x), sin(2 pi B x)),    B_ij ~ N(0, sigma^2), drawn once

    Tancik et al. 2020, section 5 ("Gaussian"). B is a buffer: it is saved with the module and not trained.

    Args:
        in_features: Coordinates per point.
        frequencies: Rows of B; twice as many values come out.
        sigma: Standard deviation of the frequencies, in periods per unit of the coordinates. This is the band that is
            fitted well: too low blurs, too high gives noise between the samples.
        seed: Seed of B.

    Raises:
        ValueError: A size or sigma is out of range.
    """

    basis: Tensor

    def __init__(
        self,
        in_features: int,
        *,
        frequencies: int = 128,
        sigma: float = 10.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if in_features < 1 or frequencies < 1 or not 0.0 <= sigma < math.inf:
            raise ValueError(
                "in_features and frequencies must be >= 1 and sigma finite and >= 0, "
                f"found {in_features}, {frequencies} and {sigma}."
            )
        generator = torch.Generator().manual_seed(seed)
        self.in_features = in_features
        self.out_features = 2 * frequencies
        self.sigma = sigma
        self.register_buffer("basis", sigma * torch.randn(frequencies, in_features, generator=generator))

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Encodes coordinates; all cosines come first, then all sines."""
        check_features(x, self.in_features, self)
        angles = 2 * torch.pi * (x @ self.basis.T)
        return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"{self.in_features}, frequencies={self.out_features // 2}, sigma={self.sigma}"
