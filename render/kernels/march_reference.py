"""Rays through the occupancy grid in plain torch: every candidate sample is tested, one after the other."""

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from ..samples import Rays, Round, Samples, Stepping


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs wherever torch does."""
    del device, dtype


def enter(
    rays: Rays, extent: float, stepping: Stepping, near: float, jitter: Float[Tensor, " rays"] | None
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Where on the curve of `stepping` candidate 0 of every ray begins, and at what distance the ray leaves the box.

    Args:
        rays: All rays.
        extent: Side of the box, whose middle is (0.5, 0.5, 0.5).
        stepping: How long samples are.
        near: No candidate begins closer to a ray's origin, but for the jitter.
        jitter: Shifts candidates by this share of a sample, less one half; None: not at all.
    """
    t_enter, t_leave = box_interval(rays, extent)
    places = stepping.place(t_enter.clamp(min=near).double()).to(t_enter.dtype)
    if jitter is not None:
        places = (places + jitter - 0.5).clamp(min=0.0)
    return places, t_leave


def box_interval(rays: Rays, extent: float) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Where rays enter and leave the cube of side `extent` around (0.5, 0.5, 0.5); both 0 for rays that miss it."""
    low, high = 0.5 - 0.5 * extent, 0.5 + 0.5 * extent
    directions = torch.where(rays.directions == 0.0, torch.full_like(rays.directions, 1e-20), rays.directions)
    to_low, to_high = (low - rays.origins) / directions, (high - rays.origins) / directions
    enter = torch.minimum(to_low, to_high).amax(dim=1).clamp(min=0.0)
    leave = torch.maximum(to_low, to_high).amin(dim=1)
    missed = ~(leave > enter)  # also where a ray is no number
    return enter.masked_fill(missed, 0.0), leave.masked_fill(missed, 0.0)


def advance(
    rays: Rays,
    alive: Int[Tensor, " alive"],
    places: Float[Tensor, " rays"],
    t_ends: Float[Tensor, " rays"],
    reached: Int[Tensor, " rays"],
    bits: UInt8[Tensor, " bytes"],
    resolution: int,
    cascades: int,
    room: Tensor,
    stepping: Stepping,
    limit: int,
) -> Samples:
    """Takes the next `limit` occupied candidates of every living ray.

    Args:
        rays: All rays.
        alive: Which of them go on.
        places: Where on the curve of `stepping` candidate 0 of a ray begins.
        t_ends: Where a ray leaves the scene; candidates whose midpoint lies beyond are not taken.
        reached: The next candidate of every ray; moved forward in place.
        bits: Occupancy, see `OccupancyGrid`.
        resolution, cascades: Its cells per axis and its number of nested grids.
        room: What `survey` says of the bits.
        stepping: How long samples are.
        limit: Most samples per ray.

    Returns:
        Samples; `ray_indices` count in all rays, `ray_starts` in the living ones.
    """
    del room
    taken = torch.zeros(len(alive), dtype=torch.long, device=alive.device)
    rows: list[tuple[Tensor, Tensor]] = []
    while True:
        candidate = reached[alive]
        middle = stepping.distance(places[alive] + (candidate + 0.5))
        inside = (middle < t_ends[alive]) & (taken < limit)
        if not bool(inside.any()):
            break
        positions = rays.origins[alive] + rays.directions[alive] * middle[:, None]
        hit = inside & occupied(positions, bits, resolution, cascades)
        rows.append((hit.nonzero()[:, 0], candidate[hit]))
        taken += hit
        reached[alive] += inside
    slots = torch.cat([row for row, _ in rows]) if rows else torch.zeros(0, dtype=torch.long, device=alive.device)
    candidates = torch.cat([row for _, row in rows]) if rows else slots
    order = torch.sort(slots, stable=True).indices
    slots, candidates = slots[order], candidates[order]
    ray_indices = alive[slots]
    start = places[ray_indices] + candidates
    middle = stepping.distance(start + 0.5)
    return Samples(
        stepping.distance(start),
        stepping.distance(start + 1.0),
        ray_indices,
        offsets(slots, len(alive)),
        rays.origins[ray_indices] + rays.directions[ray_indices] * middle[:, None],
    )


def going_on(
    ray_starts: Int[Tensor, " alive_plus_1"], limit: int, transmittance: Float[Tensor, " alive"], least: float
) -> Int[Tensor, " going_on"]:
    """The rays, by their number in the round, that found `limit` samples and let more than `least` of the light by."""
    return ((ray_starts.diff() == limit) & (transmittance > least)).nonzero().view(-1)


def survey(bits: UInt8[Tensor, " bytes"], resolution: int, cascades: int) -> Tensor:
    """What a backend wants to know of the bits before it marches: here nothing."""
    del resolution, cascades
    return bits.new_empty(0)


def occupied(
    positions: Float[Tensor, "samples 3"], bits: UInt8[Tensor, " bytes"], resolution: int, cascades: int
) -> Bool[Tensor, " samples"]:
    """Whether positions lie in occupied cells; False outside the largest cascade."""
    cell, inside = cells(positions, resolution, cascades)
    cell = torch.where(inside, cell, 0)
    return inside & ((bits[cell >> 3].long() >> (cell & 7)) & 1).bool()


def cells(
    positions: Float[Tensor, "samples 3"], resolution: int, cascades: int
) -> tuple[Int[Tensor, " samples"], Bool[Tensor, " samples"]]:
    """The cell, in the smallest cascade that holds it, of every position; and whether any cascade does."""
    centered = positions - 0.5
    reach = centered.abs().amax(dim=1)
    cascade = torch.zeros_like(reach, dtype=torch.long)
    for level in range(1, cascades):
        cascade += reach >= 0.5 * 2.0 ** (level - 1)
    scaled = (centered * torch.pow(2.0, -cascade.to(reach.dtype))[:, None] + 0.5) * resolution
    axis = scaled.floor().long().clamp(0, resolution - 1)
    index = ((cascade * resolution + axis[:, 0]) * resolution + axis[:, 1]) * resolution + axis[:, 2]
    return index, reach < 0.5 * 2.0 ** (cascades - 1)


def offsets(owner: Int[Tensor, " samples"], owners: int) -> Int[Tensor, "{owners}+1"]:
    """Where each owner's run begins in an array sorted by owner."""
    starts = torch.zeros(owners + 1, dtype=torch.long, device=owner.device)
    starts[1:] = torch.bincount(owner, minlength=owners).cumsum(0)
    return starts


def merge(rounds: list[Round], rays: int) -> Samples:
    """The samples that were kept, sorted by ray and within a ray by round; of `rays` rays in at least one round."""
    samples = [found.samples for found in rounds]
    keep = torch.cat([found.keep for found in rounds]).nonzero()[:, 0]
    owner = torch.cat([part.ray_indices for part in samples])[keep]
    order = keep[torch.sort(owner, stable=True).indices]
    features = [found.features for found in rounds if found.features is not None]
    return Samples(
        torch.cat([part.t_starts for part in samples])[order],
        torch.cat([part.t_ends for part in samples])[order],
        torch.cat([part.ray_indices for part in samples])[order],
        offsets(owner, rays),
        torch.cat([part.positions for part in samples])[order],
        torch.cat(features)[order] if features else None,
    )
