"""Every setting of `neufield nerf`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from .run_options import Positional, RunOptions, Switch, require_between, require_positive

Background = Literal["auto", "white", "black", "none", "learned"]
AppearanceModel = Literal["off", "exposure", "code"]
Refinement = Literal["off", "poses", "lenses"]
Preset = Literal["quick", "default", "best"]


@dataclass(frozen=True, kw_only=True)
class FieldConfig:
    """The field: a multiresolution hash grid and two small networks."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    levels: int = 16
    """Grids of growing resolution."""
    features: Literal[1, 2, 4, 8] = 2
    """Features stored per grid vertex."""
    log2_table_size: int = 17
    """Largest table per grid, as a power of two. Tables that fit a core's cache train fastest."""
    coarsest: int = 16
    """Vertices per axis of the coarsest grid."""
    finest: int = 2048
    """Vertices per axis of the finest grid, per unit cube of the scene."""
    width: Literal[16, 32, 64, 128] = 64
    """Neurons per hidden layer."""
    density_layers: int = 1
    """Hidden layers of the density network."""
    color_layers: int = 2
    """Hidden layers of the colour network."""

    def __post_init__(self) -> None:
        require_positive(self, "levels", "log2_table_size", "coarsest", "finest", group="field.")
        require_between(self, "levels", 1, 32, group="field.")
        require_between(self, "log2_table_size", 3, 26, group="field.")
        require_between(self, "coarsest", 2, 1024, group="field.")
        require_between(self, "finest", self.coarsest, 1 << 20, group="field.")
        require_between(self, "density_layers", 1, 8, group="field.")
        require_between(self, "color_layers", 1, 8, group="field.")


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Adam and its schedule: constant, then falling exponentially to a share of itself."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    rate: float = 2e-2
    """Learning rate."""
    decay_from: float = 0.5
    """Share of the training after which the rate falls."""
    decay_to: float = 0.05
    """What share of the rate is left at the end."""
    weight_decay: float = 1e-6
    """L2 penalty on the networks; the hash grid has none."""
    average: float = 0.95
    """Decay of the running average of the weights, per step; pictures are made with the average. 0 switches it off."""
    huber: float = 0.1
    """Colour errors above this count linearly."""
    distortion: float = 1e-2
    """Penalty on colours that are spread along a ray instead of lying at one place: it clears fog."""
    camera_rate: float = 1e-3
    """Learning rate of corrections of cameras: about the angle in radians by which a step moves a picture. It falls
    from the start on, to a fiftieth of what the other rate falls to."""
    camera_prior: float = 1e-2
    """Penalty on the squares of the angles by which corrections move the cameras' pictures."""
    appearance_rate: float = 5e-3
    """Learning rate of the photos' exposures and codes; it falls as the other one does."""
    appearance_prior: float = 1e-3
    """Penalty on the squares of the photos' exposures and codes."""
    depth: float = 0.3
    """Weight of depth maps, where the data has any: what stops a ray is pulled to where the map says. 0: not used."""
    opening: int | None = None
    """Steps in which the levels of the hash grid join one by one, coarsest first, but at most 2/5 of the training; by
    default 300 in a unit cube, 800 in larger scenes, 2000 while cameras are refined. 0: all from the start."""

    def __post_init__(self) -> None:
        require_positive(self, "rate", "decay_to", "huber", group="optimizer.")
        require_between(self, "rate", 0.0, 10.0, group="optimizer.")
        require_between(self, "decay_from", 0.0, 1.0, group="optimizer.")
        require_between(self, "decay_to", 0.0, 1.0, group="optimizer.")
        require_between(self, "weight_decay", 0.0, 1.0, group="optimizer.")
        require_between(self, "distortion", 0.0, 10.0, group="optimizer.")
        require_between(self, "camera_rate", 0.0, 1.0, group="optimizer.")
        require_between(self, "camera_prior", 0.0, 1e6, group="optimizer.")
        require_between(self, "appearance_rate", 0.0, 1.0, group="optimizer.")
        require_between(self, "appearance_prior", 0.0, 1e6, group="optimizer.")
        require_between(self, "depth", 0.0, 10.0, group="optimizer.")
        require_between(self, "opening", 0, 1_000_000, group="optimizer.")
        if not 0.0 <= self.average < 1.0:
            raise ValueError(f"--optimizer.average takes 0 to less than 1, got {self.average}.")


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """Where along the rays the field is looked at."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    samples: int = 1 << 14
    """Samples with gradients per step; the number of rays follows."""
    steps_per_unit: int | None = None
    """Samples per unit length, at the finest; by default 296 in a unit cube, 128 in larger scenes."""
    coarse_start: float = 8.0
    """Samples are this much longer at the start, and shrink while the scene takes shape."""
    coarse_half_life: int = 200
    """Steps in which that excess halves."""
    cone_angle: float | None = None
    """How samples grow with distance; by default 0 in a unit cube, 1/128 in larger scenes."""
    occupancy_resolution: int = 128
    """Cells per axis of the occupancy grid."""
    least_weight: float = 1e-3
    """Samples that weigh less in their pixel are skipped."""

    def __post_init__(self) -> None:
        require_positive(
            self, "samples", "steps_per_unit", "coarse_half_life", "occupancy_resolution", group="sampling."
        )
        require_between(self, "least_weight", 0.0, 0.1, group="sampling.")
        require_between(self, "cone_angle", 0.0, 0.5, group="sampling.")
        if self.occupancy_resolution % 8:
            raise ValueError(
                f"--sampling.occupancy-resolution must be a multiple of 8, got {self.occupancy_resolution}."
            )
        if not self.coarse_start >= 1.0:
            raise ValueError(f"--sampling.coarse-start takes 1 or more, got {self.coarse_start}.")


@dataclass(frozen=True, kw_only=True)
class NerfConfig(RunOptions):
    """Trains a NeRF on a folder of posed photos."""

    data: Positional[Path]
    """The folder: Blender, instant-ngp or nerfstudio transforms, a COLMAP model, or LLFF; see `neufield data check`."""
    preset: Preset = "default"
    """A set of defaults, for two cores: quick (a first look in 60 s, 31 dB on lego at 400x400), default (300 s, 33.6 dB
    there), or best (half an hour, larger tables and batches)."""
    background: Background = "auto"
    """What lies behind transparent photos, in training and in scoring; auto: white where photos have transparency.
    learned: for opaque photos of open scenes, a colour by viewing direction for all that is far away, such as the sky,
    fitted with the scene; without it the scene's box has to hold that, too."""
    view_dependence: Switch = "on"
    """Whether a point's colour may change with the direction it is seen from."""
    refine_poses: Refinement = "off"
    """Correct the cameras while training. poses: a small rotation and shift of each; lenses: also focal lengths and
    distortion. Held-out cameras are aligned with the scene before they are scored."""
    appearance: AppearanceModel = "off"
    """What may change from photo to photo. exposure: the brightness of each channel; code: also eight numbers that
    colours depend on, for changing light. New views, held-out ones too, are rendered as the mean photo."""
    holdout_every: int = 8
    """Every n-th photo by name is held out for scoring, where the data names no test views."""
    downscale: int = 1
    """Read photos at 1/n of their size, by averaging."""
    turntable: Switch = "off"
    """Render a video once around the scene into the report."""
    against: Path | None = None
    """A finished run on the same data that the report compares this one with."""
    field: FieldConfig = FieldConfig()
    """The field."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """The optimiser."""
    sampling: SamplingConfig = SamplingConfig()
    """The samples."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "downscale")
        if self.holdout_every < 2:
            raise ValueError(f"--holdout-every takes 2 or more, got {self.holdout_every}.")
