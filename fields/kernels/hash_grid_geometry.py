"""The geometry of a multiresolution hash grid: what every backend agrees on, and how the flat table is laid out."""

import math
from dataclasses import dataclass
from functools import cached_property

PRIMES = (1, 2654435761, 805459861, 3674653429)


@dataclass(frozen=True)
class HashGridGeometry:
    """Levels, resolutions and table sizes of a multiresolution hash grid, laid out as tiny-cuda-nn does.

        scale_l = coarsest growth^l - 1,    resolution_l = ceil(scale_l) + 1,    position = scale_l x + 1/2

    Level l owns `entries[l] = min(round_up(resolution_l^d, 8), 2^log2_table_size)` entries of `features` values in one
    flat table, levels one after the other. While all vertices fit an entry is addressed directly, else by the spatial
    hash. A vertex one step beyond an axis's last, which cells at the far border reach, shares another one's entry.
    Müller et al. 2022, section 3.

    Only the `open_levels` coarsest levels are evaluated (None: all); the features of the others are zero.
    """

    dimensions: int
    levels: int
    features: int
    log2_table_size: int
    coarsest: int
    growth: float
    open_levels: int | None = None

    def __post_init__(self) -> None:
        if not 1 <= self.dimensions <= 4:
            raise ValueError(f"A hash grid has 1 to 4 dimensions; {self.dimensions} were asked for.")
        if self.features not in (1, 2, 4, 8):
            raise ValueError(f"A hash grid stores 1, 2, 4 or 8 features per level; {self.features} were asked for.")
        if self.levels < 1 or self.coarsest < 2 or self.growth < 1.0:
            raise ValueError(
                "A hash grid needs at least 1 level, a coarsest resolution of at least 2 and a growth of at least 1; "
                f"got levels={self.levels}, coarsest={self.coarsest}, growth={self.growth}."
            )
        if not 1 <= self.evaluated <= self.levels:
            raise ValueError(f"Of {self.levels} levels 1 to {self.levels} can be open; got {self.open_levels}.")
        if self.coarsest * self.growth ** (self.levels - 1) >= 2**30:
            raise ValueError(
                f"The finest of {self.levels} grids would have {self.coarsest * self.growth ** (self.levels - 1):.3g} "
                "vertices per axis; at most 2^30 can be told apart."
            )
        if not 3 <= self.log2_table_size <= 26:
            raise ValueError(f"log2_table_size must lie in 3..26, got {self.log2_table_size}.")

    @property
    def evaluated(self) -> int:
        """How many levels are evaluated."""
        return self.levels if self.open_levels is None else self.open_levels

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """Cells per unit length, by level."""
        return tuple(self.coarsest * self.growth**level - 1.0 for level in range(self.levels))

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """Vertices per axis, by level."""
        return tuple(math.ceil(scale) + 1 for scale in self.scales)

    @cached_property
    def entries(self) -> tuple[int, ...]:
        """Table entries, by level."""
        return tuple(
            min(-(-(resolution**self.dimensions) // 8) * 8, 2**self.log2_table_size) for resolution in self.resolutions
        )

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """The first entry of every level in the table, and the number of all entries at the end."""
        return tuple(sum(self.entries[:level]) for level in range(self.levels + 1))

    @cached_property
    def hashed(self) -> tuple[bool, ...]:
        """Whether a level has more vertices than entries, so that its vertices share them by hashing."""
        return tuple(resolution**self.dimensions > count for resolution, count in zip(self.resolutions, self.entries))

    @property
    def parameters(self) -> int:
        """The length of the flat table."""
        return self.offsets[-1] * self.features
