"""Multiresolution hash encoding (Müller et al. 2022, "Instant Neural Graphics Primitives")."""

import functools
import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import kernels
from .kernels import hash_grid_reference
from .kernels.dispatch import select
from .kernels.hash_grid_geometry import HashGridGeometry


@functools.cache
def _opened(geometry: HashGridGeometry, levels: int) -> HashGridGeometry:
    """The same grid with so many levels open; kept, because a geometry computes its tables once."""
    return replace(geometry, open_levels=levels)


class HashGrid(nn.Module):
    """Encodes coordinates by interpolating trainable features on grids of growing resolution, stored in hash tables.

    Args:
        in_features: Dimensions d of the coordinates, 1 to 4.
        levels: Number of grids.
        features: Features per level: 1, 2, 4 or 8.
        log2_table_size: Largest number of table entries per level, as a power of two.
        coarsest: Resolution of level 0.
        finest: Resolution of the last level; sets the growth from level to level. Give this or `growth`.
        growth: Ratio between the resolutions of neighbouring levels.
        seed: Features start uniform in ±1e-4, drawn from this seed.
        backend: Which kernel runs, see `kernels.dispatch`.
    """

    open_levels: Tensor
    """How many levels are evaluated, coarsest first; saved with the features."""

    def __init__(
        self,
        in_features: int = 3,
        *,
        levels: int = 16,
        features: int = 2,
        log2_table_size: int = 19,
        coarsest: int = 16,
        finest: float | None = None,
        growth: float | None = None,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if (finest is None) == (growth is None):
            raise ValueError("Give HashGrid either `finest` or `growth`, and not both.")
        if growth is None:
            assert finest is not None
            growth = math.exp(math.log(finest / coarsest) / max(levels - 1, 1))
        self.geometry = HashGridGeometry(in_features, levels, features, log2_table_size, coarsest, growth)
        self.in_features = in_features
        self.out_features = levels * features
        self.backend = backend
        generator = torch.Generator().manual_seed(seed)
        self.register_buffer("open_levels", torch.tensor(levels))
        self.table = nn.Parameter((torch.rand(self.geometry.parameters, generator=generator) * 2.0 - 1.0) * 1e-4)

    def forward(
        self, x: Float[Tensor, "*batch d"], known: Float[Tensor, "*batch features"] | None = None
    ) -> Float[Tensor, "*batch features"]:
        """Features at x, coarsest level first.

        Coordinates outside [0, 1] are clamped and NaN counts as 0; neither gets a gradient.

        Args:
            x: Coordinates in [0, 1].
            known: The features at x, where they were computed before without gradients: they are returned as they are,
                and gradients flow as if they had been computed now.
        """
        if x.shape[-1] != self.in_features:
            raise ValueError(
                f"This hash grid takes {self.in_features} coordinates, got a tensor of shape {tuple(x.shape)}."
            )
        if known is not None:
            expected = (*x.shape[:-1], self.out_features)
            if known.shape != expected:
                raise ValueError(f"Known features must have the shape {expected}, got {tuple(known.shape)}.")
            known = known.reshape(-1, self.out_features)
        rows = x.reshape(-1, self.in_features)
        geometry = _opened(self.geometry, int(self.open_levels))
        flat: Tensor = _Encode.apply(rows, self.table, known, geometry, self.backend)  # pyright: ignore
        return flat if x.ndim == 2 else flat.reshape(*x.shape[:-1], self.out_features)

    def open(self, levels: int) -> None:
        """Evaluates the so many coarsest levels alone from now on; the features of the others are zero.

        A fit that opens them one after the other finds coarse shapes first, with fewer ways to explain the data
        wrongly, and costs less while few are open. Li et al. 2023, "Neuralangelo", section 3.2.

        Raises:
            ValueError: There are not so many, or none is left.
        """
        _opened(self.geometry, levels)
        self.open_levels.fill_(levels)

    def extra_repr(self) -> str:
        """The geometry, for print(model)."""
        return repr(self.geometry)


class _Encode(torch.autograd.Function):
    """Owns autograd for every backend; a second derivative goes through the reference."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, table: Tensor, known: Tensor | None, geometry: HashGridGeometry, backend: str
    ) -> Tensor:
        ctx.save_for_backward(x, table)
        ctx.geometry, ctx.kernel = geometry, _kernel(x, table, backend)
        if known is not None:
            return known.view_as(known)
        return ctx.kernel.forward(x, table, geometry)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, table = ctx.saved_tensors
        for_x, for_table = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # create_graph: the gradient itself must be differentiable
            wanted = [tensor for tensor, asked in ((x, for_x), (table, for_table)) if asked]
            encoded = hash_grid_reference.encode(x, table, ctx.geometry)
            found = iter(torch.autograd.grad(encoded, wanted, gradients[0], create_graph=True))
            return next(found) if for_x else None, next(found) if for_table else None, None, None, None
        found = ctx.kernel.backward(x, table, gradients[0], ctx.geometry, for_x=for_x, for_table=for_table)
        return *found, None, None, None


def _kernel(x: Tensor, table: Tensor, backend: str) -> Any:
    dtype = torch.promote_types(x.dtype, table.dtype)
    return select("hash_grid", package=kernels.__name__, device=x.device, dtype=dtype, backend=backend)
