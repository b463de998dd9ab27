"""The field of a surface: how far every point lies from it, positive outside and negative inside."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .composition import Identity
from .coordinate_field import CoordinateField
from .derivatives import jets_of
from .hash_grid import HashGrid
from .mlp import MLP
from .siren import Siren

_ROUNDING = 0.2  # of the sphere's tip: a sharp one at its centre is what smooth networks cannot take away again
_TETRAHEDRON = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))


class SignedDistanceField(nn.Module):
    """A signed distance that starts as that of a sphere, whatever the network is.

        f(x) = sqrt(|x|^2 + e^2) - sqrt(radius^2 + e^2) + g(scale x + shift),    g: a field, near 0 at first

    The sphere says from the first step on which side is outside, as the geometric initialisation of Atzmon and Lipman
    2020, "SAL", section 4 does, and needs no weights of a particular kind.

    Args:
        field: g, of three coordinates and one value.
        scale, shift: Take x, which fills the box [-0.5, 0.5]^3 and a little more, to what g wants.
        radius: Of the sphere, about the origin.
        step: Length of the differences that give slopes where g has no jets of its own (see `derivatives`). Details
            smaller than it are smoothed away.

    Raises:
        ValueError: g is not of three coordinates and one value, or a length is not positive.
    """

    def __init__(
        self,
        field: CoordinateField,
        *,
        scale: float = 1.0,
        shift: float = 0.0,
        radius: float = 0.3,
        step: float = 1.0 / 512.0,
    ) -> None:
        super().__init__()
        if (field.in_features, field.out_features) != (3, 1):
            raise ValueError(
                "A signed distance has 3 coordinates and 1 value, found a field of "
                f"{field.in_features} and {field.out_features}."
            )
        if not (radius > 0.0 and step > 0.0 and scale > 0.0):
            raise ValueError(f"radius, step and scale must be positive, got {radius}, {step} and {scale}.")
        self.field = field
        self.scale, self.shift, self.radius, self.step = scale, shift, radius, step

    def forward(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n 1"]:
        """Distances at x, in units of x."""
        return (self._size(x) - self._start)[:, None] + self.field(x * self.scale + self.shift)

    def jets(
        self, x: Float[Tensor, "n 3"], directions: Float[Tensor, "directions n 3"], *, curved: bool
    ) -> Float[Tensor, "channels n 1"] | None:
        """Values and slopes from the network's own, where it has them; see `derivatives`."""
        found = jets_of(self.field, x * self.scale + self.shift, directions * self.scale, curved=curved)
        if found is None:
            return None
        size = self._size(x)
        along = (directions * x).sum(dim=2) / size
        channels = [(size - self._start)[None], along]
        if curved:
            # The second derivative of |x| along v is (|v|^2 - (v x / |x|)^2) / |x|.
            channels.append(((directions.square().sum(dim=2) - along.square()) / size).sum(dim=0)[None])
        return found + torch.cat(channels)[..., None]

    def values_and_slopes(self, x: Float[Tensor, "n 3"]) -> tuple[Float[Tensor, " n"], Float[Tensor, "n 3"]]:
        """Distances and their gradients, both differentiable in the parameters.

        Of a field with jets both are exact. Of others, a hash grid for one, whose gradient jumps from cell to cell,
        they come from the corners k_i of a regular tetrahedron of radius h = `step` about each point:

            f ~ 1/4 sum_i f(x + h k_i),    grad f ~ 3/(4 h) sum_i k_i f(x + h k_i)

        which is four evaluations instead of the six of central differences, and smooth over the cells that lie within:
        all of them are trained together. Li et al. 2023, "Neuralangelo", section 3.1.
        """
        axes = torch.eye(3, dtype=x.dtype, device=x.device)[:, None].expand(-1, len(x), -1)
        jets = self.jets(x, axes, curved=False)
        if jets is not None:
            return jets[0, :, 0], jets[1:, :, 0].T
        corners = torch.tensor(_TETRAHEDRON, dtype=x.dtype, device=x.device) / 3.0**0.5
        # The sphere's own slope is known; the differences are of g alone.
        around = (x[None] + self.step * corners[:, None]) * self.scale + self.shift
        values = self.field(around.reshape(-1, 3)).reshape(4, -1)
        size = self._size(x)
        slopes = torch.einsum("kn,kd->nd", values, corners) * (0.75 / self.step)
        return values.mean(dim=0) + size - self._start, slopes + x / size[:, None]

    @property
    def _start(self) -> float:
        """What is taken from sizes, so that they vanish on the sphere."""
        return math.hypot(self.radius, _ROUNDING)

    def _size(self, x: Tensor) -> Tensor:
        return (x.square().sum(dim=1) + _ROUNDING**2).sqrt()


def siren_distance(
    *, width: int, hidden_layers: int, omega: float, radius: float = 0.3, seed: int = 0, backend: str = "auto"
) -> SignedDistanceField:
    """A signed distance by SIREN: smooth, with exact slopes. Sitzmann et al. 2020, section 4.2.

    Args:
        width, hidden_layers, seed, backend: See `Siren`.
        omega: Frequency of all layers, for coordinates that fill [-1, 1].
        radius: Of the sphere that it starts as.
    """
    waves = Siren(
        3,
        1,
        width=width,
        hidden_layers=hidden_layers,
        omega_0=omega,
        hidden_omega_0=30.0,
        seed=seed,
        backend=backend,
    )
    return SignedDistanceField(CoordinateField(Identity(3), waves), scale=2.0, radius=radius)


def grid_distance(
    *,
    levels: int,
    log2_table_size: int,
    coarsest: int,
    finest: float,
    width: int,
    hidden_layers: int,
    step: float,
    radius: float = 0.3,
    seed: int = 0,
    backend: str = "auto",
) -> SignedDistanceField:
    """A signed distance by a hash grid and a small network: quick to fit.

    Args:
        levels, log2_table_size, coarsest, finest, seed, backend: See `HashGrid`; the grid spans 1.25 units.
        width, hidden_layers: See `MLP`.
        step: See `SignedDistanceField`.
        radius: Of the sphere that it starts as.
    """
    grid = HashGrid(
        3,
        levels=levels,
        log2_table_size=log2_table_size,
        coarsest=coarsest,
        finest=finest,
        seed=seed,
        backend=backend,
    )
    small = MLP(grid.out_features, 1, width=width, hidden_layers=hidden_layers, seed=seed, backend=backend)
    return SignedDistanceField(CoordinateField(grid, small), scale=0.8, shift=0.5, radius=radius, step=step)
