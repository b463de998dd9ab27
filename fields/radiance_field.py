"""The field of a NeRF: density and view-dependent colour at a point."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .hash_grid import HashGrid
from .mlp import MLP
from .spherical_harmonics import SphericalHarmonics

GEOMETRY_FEATURES = 16
_LARGEST_EXPONENT = 15.0


class Radiance(NamedTuple):
    """What a radiance field says of each point.

    Attributes:
        density: Extinction per unit length (samples,), >= 0.
        color: RGB in [0, 1], (samples, 3).
    """

    density: Float[Tensor, " samples"]
    color: Float[Tensor, "samples 3"]


class RadianceField(nn.Module):
    """Density and view-dependent colour from a hash grid and two small networks.

        h = density_network(grid(x))
        density = density_scale exp(h_0),    color = sigmoid(color_network(h, Y(direction), code))

    Y are the spherical harmonics of the viewing direction up to degree 4. Müller et al. 2022, section 5.4. A code may
    stand for the photo that a colour is seen in, see `Appearance`.

    Args:
        grid: The encoding of positions; it sees the box of side `extent` around (0.5, 0.5, 0.5) as its unit cube.
        extent: Side of the scene's box.
        width: Neurons of the networks' hidden layers.
        density_layers, color_layers: Hidden layers of the two networks.
        view_dependence: Without it the colour network sees no direction, and a surface has one colour from everywhere.
        code_features: Length of the codes that colours depend on; 0: on none.
        density_scale: What density starts near, per unit length; exp(h_0) is about 1 at the start.
        seed: Seed of the networks' weights.
        backend: Which kernels run, see `kernels.dispatch`.
    """

    def __init__(
        self,
        grid: HashGrid,
        *,
        extent: float = 1.0,
        width: int = 64,
        density_layers: int = 1,
        color_layers: int = 2,
        view_dependence: bool = True,
        code_features: int = 0,
        density_scale: float = 1.0,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.grid, self.extent, self.density_scale = grid, float(extent), density_scale
        self.density_network = MLP(
            grid.out_features, GEOMETRY_FEATURES, width=width, hidden_layers=density_layers, seed=seed, backend=backend
        )
        self.direction_encoding = SphericalHarmonics(degree=4, backend=backend) if view_dependence else None
        self.code_features = code_features
        extra = code_features + (self.direction_encoding.out_features if self.direction_encoding else 0)
        self.color_network = MLP(
            GEOMETRY_FEATURES + extra, 3, width=width, hidden_layers=color_layers, seed=seed + 1, backend=backend
        )

    def density(self, positions: Float[Tensor, "samples 3"]) -> Float[Tensor, " samples"]:
        """Extinction per unit length at scene positions."""
        return self._density(self.density_network(self._features(positions)))

    def probe(self, positions: Float[Tensor, "samples 3"]) -> tuple[Float[Tensor, " samples"], Tensor]:
        """Density, and the grid's features, which `forward` need not compute again."""
        features = self._features(positions)
        return self._density(self.density_network(features)), features

    def forward(
        self,
        positions: Float[Tensor, "samples 3"],
        directions: Float[Tensor, "samples 3"],
        features: Float[Tensor, "samples features"] | None = None,
        codes: Float[Tensor, "#samples codes"] | None = None,
    ) -> Radiance:
        """Density and colour at scene positions seen along unit directions (from the camera into the scene).

        Args:
            positions: Scene coordinates.
            directions: Unit length, one per position.
            features: What `probe` said of these positions, if it was asked before.
            codes: Of the photos they are seen in, one per position or one for all; needed where the field has codes.

        Raises:
            ValueError: Codes are missing, or of another length.
        """
        given = 0 if codes is None else codes.shape[1]
        if given != self.code_features:
            raise ValueError(f"This field's colours depend on codes of length {self.code_features}, got {given}.")
        geometry = self.density_network(self._features(positions, features))
        known = None if self.direction_encoding is None else self.direction_encoding(directions)
        if codes is not None:
            spread = codes.expand(positions.shape[0], -1)
            known = spread if known is None else torch.cat([known.T, spread.T]).T
        density, seen = _split(geometry, known, self.density_scale)
        return Radiance(density, torch.sigmoid(self.color_network(seen)))

    def _features(self, positions: Tensor, known: Tensor | None = None) -> Tensor:
        unit = positions if self.extent == 1.0 else (positions - 0.5) / self.extent + 0.5
        return self.grid(unit, known)

    def _density(self, geometry: Tensor) -> Tensor:
        return _density_of(geometry, self.density_scale)


def _density_of(geometry: Tensor, scale: float) -> Tensor:
    """Clamped so that neither the density nor its gradient overflows float32."""
    density = geometry.select(1, 0).clamp(max=_LARGEST_EXPONENT).exp()
    return density if scale == 1.0 else scale * density


def _split(geometry: Tensor, known: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
    """Density, and what the colour network sees: the density network's outputs and whatever else is known."""
    density, seen = _Split.apply(geometry, known, scale)  # pyright: ignore
    return density, seen


class _Split(torch.autograd.Function):
    """Density and colour share the density network's outputs; so do their gradients one tensor, written once.

    Backward is made of differentiable operations on what was saved: second derivatives are autograd's.
    """

    @staticmethod
    def forward(ctx: Any, geometry: Tensor, known: Tensor | None, scale: float) -> tuple[Tensor, Tensor]:
        density = _density_of(geometry, scale)
        ctx.save_for_backward(geometry, density)
        ctx.width = geometry.shape[1]
        # Features lie [feature, sample] in memory: joining the transposed views copies whole rows.
        return density, geometry.clone() if known is None else torch.cat([geometry.T, known.T]).T

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        geometry, density = ctx.saved_tensors
        of_density, of_seen = gradients
        slope = of_density * density * (geometry.select(1, 0) <= _LARGEST_EXPONENT)
        first = of_seen.narrow(1, 0, 1) + slope[:, None]
        found = torch.cat([first.T, of_seen.narrow(1, 1, ctx.width - 1).T]).T
        extra = of_seen.shape[1] - ctx.width
        return found, of_seen.narrow(1, ctx.width, extra) if extra and ctx.needs_input_grad[1] else None, None
