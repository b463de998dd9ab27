"""Where the scene may be anything but empty: nested grids of cells, a bit each, refreshed while a field is trained."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from ..fields.kernels.dispatch import select
from . import kernels

DensityFunction = Callable[[Float[Tensor, "samples 3"]], Tensor | tuple[Tensor, Tensor]]
"""Positions to density (samples,), alone or with features (samples, k) that the colour at the same places can use."""

_DECAY = 0.95
_THICKNESS = 0.01
_STRONG = 10.0
BLOCK = 4
"""Cells along a side of the blocks that `OccupancyGrid.keep_to` takes."""


class OccupancyGrid(nn.Module):
    """Nested occupancy grids of `resolution`³ cells; grid c covers the cube of side 2^c around (0.5, 0.5, 0.5).

    Each cell remembers the largest density seen in it lately, and is occupied while that exceeds
    `min(0.01 / smallest step, 0.99 mean over the cells)`: less than 0.01 of optical thickness is not worth a sample.
    Müller et al. 2022, appendix C. If `spreads`, cells that share a face with one of ten times that density are
    occupied, too: else fuzzy borders are cut off along the cells' faces, and what is thin cannot grow out of what is
    solid.

    Args:
        extent: Side of the scene's box, a power of two; there are log2(extent) + 1 grids.
        smallest_step: Length of the shortest sample, scene units.
        resolution: Cells per axis, a multiple of 8.
        spreads: Whether occupied cells make their neighbours occupied.
        backend: Which kernel runs, see `fields.kernels.dispatch`.
    """

    values: Tensor
    bits: Tensor

    def __init__(
        self,
        *,
        extent: int,
        smallest_step: float,
        resolution: int = 128,
        spreads: bool = True,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        if extent < 1 or extent & (extent - 1):
            raise ValueError(f"The side of the scene's box must be a power of two, got {extent}.")
        if resolution < 8 or resolution % 8:
            raise ValueError(f"The occupancy grid's resolution must be a multiple of 8, got {resolution}.")
        self.extent, self.smallest_step, self.resolution, self.backend = extent, smallest_step, resolution, backend
        self.spreads = spreads
        self.cascades = extent.bit_length()
        cells = self.cascades * resolution**3
        self._seen: Tensor | None = None
        self._survey: tuple[tuple[str, int, int], Tensor] | None = None
        self.register_buffer("values", torch.zeros(cells))
        self.register_buffer("bits", torch.full((cells // 8,), 255, dtype=torch.uint8))

    @torch.no_grad()
    def observe(self, positions: Float[Tensor, "samples 3"], density: Float[Tensor, " samples"]) -> None:
        """Takes note of densities that were evaluated anyway; `refresh_bits` makes them count."""
        kernel = self._kernel()
        cells = kernel.cells_of(positions, self.resolution, self.cascades)
        kernel.observe(self.values, cells, density, _DECAY)

    @torch.no_grad()
    def explore(
        self, density: Callable[[Tensor], Tensor], cells: Int[Tensor, " cells"], generator: torch.Generator
    ) -> None:
        """Evaluates the field at a random place in each of the given cells and takes note."""
        for part in cells.split(1 << 17):
            jitter = torch.rand(len(part), 3, generator=generator).to(part.device)
            found = density(self._places(part, jitter))
            self._kernel().observe(self.values, part, found, _DECAY)

    @torch.no_grad()
    def refresh_bits(self) -> None:
        """Decides anew which cells are occupied."""
        mean = self.values.mean(dtype=torch.float64).item()
        # A little below the mean: in fog that is the same everywhere no cell exceeds it.
        threshold = min(_THICKNESS / self.smallest_step, 0.99 * mean)
        kernel = self._kernel()
        bits = kernel.pack(self.values, threshold)
        if self.spreads:
            kernel.spread(bits, kernel.pack(self.values, _STRONG * threshold), self.resolution)
        self.bits.copy_(bits if self._seen is None else bits & self._seen)

    def keep_to(self, seen: Bool[Tensor, "cascades blocks blocks blocks"]) -> None:
        """Leaves blocks of 4 x 4 x 4 cells empty for good: those that nothing is to be learned of.

        Args:
            seen: Which blocks may be occupied, along x, y and z.
        """
        cells = seen.to(self.bits.device)
        for axis in (1, 2, 3):
            cells = cells.repeat_interleave(BLOCK, dim=axis)
        allowed: Tensor = self._kernel().pack(cells.reshape(-1).float(), 0.5)
        self.bits &= allowed
        self._seen = allowed

    def surveyed(self, march: Any) -> Tensor:
        """What a march kernel's `survey` says of the bits; asked again only when they have changed."""
        state = march.__name__, id(self.bits), self.bits._version
        if self._survey is None or self._survey[0] != state:
            self._survey = state, march.survey(self.bits, self.resolution, self.cascades)
        return self._survey[1]

    def random_cells(self, count: int, generator: torch.Generator) -> Int[Tensor, " cells"]:
        """Cells drawn uniformly, with repetition."""
        return torch.randint(len(self.values), (count,), generator=generator).to(self.values.device)

    def all_cells(self) -> Int[Tensor, " cells"]:
        """Every cell."""
        return torch.arange(len(self.values), device=self.values.device)

    def occupied_fraction(self) -> float:
        """Share of all cells that are occupied."""
        counts = torch.tensor([bin(byte).count("1") for byte in range(256)], device=self.bits.device)
        return counts[self.bits.long()].sum().item() / len(self.values)

    def _places(self, cells: Tensor, within: Tensor) -> Tensor:
        cascade, rest = cells // self.resolution**3, cells % self.resolution**3
        axes = torch.stack(
            [rest // self.resolution**2, rest // self.resolution % self.resolution, rest % self.resolution], dim=1
        )
        side = torch.pow(2.0, cascade.float())[:, None]
        return 0.5 + ((axes + within) / self.resolution - 0.5) * side

    def _kernel(self) -> Any:
        return select(
            "occupancy",
            package=kernels.__name__,
            device=self.values.device,
            dtype=self.values.dtype,
            backend=self.backend,
        )
