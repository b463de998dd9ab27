"""From rays to the samples that matter: marching through the occupancy grid in rounds, front to back."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..fields.kernels.dispatch import select
from . import kernels
from .occupancy import DensityFunction, OccupancyGrid
from .samples import Rays, Round, Samples, Stepping


@dataclass(frozen=True)
class Thinning:
    """Which samples along a ray are worth a colour.

    Attributes:
        least_weight: Samples that weigh less are dropped.
        least_transmittance: A ray ends where less light than this comes through.
        first_round: Samples per ray of the first round; every later round takes half as many again.
    """

    least_weight: float = 1e-4
    least_transmittance: float = 1e-3
    first_round: int = 8

    def __post_init__(self) -> None:
        if self.first_round < 1:
            raise ValueError(f"A round takes at least one sample per ray, got first_round={self.first_round}.")


class Marcher:
    """Walks a batch of rays through the occupied part of the scene.

    Args:
        rays: Unit-length directions, scene coordinates.
        occupancy: Where samples are taken.
        stepping: How long they are.
        near: No sample has its middle closer to a ray's origin, scene units.
        jitter: Shifts each ray's samples by this share of a sample, in [0, 1), less one half; None: not at all.
    """

    def __init__(
        self,
        rays: Rays,
        occupancy: OccupancyGrid,
        stepping: Stepping,
        *,
        near: float = 0.0,
        jitter: Float[Tensor, " rays"] | None = None,
        backend: str = "auto",
    ) -> None:
        self.rays = rays = Rays(rays.origins.detach().contiguous(), rays.directions.detach().contiguous())
        self.occupancy, self.stepping = occupancy, stepping
        device, dtype = rays.origins.device, rays.origins.dtype
        self._kernel = select("march", package=kernels.__name__, device=device, dtype=dtype, backend=backend)
        self.places, self.t_leave = self._kernel.enter(rays, float(occupancy.extent), stepping, near, jitter)
        self.reached = torch.zeros(len(rays), dtype=torch.long, device=device)
        self._room = occupancy.surveyed(self._kernel)

    def advance(self, alive: Int[Tensor, " alive"], limit: int) -> Samples:
        """The next `limit` samples of each of these rays; `ray_indices` count in all rays, `ray_starts` in these."""
        grid = self.occupancy
        return self._kernel.advance(
            self.rays,
            alive,
            self.places,
            self.t_leave,
            self.reached,
            grid.bits,
            grid.resolution,
            grid.cascades,
            self._room,
            self.stepping,
            limit,
        )

    def going_on(
        self, samples: Samples, limit: int, transmittance: Float[Tensor, " alive"], least: float
    ) -> Int[Tensor, " going_on"]:
        """Which of the rays of a round take part in the next: those that found `limit` samples and are not opaque."""
        return self._kernel.going_on(samples.ray_starts, limit, transmittance, least)

    def merge(self, rounds: list[Round]) -> Samples:
        """The samples that rounds kept, sorted by ray and within a ray by round; there is at least one round."""
        return self._kernel.merge(rounds, len(self.rays))


@torch.no_grad()
def visible_samples(
    marcher: Marcher,
    density: DensityFunction,
    thinning: Thinning,
    *,
    on_density: Callable[[Tensor, Tensor], None] | None = None,
    backend: str = "auto",
) -> tuple[Samples, int]:
    """The samples of every ray that can be seen, by the field's density alone; nothing here carries a gradient.

    Rounds of a few samples per ray go front to back; a ray that has become opaque or left the scene takes no part in
    the next one.

    Args:
        marcher: A fresh marcher.
        density: The field's density, alone or with features that its colour will need; these come back in the samples.
        thinning: What is worth keeping.
        on_density: Is told all positions and densities that were evaluated.
        backend: Which kernels run, see `fields.kernels.dispatch`.

    Returns:
        The samples, and how many densities were evaluated to find them.
    """
    rays = len(marcher.rays)
    device = marcher.rays.origins.device
    composite = select(
        "composite", package=kernels.__name__, device=device, dtype=marcher.rays.origins.dtype, backend=backend
    )
    alive = torch.arange(rays, device=device)
    arriving = torch.ones(rays, device=device, dtype=marcher.rays.origins.dtype)  # light, at these rays' next sample
    limit, rounds = thinning.first_round, []
    while len(alive):
        samples = marcher.advance(alive, limit)
        if len(samples):
            answer = density(samples.positions)
            found, features = answer if isinstance(answer, tuple) else (answer, None)
            if on_density is not None:
                on_density(samples.positions, found)
            keep = composite.thin(
                found,
                samples.t_starts,
                samples.t_ends,
                samples.ray_starts,
                arriving,
                least_weight=thinning.least_weight,
                least_transmittance=thinning.least_transmittance,
            )
            rounds.append(Round(samples, keep, features))
        going_on = marcher.going_on(samples, limit, arriving, thinning.least_transmittance)
        alive, arriving = alive.index_select(0, going_on), arriving.index_select(0, going_on)
        limit += limit // 2
    kept = marcher.merge(rounds) if rounds else _none(marcher.rays)
    return kept, sum(len(found.samples) for found in rounds)


def _none(rays: Rays) -> Samples:
    empty = rays.origins.new_zeros(0)
    starts = torch.zeros(len(rays) + 1, dtype=torch.long, device=empty.device)
    return Samples(empty, empty, starts[:0], starts, empty.new_zeros(0, 3))
