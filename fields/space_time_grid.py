"""A hash grid over a plane and time."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .hash_grid import HashGrid


class SpaceTimeGrid(nn.Module):
    """A hash grid over (u, v, t) that is as fine along time as is asked for, whatever it is along the plane.

    Args:
        duration: Largest t; the smallest is 0.
        space: Vertices of the finest grid along a unit of u and v, which lie in [0, 1].
        time: Vertices of the finest grid along the duration.
        levels, features, log2_table_size, coarsest: As of `HashGrid`; the coarsest grid is meant along the axis that
            has more vertices.
        seed, backend: As of `HashGrid`.
    """

    scale: Tensor

    def __init__(
        self,
        *,
        duration: float,
        space: float,
        time: float,
        levels: int,
        features: int,
        log2_table_size: int,
        coarsest: int,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        finest = max(space, time, float(coarsest))
        self.grid = HashGrid(
            3,
            levels=levels,
            features=features,
            log2_table_size=log2_table_size,
            coarsest=coarsest,
            finest=finest,
            seed=seed,
            backend=backend,
        )
        self.in_features, self.out_features = 3, self.grid.out_features
        plane = space / finest
        self.register_buffer("scale", torch.tensor([plane, plane, time / finest / duration]), persistent=False)

    def forward(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n features"]:
        """Features at (u, v, t), coarsest grid first."""
        return self.grid(x * self.scale)
