"""Every setting of `neufield video`."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar, Literal

from .run_options import Positional, RunOptions, require_between, require_positive

VideoField = Literal["motion", "grid"]


@dataclass(frozen=True, kw_only=True)
class ClipGridConfig:
    """The hash grid over place and time of --field grid, and the network on it."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    levels: int = 8
    """Grids of growing resolution."""
    features: Literal[1, 2, 4, 8] = 4
    """Features stored per grid vertex."""
    log2_table_size: int | None = None
    """Largest table per grid, as a power of two; by default what the clip's pixels ask for."""
    coarsest: int = 16
    """Vertices along the longer side of the coarsest grid."""
    finest: float | None = None
    """Vertices along the longer side of the finest grid; by default as many as pixels."""
    width: Literal[16, 32, 64, 128] = 64
    """Neurons per hidden layer of the network."""
    hidden_layers: int = 2
    """Hidden layers of the network."""

    def __post_init__(self) -> None:
        require_positive(self, "finest", group="grid.")
        require_between(self, "levels", 1, 32, group="grid.")
        require_between(self, "log2_table_size", 3, 26, group="grid.")
        require_between(self, "coarsest", 2, 1024, group="grid.")
        require_between(self, "finest", self.coarsest, 1 << 20, group="grid.")
        require_between(self, "hidden_layers", 1, 16, group="grid.")


@dataclass(frozen=True, kw_only=True)
class MotionConfig:
    """The motion of --field motion: a coarse grid over place and time, fitted from blurred frames to sharp ones."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    finest: int | None = None
    """Vertices along the longer side of its finest grid; by default one for every eight pixels."""
    levels: int = 4
    """Its grids of growing resolution."""
    octaves: int | None = None
    """The first frames it is fitted to are smaller by this power of two; by default 16 pixels or a little more remain
    along their longer side."""
    sharp_from: float = 0.4
    """Share of the training after which it is fitted to frames of full size."""
    smoothness: float = 0.01
    """Weight of the difference between motions of neighbouring places, in pixels per frame."""

    def __post_init__(self) -> None:
        require_between(self, "finest", 2, 4096, group="motion.")
        require_between(self, "levels", 1, 16, group="motion.")
        require_between(self, "octaves", 0, 12, group="motion.")
        require_between(self, "sharp_from", 0.0, 1.0, group="motion.")
        require_between(self, "smoothness", 0.0, 1e3, group="motion.")


@dataclass(frozen=True, kw_only=True)
class VideoOptimizerConfig:
    """Adam and its schedule: constant, then falling exponentially to a share of itself."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    rate: float | None = None
    """Learning rate; by default what suits the field."""
    decay_from: float = 0.3
    """Share of the training after which the rate falls."""
    decay_to: float = 0.02
    """What share of the rate is left at the end."""
    batch: int = 8192
    """Pixels per step, or places between the frames."""
    average: float = 0.0
    """Decay of the running average of the weights, per step; frames are drawn with the average. 0 switches it off."""

    def __post_init__(self) -> None:
        require_positive(self, "rate", "decay_to", group="optimizer.")
        require_between(self, "rate", 0.0, 10.0, group="optimizer.")
        require_between(self, "decay_from", 0.0, 1.0, group="optimizer.")
        require_between(self, "decay_to", 0.0, 1.0, group="optimizer.")
        require_between(self, "batch", 1, 1 << 22, group="optimizer.")
        if not 0.0 <= self.average < 1.0:
            raise ValueError(f"--optimizer.average takes 0 to less than 1, got {self.average}.")


@dataclass(frozen=True, kw_only=True)
class VideoConfig(RunOptions):
    """Fits a clip as a field over place and time, which can be drawn at any size and at any time between its frames."""

    clip: Positional[Path]
    """The clip: a video (mp4, gif, or what else ffmpeg reads), or a folder of frames as pictures, taken in the order of
    their names."""
    field: VideoField = "motion"
    """motion: a motion over place and time, which carries the frames to the times between them. grid: colours over
    place and time, which fade from frame to frame."""
    holdout_every: int = 2
    """Leave every so manieth frame out of the fit, and score the field there; 0 fits all frames, and scores those."""
    fps: float | None = None
    """Frames per second of the clip; by default what the video says, 25 for a folder."""
    grid: ClipGridConfig = ClipGridConfig()
    """The grid of colours."""
    motion: MotionConfig = MotionConfig()
    """The motion."""
    optimizer: VideoOptimizerConfig = VideoOptimizerConfig()
    """The optimiser."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_positive(self, "fps")
        require_between(self, "fps", 0.0, 1e4)
        require_between(self, "holdout_every", 0, 1 << 20)
        if self.holdout_every == 1:
            raise ValueError("--holdout-every 1 leaves no frame to fit; give 2 or more, or 0 to fit all frames.")
        _require_own_settings(self)


def _require_own_settings(config: VideoConfig) -> None:
    """Refuses settings of the field that is not fitted."""
    group, plain = ("grid", ClipGridConfig()) if config.field == "motion" else ("motion", MotionConfig())
    found = getattr(config, group)
    given = [item.name for item in fields(plain) if getattr(found, item.name) != getattr(plain, item.name)]
    if given:
        raise ValueError(
            f"--{group}.{given[0].replace('_', '-')} is of no use with --field {config.field}; leave it out, or take "
            f"--field {group}."
        )
