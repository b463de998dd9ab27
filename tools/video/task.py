"""`neufield video`: fits a clip as a field over place and time."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...configs.video_config import VideoConfig
from ...datasets import Clip, held_out_frames
from ...fields import Carried, CoordinateField, MotionField
from ...render import KeyFrames, Raster
from ..fitting import FitSettings
from ..metrics import psnr
from .clip_facts import ClipFacts
from .model import VideoModel, resolved_field, trained_frames

_RATES = {"motion": 5e-3, "grid": 2e-2}
_SCORED_FRAMES, _SCORED_PIXELS = 16, 1 << 12
_HUBER = 1e-2  # differences of colours below this count by their square
_LITTLE = 0.03  # pixels per frame: differences of motions below this count by their square
_NEIGHBOR_PIXELS = 4.0  # standard deviation of the distance over which motions are held to be alike


def resolved(config: VideoConfig, kind: ClipFacts) -> VideoConfig:
    """The settings with everything filled in that follows from the clip."""
    config = resolved_field(config, kind)
    return replace(config, optimizer=replace(config.optimizer, rate=config.optimizer.rate or _RATES[config.field]))


def fit_settings(config: VideoConfig) -> FitSettings:
    """The part of the settings that the fitting loop needs."""
    optimizer = config.optimizer
    assert optimizer.rate is not None
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

    A grid is fitted to the pixels of these frames. A motion is right where the colours at both of its ends are the
    same: it is fitted to that at random places and times between two neighbouring frames, in blurred copies of them
    first, so that it finds its way over more than a pixel. A step's random numbers depend on seed and step alone.

    Args:
        config: The run's settings, resolved.
        clip: The clip; its held-out frames are only scored.
        device: Where the model lies.
    """

    def __init__(self, config: VideoConfig, clip: Clip, device: torch.device) -> None:
        self.config, self.clip, self.device = config, clip, device
        self.kind = ClipFacts.of(clip)
        self.trained = torch.tensor(trained_frames(config, self.kind))
        frames = clip.frames[self.trained].to(device) if config.field == "motion" else None
        self.model = VideoModel(config, self.kind, frames).to(device)
        self.module: torch.nn.Module = self.model
        self.raster = Raster(*clip.size)
        self.held_out = torch.tensor(held_out_frames(len(clip), config.holdout_every), dtype=torch.long)
        self.scored_frames = self.held_out if len(self.held_out) else self.trained
        self.scored = "held-out frames" if len(self.held_out) else "all frames"
        self.notes = clip.notes
        if config.holdout_every and not len(self.held_out):
            self.notes += (
                f"--holdout-every {config.holdout_every} holds out none of {len(clip)} frames: all are fitted, and "
                "scored; a smaller number shows what lies between them",
            )
        self.pixels_drawn = 0

    def parameter_groups(self) -> list[dict[str, Any]]:
        """A grid's table is updated where it has a gradient."""
        field = self.model.field
        fitted = field.motion if isinstance(field, MotionField) else field
        assert isinstance(fitted, CoordinateField)
        return [
            {"params": list(fitted.encoding.parameters()), "sparse": True},
            {"params": list(fitted.network.parameters())},
        ]

    def warm_up(self) -> None:
        """Compiles or loads every kernel of a step."""
        drawn = self.pixels_drawn
        sum(self.losses(0, 0.0).values()).backward()  # pyright: ignore[reportAttributeAccessIssue]
        self.model.zero_grad()
        self.pixels_drawn = drawn

    def losses(self, step: int, progress: float) -> dict[str, Tensor]:
        """Huber's error of a grid's colours; or how much the frames differ along a motion, and how rough it is."""
        generator, count = np.random.default_rng((self.config.seed, step)), self.config.optimizer.batch
        self.pixels_drawn += count
        field, frames = self.model.field, self.model.frames
        if isinstance(field, MotionField):
            assert frames is not None
            places = torch.from_numpy(generator.random((count, 2), np.float32))
            times = torch.from_numpy(generator.random(count, np.float32)) * (self.kind.frames - 1)
            points = self.model.points(places.to(self.device), times.to(self.device))
            shift = torch.from_numpy(generator.standard_normal((count, 2), np.float32)).to(self.device)
            found = field.carried(points)
            return {
                "difference": _difference(found, frames, self._level(frames, progress)),
                **self._roughness(found, field, points, shift),
            }
        pixels = torch.from_numpy(generator.integers(0, len(self.raster), count))
        drawn = self.trained[torch.from_numpy(generator.integers(0, len(self.trained), count))]
        found = self.model(self.raster.places(pixels).to(self.device), drawn.float().to(self.device))
        return {"colors": _huber(found, self.targets(drawn, pixels).to(self.device)).mean()}

    def _roughness(
        self, found: Carried, field: MotionField, points: Float[Tensor, "n 3"], shift: Float[Tensor, "n 2"]
    ) -> dict[str, Tensor]:
        """How much the motion differs from place to place, weighted."""
        weight, longest = self.config.motion.smoothness, max(self.kind.width, self.kind.height)
        if not weight:
            return {}
        beside = points + torch.nn.functional.pad(_NEIGHBOR_PIXELS / longest * shift, (0, 1))
        rough = longest * (found.motion - field.moved(beside))
        return {"roughness": weight * (rough.square().sum(dim=1) + _LITTLE**2).sqrt().mean()}

    def _level(self, frames: KeyFrames, progress: float) -> int:
        """Which size of the frames the motion is fitted to: the smallest at first, the full size in the end."""
        sharp_from = self.config.motion.sharp_from
        return math.ceil((len(frames) - 1) * (1.0 - progress / sharp_from)) if progress < sharp_from else 0

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
        """PSNR over some pixels of some of the frames that are scored, mean over these frames."""
        generator, found = np.random.default_rng(self.config.seed), list[float]()
        for frame in self.scored_frames[:: -(-len(self.scored_frames) // _SCORED_FRAMES)]:
            pixels = torch.from_numpy(generator.integers(0, len(self.raster), _SCORED_PIXELS))
            frames = frame.expand(len(pixels))
            values = self.model(self.raster.places(pixels).to(self.device), frames.float().to(self.device)).cpu()
            found.append(psnr(values.clamp(0.0, 1.0)[None], self.targets(frames, pixels)[None]))
        return {"psnr": sum(found) / len(found)}


def _difference(found: Carried, frames: KeyFrames, level: int) -> Float[Tensor, ""]:
    """How much the colours on both sides differ where the motion carries places to, within the frames."""
    sides = [frames.blurred(level, found.before + side, places) for side, places in enumerate(found.places)]
    within = found.inside[0] & found.inside[1]
    return (_huber(sides[0], sides[1]) * within).mean()


def _huber(found: Float[Tensor, "n 3"], target: Float[Tensor, "n 3"]) -> Float[Tensor, " n"]:
    """Huber's error in units of its width: about the absolute error where that is large."""
    return torch.nn.functional.huber_loss(found, target, delta=_HUBER, reduction="none").mean(dim=1) / _HUBER
