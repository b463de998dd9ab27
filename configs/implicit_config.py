"""Settings of the implicit method of `neufield surface`: a signed distance and how it is fitted."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from .run_options import require_between, require_positive

DistanceKind = Literal["hash", "siren"]


@dataclass(frozen=True, kw_only=True)
class ImplicitConfig:
    """The signed distance of --method implicit."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    field: DistanceKind = "hash"
    """hash: a multiresolution hash grid and a small network, quick. siren: a network of waves, smoother."""
    levels: int = 8
    """Grids of growing resolution of --implicit.field hash."""
    log2_table_size: int = 18
    """Largest table per grid, as a power of two."""
    finest: float | None = None
    """Vertices along the longest side of the finest grid; by default one for every one and a half spacings of the
    points or, where they are noisier than dense, for every three standard deviations of the noise."""
    width: int | None = None
    """Neurons per hidden layer; by default 64 on a hash grid (16, 32, 64 or 128), 128 of siren."""
    hidden_layers: int = 2
    """Hidden layers, of siren behind the first one."""
    omega: float = 30.0
    """Frequency of siren's first layer."""
    batch: int = 4096
    """Points per step; as many places again off the surface."""
    rate: float | None = None
    """Learning rate; by default 1e-2 of a hash grid, 5e-4 of siren."""
    without_normals: Literal["estimate", "ignore"] = "estimate"
    """What is done where the points have no normals. estimate: from planes through each point's neighbours, made to
    agree. ignore: fitted without, which takes thin parts for solid ones more easily."""
    surface_weight: float = 3e3
    """Of |f| at the points."""
    away_weight: float = 1e2
    """Of exp(-100 |f|) elsewhere, which keeps surface from where there are no points; where normals are unknown."""
    normal_weight: float = 1e2
    """Of 1 - cos(slope, normal) at the points."""
    eikonal_weight: float = 5e1
    """Of ||slope| - 1| everywhere."""
    guide_weight: float = 1e2
    """Of how much f falls short, anywhere in the box, of half the distance from the nearest point, on the side that its
    normal says: no sheet of surface is left where there are no points."""
    resolution: int = 256
    """Cells of marching cubes along the longest side."""

    def __post_init__(self) -> None:
        positive = ("finest", "width", "omega", "batch", "rate", "surface_weight", "eikonal_weight")
        require_positive(self, *positive, group="implicit.")
        require_between(self, "levels", 1, 16, group="implicit.")
        require_between(self, "log2_table_size", 10, 24, group="implicit.")
        require_between(self, "hidden_layers", 1, 8, group="implicit.")
        require_between(self, "away_weight", 0.0, 1e9, group="implicit.")
        require_between(self, "normal_weight", 0.0, 1e9, group="implicit.")
        require_between(self, "guide_weight", 0.0, 1e9, group="implicit.")
        require_between(self, "resolution", 8, 4096, group="implicit.")
        if self.field == "hash" and self.width not in (None, 16, 32, 64, 128):
            raise ValueError(f"--implicit.width takes 16, 32, 64 or 128 on a hash grid, got {self.width}.")
