"""Volume rendering of a radiance field, given as callables, along any rays."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from .cameras import Cameras
from .composite import composite
from .marching import Marcher, Thinning, visible_samples
from .occupancy import DensityFunction, OccupancyGrid
from .samples import Rays, Samples, Stepping

RadianceFunction = Callable[..., tuple[Tensor, Tensor]]
"""(positions, directions), then features if the density gave any, then codes if the rays have any (features are None
where the density gave none), to density (samples,) and colour (samples, 3)."""
EnvironmentFunction = Callable[[Float[Tensor, "rays 3"]], Tensor]
"""Unit directions to the colour (rays, 3) of what is infinitely far away."""


@dataclass(frozen=True)
class Rendering:
    """What rays see.

    Attributes:
        color: RGB over the environment or the background (rays, 3).
        opacity: Share of light that the field stops (rays,), in [0, 1].
        depth: Expected distance along the ray where it is stopped (rays,), scene units; 0 where nothing stops it.
        distortion: How far what is seen is spread along the ray (rays,), see `composite`.
        samples: How many samples were composited.
        evaluated: How many densities were evaluated to find them.
    """

    color: Float[Tensor, "rays 3"]
    opacity: Float[Tensor, " rays"]
    depth: Float[Tensor, " rays"]
    distortion: Float[Tensor, " rays"]
    samples: int
    evaluated: int


@dataclass(frozen=True)
class Renderer:
    """Renders rays through a radiance field: the walk of a training step without its gradients or with them.

    Attributes:
        density: The field's density at positions, alone or with features.
        radiance: Its density and colour at positions seen along directions, given those features and the rays' codes.
        occupancy: Where it may be anything but empty.
        stepping: How long samples are.
        near: Nothing is sampled closer to a ray's origin, scene units.
        thinning: Which samples are worth a colour.
        environment: What the scene shows behind the field, by direction; None: nothing, a background shows through.
        backend: Which kernels run, see `fields.kernels.dispatch`.
    """

    density: DensityFunction
    radiance: RadianceFunction
    occupancy: OccupancyGrid
    stepping: Stepping
    near: float = 0.0
    thinning: Thinning = Thinning()
    environment: EnvironmentFunction | None = None
    backend: str = "auto"

    def render(
        self,
        rays: Rays,
        background: Float[Tensor, "#rays 3"],
        *,
        jitter: Float[Tensor, " rays"] | None = None,
        on_density: Callable[[Tensor, Tensor], None] | None = None,
    ) -> Rendering:
        """Renders one batch of rays; colour, opacity, depth and distortion carry gradients to the field's parameters.

        Where the rays themselves ask for gradients, they get those of the samples' positions and directions; along the
        ray the samples lie where they lie.

        Args:
            rays: Scene coordinates.
            background: RGB in [0, 1] behind the scene, for all rays or each; an environment hides it.
            jitter: Shifts of the rays' samples in [0, 1), see `Marcher`.
            on_density: Is told all positions and densities that were evaluated to find the samples.
        """
        marcher = Marcher(rays, self.occupancy, self.stepping, near=self.near, jitter=jitter, backend=self.backend)
        samples, evaluated = visible_samples(
            marcher, self.density, self.thinning, on_density=on_density, backend=self.backend
        )
        positions, directions = _along(rays, samples)
        known = () if samples.features is None and rays.codes is None else (samples.features,)
        if rays.codes is not None:
            known += (rays.codes.index_select(0, samples.ray_indices),)
        density, color = self.radiance(positions, directions, *known)
        seen = composite(density, color, samples.t_starts, samples.t_ends, samples.ray_starts, backend=self.backend)
        behind = background if self.environment is None else self.environment(rays.directions)
        return Rendering(
            seen.color + (1.0 - seen.opacity)[:, None] * behind,
            seen.opacity,
            seen.depth / seen.opacity.clamp(min=1e-6),
            seen.distortion,
            len(samples),
            evaluated,
        )

    @torch.no_grad()
    def render_image(
        self, cameras: Cameras, index: int, background: Float[Tensor, " 3"], *, chunk: int = 1 << 15
    ) -> dict[str, Tensor]:
        """Renders one camera's whole picture, `chunk` rays at a time.

        Returns:
            `color` (h, w, 3), `opacity` (h, w) and `depth` (h, w), as in `Rendering`.
        """
        width, height = (int(size) for size in cameras.sizes[index])
        device = cameras.focal.device
        total = width * height
        color, opacity, depth = (torch.empty(total, n, device=device) for n in (3, 1, 1))
        for start in range(0, total, chunk):
            pixel = torch.arange(start, min(start + chunk, total), device=device)
            places = torch.stack([pixel % width + 0.5, pixel // width + 0.5], dim=1)
            rays = Rays(*cameras.rays(places, torch.full_like(pixel, index)))
            part = self.render(rays, background[None])
            span = slice(start, start + len(pixel))
            color[span], opacity[span, 0], depth[span, 0] = part.color, part.opacity, part.depth
        return {
            "color": color.view(height, width, 3),
            "opacity": opacity.view(height, width),
            "depth": depth.view(height, width),
        }


def _along(rays: Rays, samples: Samples) -> tuple[Tensor, Tensor]:
    """Positions of samples and directions they are seen along, as functions of the rays if these want gradients."""
    directions = rays.directions.index_select(0, samples.ray_indices)
    if not (torch.is_grad_enabled() and (rays.origins.requires_grad or rays.directions.requires_grad)):
        return samples.positions, directions
    origins = rays.origins.index_select(0, samples.ray_indices)
    t = ((samples.positions - origins.detach()) * directions.detach()).sum(dim=1, keepdim=True)
    # The differences are zero: the values stay those at which densities were found, to the last bit.
    moved = (origins - origins.detach()) + t * (directions - directions.detach())
    return samples.positions + moved, directions
