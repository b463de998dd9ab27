"""A radiance field together with where it may be anything but empty: what a NeRF run saves, renders and exports."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ...configs.nerf_config import NerfConfig, SamplingConfig
from ...fields import Appearance, Environment, HashGrid, RadianceField
from ...render import CameraRefinement, Cameras, OccupancyGrid, Renderer, Stepping, Thinning

_BOUNDED_STEPS, _OPEN_STEPS = 296, 128  # 296 a unit are 512 along the cube's diagonal
_CODE_FEATURES = 8
_OPEN_CONE_ANGLE = 1.0 / 128.0


def resolved_sampling(sampling: SamplingConfig, extent: int) -> SamplingConfig:
    """The settings with those filled in that follow from the side of the scene's box."""
    steps, cone = (_BOUNDED_STEPS, 0.0) if extent == 1 else (_OPEN_STEPS, _OPEN_CONE_ANGLE)
    return replace(
        sampling,
        steps_per_unit=steps if sampling.steps_per_unit is None else sampling.steps_per_unit,
        cone_angle=cone if sampling.cone_angle is None else sampling.cone_angle,
    )


class RadianceModel(nn.Module):
    """A field, what lies behind it, its occupancy grid, and the way they are sampled.

    Args:
        config: The run's settings.
        extent: Side of the scene's box, a power of two.
        near: Nothing is sampled closer to a camera, scene units.
        cameras: Those that are trained on, scene coordinates.
    """

    def __init__(self, config: NerfConfig, *, extent: int, near: float, cameras: Cameras) -> None:
        super().__init__()
        settings, backend = config.field, config.backend
        sampling = resolved_sampling(config.sampling, extent)
        assert sampling.steps_per_unit is not None
        assert sampling.cone_angle is not None
        self.near, self.sampling, self.backend = near, sampling, backend
        self.extent = extent
        self.smallest_step, self.cone_angle = 1.0 / sampling.steps_per_unit, sampling.cone_angle
        grid = HashGrid(
            3,
            levels=settings.levels,
            features=settings.features,
            log2_table_size=settings.log2_table_size,
            coarsest=settings.coarsest,
            finest=float(settings.finest * extent),
            seed=config.seed,
            backend=backend,
        )
        code_features = _CODE_FEATURES if config.appearance == "code" else 0
        varies = config.appearance != "off"
        self.appearance = Appearance(len(cameras), code_features=code_features) if varies else None
        self.field = RadianceField(
            grid,
            extent=float(extent),
            width=settings.width,
            density_layers=settings.density_layers,
            color_layers=settings.color_layers,
            view_dependence=config.view_dependence == "on",
            code_features=code_features,
            seed=config.seed,
            backend=backend,
        )
        learned = config.background == "learned"
        self.environment = Environment(seed=config.seed, backend=backend) if learned else None
        self.occupancy = OccupancyGrid(
            extent=extent,
            smallest_step=self.smallest_step,
            resolution=sampling.occupancy_resolution,
            spreads=extent > 1,  # in a unit cube a third more looks gain less than the steps that they cost
            backend=backend,
        )
        refined = config.refine_poses != "off"
        self.refinement = CameraRefinement(cameras, lens=config.refine_poses == "lenses") if refined else None

    def trained_cameras(self, cameras: Cameras) -> Cameras:
        """The cameras that are trained on, as they are known by now."""
        return cameras if self.refinement is None else self.refinement.corrected(cameras)

    def renderer(self, *, coarseness: float = 1.0, environment: bool = True) -> Renderer:
        """Renders the model as it is now.

        Args:
            coarseness: Samples are so many times as long as the settings say.
            environment: Whether the environment is seen, where there is one.
        """
        smallest = coarseness * self.smallest_step
        largest = max(smallest, self.extent / self.sampling.occupancy_resolution)
        return Renderer(
            density=self.field.probe,
            radiance=self._radiance,
            occupancy=self.occupancy,
            stepping=Stepping(smallest, self.cone_angle, largest),
            near=self.near,
            thinning=Thinning(least_weight=self.sampling.least_weight),
            environment=self.environment if environment else None,
            backend=self.backend,
        )

    def _radiance(
        self, positions: Tensor, directions: Tensor, features: Tensor | None = None, codes: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The field's density and colour; where the rays are of no photo, in the mean photo."""
        if codes is None and self.appearance is not None:
            codes = self.appearance.mean_code()
        return self.field(positions, directions, features, codes)


def background_color(name: str, *, transparent: bool, device: torch.device) -> Tensor | None:
    """The RGB behind the scene, (3,); None where photos are opaque and the scene explains every pixel itself."""
    if name in ("none", "learned") or (name == "auto" and not transparent):
        return None
    return torch.full((3,), 0.0 if name == "black" else 1.0, device=device)


def blend(colors: Tensor, background: Tensor) -> Tensor:
    """Photo bytes (..., 3 or 4) with straight alpha, laid over a background; RGB in [0, 1]."""
    values = colors.float() * (1.0 / 255.0)
    if values.shape[-1] == 3:
        return values
    alpha = values[..., 3:]
    return values[..., :3] * alpha + background * (1.0 - alpha)
