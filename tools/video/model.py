"""The field of a clip, sized to it: what a run of `neufield video` saves and draws from."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ...configs.video_config import VideoConfig
from ...datasets import held_out_frames
from ...fields import MLP, CoordinateField, MotionField, SpaceTimeGrid
from ...render import KeyFrames
from .clip_facts import ClipFacts

_PIXELS_PER_MOTION = 8  # along a side
_SMALLEST_FRAME = 16  # pixels along the longer side of the most blurred copy, at least
_MOTION_COARSEST, _MOTION_TABLE = 4, 17
_MOTION_WIDTH = 32
_REACH = 1.0 / 16.0  # distance per frame, in lengths of the longer side, of a motion of 1
_SMALLEST_TABLE, _LARGEST_TABLE = 12, 21


def resolved_field(config: VideoConfig, kind: ClipFacts) -> VideoConfig:
    """The settings with those of the field filled in that follow from the clip."""
    longest, trained = max(kind.width, kind.height), len(trained_frames(config, kind))
    grid, motion = config.grid, config.motion
    if config.field == "motion":
        octaves = max(0, math.floor(math.log2(longest / _SMALLEST_FRAME)))
        motion = replace(
            motion,
            finest=motion.finest or max(math.ceil(longest / _PIXELS_PER_MOTION), _MOTION_COARSEST),
            octaves=octaves if motion.octaves is None else motion.octaves,
        )
        return replace(config, motion=motion)
    entries = trained * kind.width * kind.height / (grid.levels * grid.features)
    fitting = min(max(math.ceil(math.log2(entries)), _SMALLEST_TABLE), _LARGEST_TABLE)
    grid = replace(
        grid,
        log2_table_size=grid.log2_table_size or fitting,
        finest=grid.finest or float(max(longest, grid.coarsest)),
    )
    return replace(config, grid=grid)


def trained_frames(config: VideoConfig, kind: ClipFacts) -> list[int]:
    """The numbers of the frames that the field is fitted to."""
    held_out = set(held_out_frames(kind.frames, config.holdout_every))
    return [frame for frame in range(kind.frames) if frame not in held_out]


class VideoModel(nn.Module):
    """A field from places in a clip and times to colours.

    Args:
        config: The run's settings, resolved.
        kind: The clip's size and number of frames.
        frames: Those that are trained on; a motion carries them, a grid needs none.
    """

    stretch: Tensor

    def __init__(
        self, config: VideoConfig, kind: ClipFacts, frames: UInt8[Tensor, "frames height width 3"] | None
    ) -> None:
        super().__init__()
        longest, trained = max(kind.width, kind.height), trained_frames(config, kind)
        extent = kind.width / longest, kind.height / longest
        self.register_buffer("stretch", torch.tensor(extent), persistent=False)
        self.field: CoordinateField | MotionField
        self.frames: KeyFrames | None = None
        if config.field == "motion":
            assert frames is not None
            assert config.motion.octaves is not None
            self.frames = KeyFrames(frames, levels=config.motion.octaves + 1)
            times = torch.tensor(trained, dtype=torch.float32)
            motion = _motion(config, kind, len(trained))
            self.field = MotionField(self.frames, motion, times=times, extent=extent, reach=_REACH)
        else:
            self.field = _colors(config, kind, len(trained))

    def forward(self, places: Float[Tensor, "n 2"], times: Float[Tensor, " n"]) -> Float[Tensor, "n 3"]:
        """Colours at (u, v) in the unit square, v downwards, and at times in frames from the first one."""
        return self.field(self.points(places, times))

    def points(self, places: Float[Tensor, "n 2"], times: Float[Tensor, " n"]) -> Float[Tensor, "n 3"]:
        """Places in the unit square and times as the field takes them: in lengths of the longer side, and in frames."""
        return torch.cat([places * self.stretch, times[:, None]], dim=1)

    @property
    def parameters_used(self) -> int:
        """How many trained numbers the result depends on."""
        return sum(parameter.numel() for parameter in self.parameters())


def _colors(config: VideoConfig, kind: ClipFacts, trained: int) -> CoordinateField:
    """Colours of a grid with a vertex along time for each frame that is trained on: they say nothing of more."""
    grid = config.grid
    assert grid.log2_table_size is not None
    assert grid.finest is not None
    encoding = SpaceTimeGrid(
        duration=kind.frames - 1.0,
        space=grid.finest,
        time=float(trained),
        levels=grid.levels,
        features=grid.features,
        log2_table_size=grid.log2_table_size,
        coarsest=grid.coarsest,
        seed=config.seed,
        backend=config.backend,
    )
    network = MLP(
        encoding.out_features,
        3,
        width=grid.width,
        hidden_layers=grid.hidden_layers,
        seed=config.seed,
        backend=config.backend,
    )
    return CoordinateField(encoding, network)


def _motion(config: VideoConfig, kind: ClipFacts, trained: int) -> CoordinateField:
    motion = config.motion
    assert motion.finest is not None
    encoding = SpaceTimeGrid(
        duration=kind.frames - 1.0,
        space=float(motion.finest),
        time=float(trained),
        levels=motion.levels,
        features=2,
        log2_table_size=_MOTION_TABLE,
        coarsest=_MOTION_COARSEST,
        seed=config.seed + 1,
        backend=config.backend,
    )
    network = MLP(
        encoding.out_features, 2, width=_MOTION_WIDTH, hidden_layers=1, seed=config.seed + 1, backend=config.backend
    )
    return CoordinateField(encoding, network)
