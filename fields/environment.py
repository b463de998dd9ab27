"""What lies behind the scene's box: sky, walls, the far side of the street, as if infinitely far away."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .features import check_features
from .hash_grid import HashGrid
from .mlp import MLP


class Environment(nn.Module):
    """A colour that depends on the viewing direction alone, from a small hash grid around the unit sphere.

        color = sigmoid(network(grid((direction + 1) / 2)))

    What moves against the rest from view to view has no place in it. Mid-grey everywhere at the start. As the
    environment map of Müller et al. 2022's instant-ngp, and the background network of Zhang et al. 2020 ("NeRF++"),
    section 4, without its distance.

    Args:
        levels: Grids of growing resolution, 2 features each.
        log2_table_size: Largest table per grid, as a power of two.
        coarsest, finest: Vertices per axis of the coarsest and the finest grid; 256 of them are about half a degree.
        width: Neurons of the network's hidden layer.
        seed: Seed of features and weights.
        backend: Which kernels run, see `kernels.dispatch`.
    """

    def __init__(
        self,
        *,
        levels: int = 8,
        log2_table_size: int = 14,
        coarsest: int = 4,
        finest: float = 256.0,
        width: int = 16,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = 3, 3
        self.grid = HashGrid(
            3,
            levels=levels,
            features=2,
            log2_table_size=log2_table_size,
            coarsest=coarsest,
            finest=finest,
            seed=seed,
            backend=backend,
        )
        self.network = MLP(self.grid.out_features, 3, width=width, hidden_layers=1, seed=seed, backend=backend)

    def forward(self, directions: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """RGB in [0, 1], (..., 3), seen along unit directions (..., 3) from the camera into the scene.

        Raises:
            ValueError: Directions have another number of coordinates than three.
        """
        check_features(directions, 3, self)
        return torch.sigmoid(self.network(self.grid(0.5 * (directions + 1.0))))
