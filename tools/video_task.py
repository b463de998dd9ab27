"""`neufield video`: fits a clip as a field over place and time."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..configs.video_config import VideoConfig
from ..datasets import Clip, held_out_frames
from ..fields import CoordinateField, MotionField
from ..render import FramePyramid, Raster
from .clip_facts import ClipFacts
from .fitting import FitSettings
from .metrics import psnr
from .video_model import VideoModel, trained_frames

_SCORED_PIXELS = 1 << 16
_ROUGH = 1e-2  # differences of colours below this count by their square when two frames are held against each other
_LITTLE = 0.03  # pixels per frame: differences of motions below this count by their square
_NEIGHBOR_PIXELS = 4.0  # standard deviation of the distance over which motions are held to be alike


def fit_settings(config: VideoConfig) -> FitSettings:
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


class VideoTask:
    """Fits a `VideoModel` to the frames of a clip that are trained on.

    Colours are fitted to pixels of these frames. A motion is right where the colours at both of its ends are the same:
    it is fitted to that at random places and times between two neighbouring frames, in blurred copies of them first,
    so that it finds its way over more than a pixel. A step's random numbers depend on the seed and the step alone.

    Args:
        config: The run's settings, resolved.
        clip: The clip; its held-out frames are only scored.
        device: Where the model lies.
    """

    def __init__(self, config: VideoConfig, clip: Clip, device: torch.device) -> None:
        self.config, self.clip, self.device = config, clip, device
        self.kind = ClipFacts.of(clip)
        self.model = VideoModel(config, self.kind).to(device)
        self.module: torch.nn.Module = self.model
        self.raster = Raster(*clip.size)
        self.trained = torch.tensor(trained_frames(config, self.kind))
        self.held_out = torch.tensor(held_out_frames(len(clip), config.holdout_every), dtype=torch.long)
        self.scored_frames = self.held_out if len(self.held_out) else self.trained
        self.scored = "held-out frames" if len(self.held_out) else "all frames"
        self.pixels_drawn = 0
        self._pyramid: FramePyramid | None = None
        if isinstance(self.model.field, MotionField):
            assert config.motion.octaves is not None
            frames = clip.frames[self.trained].to(device)
            self._pyramid = FramePyramid(frames, levels=config.motion.octaves + 1)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Grids' tables are updated where they have a gradient."""
        field = self.model.field
        if not isinstance(field, MotionField):
            return _grid_and_network(field, 1.0)
        return _grid_and_network(field.pictures, 1.0) + _grid_and_network(field.motion, self.config.motion.share)

    def warm_up(self) -> None:
        """Compiles or loads every kernel of a step."""
        drawn = self.pixels_drawn
        sum(self.losses(0, 0.0).values()).backward()  # pyright: ignore[reportAttributeAccessIssue]
        self.model.zero_grad()
        self.pixels_drawn = drawn

    def losses(self, step: int, progress: float) -> dict[str, Tensor]:
        """Huber's error of pixels; with a motion also how much the frames differ along it, and how rough it is."""
        config = self.config
        generator = np.random.default_rng((config.seed, step))
        pixels = torch.from_numpy(generator.integers(0, len(self.raster), config.optimizer.batch))
        frames = self.trained[torch.from_numpy(generator.integers(0, len(self.trained), config.optimizer.batch))]
        self.pixels_drawn += len(pixels)
        points = self.model.points(self.raster.places(pixels), frames.float()).to(self.device)
        target = self.targets(frames, pixels).to(self.device)
        delta = config.optimizer.huber
        found = self.model.colors(points)
        losses = {"colors": torch.nn.functional.huber_loss(found, target, delta=delta) / delta}
        if isinstance(self.model.field, MotionField):
            losses |= self._motion_losses(self.model.field, generator, progress)
        return losses

    def _motion_losses(self, field: MotionField, generator: np.random.Generator, progress: float) -> dict[str, Tensor]:
        """How much the frames on both sides differ where the motion carries places to, and the motion from place to
        place."""
        motion, count, pyramid = self.config.motion, self.config.optimizer.batch, self._pyramid
        assert pyramid is not None
        places = torch.from_numpy(generator.random((count, 2), np.float32))
        times = torch.from_numpy(generator.random(count, np.float32)) * (self.kind.frames - 1)
        points = self.model.points(places, times).to(self.device)
        found = field.carried(points)
        level = self._level(pyramid, progress)
        sides = [pyramid.at(level, found.before + side, places) for side, places in enumerate(found.places)]
        both = found.inside[0] & found.inside[1]
        differ = torch.nn.functional.huber_loss(sides[0], sides[1], delta=_ROUGH, reduction="none").mean(dim=1) / _ROUGH
        losses = {"motion": (differ * both).mean()}
        if motion.smoothness:
            shift = torch.from_numpy(generator.standard_normal((count, 2), np.float32)).to(self.device)
            beside = points + torch.nn.functional.pad(_NEIGHBOR_PIXELS / pyramid.longest * shift, (0, 1))
            rough = pyramid.longest * (field.moved(points) - field.moved(beside))
            losses["roughness"] = motion.smoothness * (rough.square().sum(dim=1) + _LITTLE**2).sqrt().mean()
        return losses

    def _level(self, pyramid: FramePyramid, progress: float) -> int:
        """Which size of the frames the motion is fitted to: the smallest at first, the full size in the end."""
        sharp_from = self.config.motion.sharp_from
        return math.ceil((len(pyramid) - 1) * (1.0 - progress / sharp_from)) if progress < sharp_from else 0

    def targets(self, frames: Int[Tensor, " n"], pixels: Int[Tensor, " n"]) -> Float[Tensor, "n 3"]:
        """What the clip says there."""
        return self.clip.frames[frames, pixels // self.raster.width, pixels % self.raster.width].float() / 255.0

    def frame(self, number: int) -> Float[Tensor, "height width 3"]:
        """A frame of the clip, in [0, 1]."""
        return self.clip.frames[number].float() / 255.0

    def after_step(self, step: int, progress: float) -> None:
        """A clip needs no upkeep."""

    def counters(self) -> dict[str, float]:
        """Pixels drawn since the start."""
        return {"pixels": float(self.pixels_drawn)}

    def facts(self) -> dict[str, Any]:
        """The total of pixels."""
        return {"pixels_drawn": self.pixels_drawn}

    def restore(self, facts: dict[str, Any]) -> None:
        """Takes back what `facts` gave."""
        self.pixels_drawn = int(facts["pixels_drawn"])

    @torch.no_grad()
    def quick_score(self) -> dict[str, float]:
        """PSNR over some pixels of the frames that are scored."""
        generator = np.random.default_rng(self.config.seed)
        frames = self.scored_frames[torch.from_numpy(generator.integers(0, len(self.scored_frames), _SCORED_PIXELS))]
        pixels = torch.from_numpy(generator.integers(0, len(self.raster), _SCORED_PIXELS))
        places, times = self.raster.places(pixels).to(self.device), frames.float().to(self.device)
        found = self.model(places, times).cpu().clamp(0.0, 1.0)
        return {"psnr": psnr(found[None], self.targets(frames, pixels)[None])}


def _grid_and_network(field: torch.nn.Module, share: float) -> list[dict[str, Any]]:
    assert isinstance(field, CoordinateField)
    return [
        {"params": list(field.encoding.parameters()), "sparse": True, "share": share},
        {"params": list(field.network.parameters()), "share": share},
    ]
