"""`neufield nerf`: trains a radiance field on posed photos."""

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ...configs.nerf_config import NerfConfig
from ...datasets import PosedImages, PosedScene
from ...render import CameraRefinement, Cameras, Rays, Rendering, Similarity, seen_blocks
from ..fitting import FitSettings
from ..metrics import psnr
from .depth_supervision import depth_loss, distance_along_rays
from .model import RadianceModel, background_color, blend, resolved_sampling

_FEWEST_RAYS, _MOST_RAYS = 64, 1 << 17
_FIRST_RAYS = 256
_BOUNDED_OPENING, _OPEN_OPENING = 300, 800  # steps; larger scenes have more room for fog
_REFINED_OPENING = 2000  # cameras find their place on coarse shapes, and get stuck on fine ones
_OPEN_AFTER = 0.4  # of the training all levels take part at the latest
_ENVIRONMENT_AFTER = 0.375  # of the levels are open: half of them left walls in the sky, a quarter holes in solids
_REFRESH_EVERY = 16
_CAMERA_SLACK = 0.05  # radians by which refined cameras may come to look aside of where they were given
_CAMERA_FADING = 0.02  # at full rate cameras never come to rest, and blur what they should sharpen
REFINED_FROM = 200  # steps: before it nothing is there that a camera could be compared with
_EXPLORED_CELLS = 1 << 14
_ALL_CELLS_AT_ONCE = 1 << 21
_QUICK_VIEWS, _QUICK_PIXELS = 8, 40_000


def fit_settings(config: NerfConfig) -> FitSettings:
    """The part of the settings that the fitting loop needs."""
    optimizer = config.optimizer
    return FitSettings(
        seconds=None if config.steps else config.seconds,
        steps=config.steps,
        rate=optimizer.rate,
        decay_from=optimizer.decay_from,
        decay_to=optimizer.decay_to,
        average=optimizer.average,
        checkpoint_seconds=config.checkpoint_seconds,
    )


class NerfTask:
    """Fits a `RadianceModel` to photos: pixels → rays → samples that can be seen → colours → Huber error.

    The grid's levels join one by one, coarsest first, and samples are long at first; the colours' spread along the rays
    is penalised. Together they keep fog out of scenes that are open or seen from few sides.

    A learned environment takes part once three eighths of the levels are open; before, random colours lie behind the
    scene. In a large box it would swallow what is solid if it were there sooner, while the grid is coarse; much later,
    walls that the scene has built to show the sky stay where they are.

    A step's random numbers depend on the seed and the step alone, so that a resumed run draws the same ones.

    Args:
        config: The run's settings.
        scene: The photos.
        device: Where the model and the photos lie.
    """

    scored = "held-out photos"

    def __init__(self, config: NerfConfig, scene: PosedScene, device: torch.device) -> None:
        self.config, self.scene, self.device = config, scene, device
        if config.background == "learned" and scene.background == "alpha":
            raise ValueError(
                f"The photos in {scene.folder} have transparency, and do not show what lies behind it; "
                "use --background white, black or none instead of learned."
            )
        cameras = scene.train.cameras
        if config.refine_poses == "lenses" and bool(cameras.fisheye.any()):
            photo = scene.train.names[int(cameras.fisheye.nonzero()[0])]
            raise ValueError(f"{photo} has a fisheye lens, which cannot be refined; use --refine-poses poses.")
        self.model = RadianceModel(config, extent=scene.extent, near=scene.near, cameras=cameras).to(device)
        self.module: torch.nn.Module = self.model
        self.background = background_color(config.background, transparent=scene.background == "alpha", device=device)
        self.cameras, self._test_cameras = cameras.to(device), scene.test.cameras.to(device)
        self.model.field.grid.open(self._levels_at(0, 0.0))
        occupancy = self.model.occupancy
        occupancy.keep_to(
            seen_blocks(
                self.cameras,
                extent=scene.extent,
                resolution=occupancy.resolution,
                near=scene.near,
                slack=0.0 if self.model.refinement is None else _CAMERA_SLACK,
            )
        )
        self.rays_per_step = _FIRST_RAYS
        self.rays_drawn = self.samples_kept = self.samples_evaluated = 0
        self._generator = torch.Generator()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Updated where there is a gradient: weights that wait for a level to open stay as they are."""
        field, refinement, appearance = self.model.field, self.model.refinement, self.model.appearance
        environment, optimizer = self.model.environment, self.config.optimizer
        tables, networks = [field.grid.table], [field.density_network.weights, field.color_network.weights]
        if environment is not None:
            tables.append(environment.grid.table)
            networks.append(environment.network.weights)
        groups: list[dict[str, Any]] = [
            {"params": tables, "sparse": True},
            {"params": networks, "sparse": True, "weight_decay": optimizer.weight_decay},
        ]
        if refinement is not None:
            share = optimizer.camera_rate / optimizer.rate
            cameras = {"params": list(refinement.parameters()), "sparse": True, "share": share}
            groups.append({**cameras, "fading": _CAMERA_FADING})
        if appearance is not None:
            share = optimizer.appearance_rate / optimizer.rate
            groups.append({"params": list(appearance.parameters()), "sparse": True, "share": share})
        return groups

    def warm_up(self) -> None:
        """Compiles or loads every kernel of a step, on rays that see next to nothing."""
        facts = self.facts()
        bits = self.model.occupancy.bits.clone()
        values = self.model.occupancy.values.clone()
        losses = self._losses(step=REFINED_FROM, coarseness=64.0, rays=_FEWEST_RAYS, environment=True)
        sum(losses.values()).backward()  # pyright: ignore[reportAttributeAccessIssue]
        self._explore(self.model.occupancy.all_cells()[:64])
        self.model.zero_grad()
        self.model.occupancy.bits.copy_(bits)
        self.model.occupancy.values.copy_(values)
        self.restore(facts)

    def losses(self, step: int, progress: float) -> dict[str, Tensor]:
        """The Huber error of the colours of this step's rays, how far along the rays these colours are spread, and how
        far they are from where depth maps know them to be."""
        grid, sampling = self.model.field.grid, self.config.sampling
        # Never fewer than before: a run that gets a later end is suddenly less far.
        grid.open(max(int(grid.open_levels), self._levels_at(step, progress)))
        excess = (sampling.coarse_start - 1.0) * 0.5 ** (step / sampling.coarse_half_life) * (1.0 - progress)
        return self._losses(
            step=step,
            coarseness=1.0 + (excess if excess > 0.01 else 0.0),
            rays=self.rays_per_step,
            environment=int(grid.open_levels) > _ENVIRONMENT_AFTER * self.config.field.levels,
        )

    def _levels_at(self, step: int, progress: float) -> int:
        """How many levels of the grid take part in a step."""
        levels, opening = self.config.field.levels, self.config.optimizer.opening
        share = max(step / opening, progress / _OPEN_AFTER) if opening else 1.0
        return min(1 + int(levels * share), levels)

    def _losses(self, *, step: int, coarseness: float, rays: int, environment: bool) -> dict[str, Tensor]:
        generator = self._generator.manual_seed(self.config.seed * 1_000_003 + step)
        batch = self.scene.train.sample(rays, generator)
        jitter = torch.rand(rays, generator=generator).to(self.device)
        behind = torch.rand(rays, 3, generator=generator).to(self.device)
        hidden = environment and self.model.environment is not None
        if hidden or (self.background is None and self.scene.background == "alpha"):
            behind.zero_()  # else opaque photos have random colours: light that gets through the scene is an error
        photos = batch.camera_indices.to(self.device)
        drawn = self._rays(batch.pixels.to(self.device), photos, step)
        rendering = self.model.renderer(coarseness=coarseness, environment=environment).render(
            drawn, behind, jitter=jitter, on_density=self.model.occupancy.observe
        )
        target = blend(batch.colors.to(self.device), behind)
        self._count(rays, rendering.samples, rendering.evaluated)
        optimizer = self.config.optimizer
        color = self._exposed(rendering, photos, behind)
        error = torch.nn.functional.huber_loss(color, target, delta=optimizer.huber) / optimizer.huber
        terms = {"color": error, "distortion": optimizer.distortion * rendering.distortion.mean()}
        if batch.depth is not None and optimizer.depth > 0.0:
            cameras = self.model.trained_cameras(self.cameras)
            distance = distance_along_rays(batch.depth.to(self.device), drawn.directions.detach(), cameras, photos)
            terms["depth"] = optimizer.depth * depth_loss(rendering, distance)
        if self.model.refinement is not None:
            terms["cameras"] = optimizer.camera_prior * self.model.refinement.prior()
        if self.model.appearance is not None:
            terms["appearance"] = optimizer.appearance_prior * self.model.appearance.prior()
        return terms

    def _rays(self, pixels: Tensor, photos: Tensor, step: int) -> Rays:
        """What the pixels see; from some step on the cameras learn from it."""
        refinement, appearance = self.model.refinement, self.model.appearance
        codes = None if appearance is None else appearance.codes_of(photos)
        if refinement is None or step < REFINED_FROM:
            return Rays(*self.cameras.rays(pixels, photos), codes)
        return Rays(*refinement.rays(self.cameras, pixels, photos), codes)

    def _exposed(self, rendering: Rendering, photos: Tensor, behind: Tensor) -> Tensor:
        """The rendered colours as the photos are exposed, the environment's too; what lies behind them all is not."""
        if self.model.appearance is None:
            return rendering.color
        through = (1.0 - rendering.opacity)[:, None] * behind
        return (rendering.color - through) * self.model.appearance.gains(photos) + through

    @property
    def test_cameras(self) -> Cameras:
        """The held-out cameras, moved as the training's cameras have moved all together, with lenses learned there."""
        refinement = self.model.refinement
        if refinement is None:
            return self._test_cameras
        cameras = refinement.with_learned_lenses(self._test_cameras)
        if has_folding_lens(cameras):
            cameras = self._test_cameras
        return cameras.transformed(self.common_motion(refinement))

    def common_motion(self, refinement: CameraRefinement) -> Similarity:
        """What corrections of the training's cameras have in common: it moves the scene and changes no picture."""
        given, now = (camera_frames(cameras) for cameras in (self.cameras, refinement.corrected(self.cameras)))
        return Similarity.aligning(given, now)

    @property
    def scoring_background(self) -> Tensor:
        """RGB behind the scene where pictures are scored, (3,)."""
        return torch.zeros(3, device=self.device) if self.background is None else self.background

    def _count(self, rays: int, samples: int, evaluated: int) -> None:
        self.rays_drawn += rays
        self.samples_kept += samples
        self.samples_evaluated += evaluated
        factor = min(max(self.config.sampling.samples / max(samples, 1), 0.5), 2.0)
        self.rays_per_step = int(min(max(rays * factor, _FEWEST_RAYS), _MOST_RAYS))

    def after_step(self, step: int, progress: float) -> None:
        """Looks at cells that no ray came by, a few every 16 steps and all of them at steps 32, 64, 128, ..."""
        del progress
        self.scene.train.turn_over(self.rays_drawn)
        step += 1
        if step % _REFRESH_EVERY or step < 2 * _REFRESH_EVERY:
            return
        grid = self.model.occupancy
        self._generator.manual_seed(self.config.seed * 1_000_003 + step + (1 << 31))  # torch seeds from 32 bits
        if step & (step - 1) == 0:
            cells = grid.all_cells()
            if len(cells) > _ALL_CELLS_AT_ONCE:
                cells = grid.random_cells(_ALL_CELLS_AT_ONCE, self._generator)
        else:
            cells = grid.random_cells(_EXPLORED_CELLS, self._generator)
        self._explore(cells)

    def _explore(self, cells: Tensor) -> None:
        grid = self.model.occupancy
        with torch.no_grad():
            grid.explore(self.model.field.density, cells, self._generator)
        grid.refresh_bits()

    def counters(self) -> dict[str, float]:
        """Rays drawn and samples that had gradients, since the start."""
        return {"rays": float(self.rays_drawn), "samples": float(self.samples_kept)}

    def facts(self) -> dict[str, Any]:
        """The ray count of the next step, and the totals."""
        return {
            "rays_per_step": self.rays_per_step,
            "rays_drawn": self.rays_drawn,
            "samples_kept": self.samples_kept,
            "samples_evaluated": self.samples_evaluated,
        }

    def restore(self, facts: dict[str, Any]) -> None:
        """Takes back what `facts` gave."""
        self.rays_per_step = int(facts["rays_per_step"])
        self.rays_drawn, self.samples_kept = int(facts["rays_drawn"]), int(facts["samples_kept"])
        self.samples_evaluated = int(facts["samples_evaluated"])
        self.scene.train.turn_over(self.rays_drawn)

    def quick_score(self) -> dict[str, float]:
        """PSNR over a lattice of pixels of up to 8 held-out views."""
        views = self.scene.test
        if not len(views):
            return {}
        chosen = torch.linspace(0, len(views) - 1, min(_QUICK_VIEWS, len(views))).round().long().unique()
        found = [self._lattice_score(views, int(index)) for index in chosen]
        scores = [score for score in found if score is not None]
        return {"psnr": sum(scores) / len(scores)} if scores else {}

    @torch.no_grad()
    def _lattice_score(self, views: PosedImages, index: int) -> float | None:
        """None where a mask ignores the whole lattice."""
        width, height = (int(size) for size in views.cameras.sizes[index])
        spacing = max(1, math.ceil(math.sqrt(width * height / _QUICK_PIXELS)))
        rows, columns = torch.meshgrid(
            torch.arange(spacing // 2, height, spacing), torch.arange(spacing // 2, width, spacing), indexing="ij"
        )
        kept = views.kept_in(index)
        counts = torch.ones_like(rows, dtype=torch.bool) if kept is None else kept[rows, columns]
        rows, columns = rows[counts], columns[counts]
        if not len(rows):
            return None
        places = torch.stack([columns, rows], dim=1) + 0.5
        rays = Rays(*self.test_cameras.rays(places.to(self.device), torch.full_like(rows, index).to(self.device)))
        behind = self.scoring_background
        seen = self.model.renderer().render(rays, behind[None]).color.clamp(0.0, 1.0)
        target = blend(views.image(index)[rows, columns].to(self.device), behind)
        return psnr(seen[None], target[None])


def has_folding_lens(cameras: Cameras) -> bool:
    """Whether a lens cannot be inverted in its whole image: refinement knows of no such limit."""
    try:
        _ = cameras.lens_table
    except ValueError:
        return True
    return False


def camera_frames(cameras: Cameras) -> Tensor:
    """Four points of every camera, (4 cameras, 3): its position and a step along each axis, about as far as others."""
    position, axes = cameras.world_from_camera[:, :, 3], cameras.world_from_camera[:, :, :3]
    reach = (position - position.mean(dim=0)).norm(dim=1).mean().clamp(min=1e-3)
    return torch.cat([position, *(position + reach * axis for axis in axes.unbind(2))])


def resolved(config: NerfConfig, scene: PosedScene) -> NerfConfig:
    """The settings with everything filled in that follows from the data."""
    background, optimizer = config.background, config.optimizer
    if background == "auto":
        background = "white" if scene.background == "alpha" else "none"
    if optimizer.opening is None:
        opening = _BOUNDED_OPENING if scene.extent == 1 else _OPEN_OPENING
        optimizer = replace(optimizer, opening=opening if config.refine_poses == "off" else _REFINED_OPENING)
    sampling = resolved_sampling(config.sampling, scene.extent)
    return replace(config, background=background, optimizer=optimizer, sampling=sampling)
