"""Multiresolution hash encoding in plain torch: the truth that other backends are held to, on any device and dtype."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from .hash_grid_geometry import PRIMES, HashGridGeometry


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs wherever torch does."""
    del device, dtype


def encode(x: Float[Tensor, "samples d"], table: Float[Tensor, " parameters"], geometry: HashGridGeometry) -> Tensor:
    """Interpolates every level's features at x; differentiable by autograd to any order.

    Args:
        x: Coordinates in [0, 1]; values outside are clamped, NaN counts as 0, and neither gets a gradient.
        table: Flat features, `geometry.parameters` of them.
        geometry: Levels and sizes.

    Returns:
        Features (samples, levels * features), coarsest level first.
    """
    x = torch.where(x.isnan(), 0.0, x.clamp(0.0, 1.0))
    rows = table.view(-1, geometry.features)
    encoded = [_encode_level(x, rows, geometry, level) for level in range(geometry.evaluated)]
    closed = (geometry.levels - geometry.evaluated) * geometry.features
    return torch.cat([*encoded, encoded[0].new_zeros(len(x), closed)], dim=1)


def forward(x: Tensor, table: Tensor, geometry: HashGridGeometry) -> Tensor:
    """See `encode`; without gradients."""
    with torch.no_grad():
        return encode(x, table, geometry)


def backward(
    x: Tensor, table: Tensor, gradient: Tensor, geometry: HashGridGeometry, *, for_x: bool, for_table: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Gradients of `sum(gradient * encode(x, table))` with respect to x and to the table; None where not asked for."""
    with torch.enable_grad():
        x = x.detach().requires_grad_(for_x)
        table = table.detach().requires_grad_(for_table)
        wanted = [tensor for tensor, asked in ((x, for_x), (table, for_table)) if asked]
        found = iter(torch.autograd.grad(encode(x, table, geometry), wanted, gradient) if wanted else ())
    return next(found) if for_x else None, next(found) if for_table else None


def _encode_level(x: Tensor, rows: Tensor, geometry: HashGridGeometry, level: int) -> Tensor:
    position = _position(x, geometry.scales[level])
    cell = position.detach().floor()
    fraction = position - cell
    total = torch.zeros(len(x), geometry.features, dtype=torch.promote_types(x.dtype, rows.dtype), device=x.device)
    for corner in range(2**geometry.dimensions):
        bits = [(corner >> d) & 1 for d in range(geometry.dimensions)]
        weight = torch.ones_like(fraction[:, 0])
        for d, bit in enumerate(bits):
            weight = weight * (fraction[:, d] if bit else 1.0 - fraction[:, d])
        vertex = cell.long() + torch.tensor(bits, device=x.device)
        total = total + weight[:, None] * rows[_entry(vertex, geometry, level)]
    return total


def _position(x: Tensor, scale: float) -> Tensor:
    """scale x + 1/2, rounded (as good as) once, like a fused multiply-add: cells must not depend on the backend."""
    if x.dtype == torch.float64:
        return x * scale + 0.5
    return (x.double() * float(torch.tensor(scale, dtype=x.dtype)) + 0.5).to(x.dtype)


def _entry(vertex: Int[Tensor, "samples d"], geometry: HashGridGeometry, level: int) -> Int[Tensor, " samples"]:
    index = torch.zeros_like(vertex[:, 0])
    if geometry.hashed[level]:
        for d in range(geometry.dimensions):
            index = index ^ (vertex[:, d] * PRIMES[d])
    else:
        for d in range(geometry.dimensions):
            index = index + vertex[:, d] * geometry.resolutions[level] ** d
    return index % geometry.entries[level] + geometry.offsets[level]
