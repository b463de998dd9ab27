"""Upkeep of the occupancy grid in plain torch."""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from . import march_reference


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs wherever torch does."""
    del device, dtype


def observe(
    values: Float[Tensor, " cells"], cells: Int[Tensor, " seen"], density: Float[Tensor, " seen"], decay: float
) -> None:
    """Takes note, in place, of densities seen in cells.

        value = max(decay value, densities seen there)

    A cell decays once a call however often it was seen, and one that was not seen keeps its value. Cell -1 is no cell;
    a density that is NaN says nothing.
    """
    valid = cells >= 0
    cells, density = cells[valid], density[valid].nan_to_num(nan=0.0, posinf=torch.inf)  # NaN says nothing
    touched = torch.unique(cells)
    values[touched] *= decay
    values.scatter_reduce_(0, cells, density, "amax")


def cells_of(positions: Float[Tensor, "samples 3"], resolution: int, cascades: int) -> Int[Tensor, " samples"]:
    """The cell, in the smallest cascade that holds it, of every position; -1 outside the largest."""
    cells, inside = march_reference.cells(positions, resolution, cascades)
    return torch.where(inside, cells, -1)


def pack(values: Float[Tensor, " cells"], threshold: float) -> UInt8[Tensor, " bytes"]:
    """One bit a cell, lowest bit first: whether its value exceeds the threshold."""
    bits = (values > threshold).view(-1, 8).to(torch.uint8)
    return (bits << torch.arange(8, dtype=torch.uint8, device=values.device)).sum(dim=1).to(torch.uint8)


def spread(bits: UInt8[Tensor, " bytes"], strong: UInt8[Tensor, " bytes"], resolution: int) -> None:
    """Sets, in place, the bits of all cells that share a face with a strong one of the same grid.

    Args:
        bits: One bit a cell, as `pack` makes them, of nested grids of `resolution`³ cells one after the other.
        strong: The strong cells, likewise.
        resolution: Cells per axis, a multiple of 8.
    """
    shifts = torch.arange(8, dtype=torch.uint8, device=bits.device)
    cells = ((strong[:, None] >> shifts) & 1).bool().view(-1, resolution, resolution, resolution)
    near = torch.zeros_like(cells)
    for axis in (1, 2, 3):
        low, high = cells.narrow(axis, 0, resolution - 1), cells.narrow(axis, 1, resolution - 1)
        near.narrow(axis, 1, resolution - 1).logical_or_(low)
        near.narrow(axis, 0, resolution - 1).logical_or_(high)
    bits |= pack(near.view(-1).float(), 0.5)
