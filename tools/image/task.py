"""`neufield image`: fits a picture as a field."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...configs.image_config import SMOOTH_FIELDS, ImageConfig
from ...datasets import Picture
from ...fields import Likelihood
from ...render import Raster, measure
from ..fitting import FitSettings
from ..metrics import psnr
from .derivative_supervision import (
    LEAST_SIDE,
    DerivativeSupervision,
    GradientSupervision,
    InsertionSupervision,
    LaplacianSupervision,
)
from .insertion import Insertion
from .levels import best_levels
from .model import ImageModel, resolved_field
from .picture_differences import PictureDifferences
from .picture_facts import PictureFacts, visible

_RATES = {"hash": 2e-2, "frequency": 1e-3, "fourier": 1e-3, "siren": 1e-4, "finer": 5e-4, "wire": 5e-3, "relu": 1e-3}
_GRID_BATCH, _NETWORK_BATCH = 1 << 13, 1 << 14
_SLOPE_RATES, _SLOPE_BATCH = {"siren": 2e-4}, 1 << 12  # smooth fields that are fitted to derivatives
_SCORED_PIXELS = 1 << 16
_HELD_OUT = 0.02
_ODD = 0x9E3779B97F4A7C15
_ROUNDING = 1.0 / math.sqrt(12.0)  # standard deviation of what rounding to whole numbers takes away


def resolved(config: ImageConfig, picture: Picture) -> ImageConfig:
    """The settings with everything filled in that follows from the picture.

    Raises:
        ValueError: The field is too small, or the picture for having derivatives.
    """
    if config.supervise != "values" and min(picture.size) < LEAST_SIDE:
        width, height = picture.size
        raise ValueError(
            f"--supervise {config.supervise} takes pictures of at least {LEAST_SIDE}x{LEAST_SIDE} pixels, "
            f"{picture.path} has {width}x{height}."
        )
    config = resolved_field(config, size=picture.size, channels=picture.channels)
    optimizer = config.optimizer
    batch = _GRID_BATCH if config.field == "hash" else _NETWORK_BATCH
    rate = _RATES[config.field]
    if config.field in SMOOTH_FIELDS and config.fits_derivatives:
        batch, rate = _SLOPE_BATCH, _SLOPE_RATES.get(config.field, rate)
    optimizer = replace(optimizer, rate=optimizer.rate or rate, batch=optimizer.batch or batch)
    held_out = config.held_out
    if held_out is None:
        held_out = _HELD_OUT if config.learned_scale == "on" else 0.0
    return replace(config, optimizer=optimizer, held_out=held_out)


def fit_settings(config: ImageConfig) -> FitSettings:
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


class ImageTask:
    """Fits an `ImageModel` to a picture: pixels → places → values → negative log-likelihood.

    A step's pixels depend on the seed and the step alone, so that a resumed run draws the same ones.

    Args:
        config: The run's settings, resolved.
        picture: The picture.
        device: Where the model lies.
    """

    scored = "the picture"

    def __init__(self, config: ImageConfig, picture: Picture, device: torch.device) -> None:
        self.config, self.picture, self.device = config, picture, device
        self.kind = PictureFacts.of(picture)
        self.model = ImageModel(config, size=picture.size, channels=picture.channels).to(device)
        self.module: torch.nn.Module = self.model
        self.raster = Raster(*picture.size)
        steps = 255.0 if picture.maximum is None else float(picture.maximum)
        self.likelihood = Likelihood(config.likelihood, least_scale=_ROUNDING / steps)
        self.pixels_drawn = 0
        count = min(_SCORED_PIXELS, len(self.raster))
        self._scored = torch.from_numpy(picture.draw(np.random.default_rng(config.seed), count))
        if config.held_out and bool(self.held_out(self._scored).all()):
            raise ValueError(
                f"{picture.path}: --held-out {config.held_out} leaves no pixel to train on; take a smaller one."
            )
        self.insertion = None if config.insert is None else Insertion.load(config, self.raster, self.kind)
        self.differences = PictureDifferences(self.targets, self.raster, plain=not self.model.smooth)
        self._scored = self._scored[self.targets(self._scored).isfinite().all(dim=1)]
        self.supervision = self._supervision()

    def _supervision(self) -> DerivativeSupervision | None:
        """What the field is fitted to instead of the picture's values."""
        sample, differences, likelihood = self._scored, self.differences, self.likelihood
        if self.insertion is not None:
            return InsertionSupervision(
                self.model, self.picture, likelihood, insertion=self.insertion, targets=differences, sample=sample
            )
        given, values = (self.model, self.picture, differences, likelihood), self.targets(sample)
        if self.config.supervise == "gradient":
            return GradientSupervision(*given, derivatives=differences.slopes(sample, sample % 2), values=values)
        if self.config.supervise == "laplacian":
            return LaplacianSupervision(*given, derivatives=differences.laplacians(sample), values=values)
        return None

    def parameter_groups(self) -> list[dict[str, Any]]:
        """A grid's table is updated where it has a gradient."""
        field = self.model.field
        if self.config.field != "hash":
            return [{"params": list(field.parameters())}]
        return [{"params": [field.encoding.table], "sparse": True}, {"params": list(field.network.parameters())}]

    def warm_up(self) -> None:
        """Compiles or loads every kernel of a step."""
        drawn = self.pixels_drawn
        sum(self.losses(0, 0.0).values()).backward()  # pyright: ignore[reportAttributeAccessIssue]
        self.model.zero_grad()
        self.pixels_drawn = drawn

    def losses(self, step: int, progress: float) -> dict[str, Tensor]:
        """The negative log-likelihood of this step's pixels, or the error of their derivatives."""
        del progress
        batch = self.config.optimizer.batch
        assert batch is not None
        generator = np.random.default_rng((self.config.seed, step))
        if self.supervision is not None:
            self.pixels_drawn += batch
            return self.supervision.losses(generator, batch)
        pixels = self._drawn(generator, batch)
        self.pixels_drawn += batch
        area, jitter = self.config.pixels == "area", None
        if area:
            jitter = torch.from_numpy(generator.random((len(pixels), 4, 2), np.float32)).to(self.device)
        values = measure(self.model, self.raster, pixels.to(self.device), area=area, jitter=jitter)
        return {"likelihood": self._loss(values, self.targets(pixels).to(self.device))}

    def _loss(self, values: Tensor, target: Tensor) -> Tensor:
        location, raw_scale = values[:, : self.model.channels], values[:, self.model.channels :]
        if raw_scale.shape[1]:
            return self.likelihood.negative_log(location, raw_scale, target)
        return self.likelihood.error(location, target)

    def held_out(self, pixels: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Which pixels are never trained on: a share of them, scattered evenly."""
        share = self.config.held_out or 0.0
        # splitmix64's mixing of the pixel's number: numbers that differ little come out unrelated.
        mixed = pixels.numpy().astype(np.uint64) + np.uint64(self.config.seed * _ODD % 2**64)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return torch.from_numpy((mixed >> np.uint64(32)) < np.uint64(share * 2.0**32))

    def _drawn(self, generator: np.random.Generator, count: int) -> Int[Tensor, " count"]:
        """Pixels to train on, drawn evenly with repetition."""
        pixels = torch.from_numpy(self.picture.draw(generator, count))
        while self.config.held_out and len(apart := self.held_out(pixels).nonzero()[:, 0]):
            pixels[apart] = torch.from_numpy(self.picture.draw(generator, len(apart)))
        return pixels

    def targets(self, pixels: Int[Tensor, " n"]) -> Float[Tensor, "n channels"]:
        """What the field's values are to be there; NaN where nobody knows, as in an insertion."""
        values = self.kind.fitted(visible(self.picture, pixels.numpy()))
        if self.insertion is not None:
            values[self.insertion.covers(pixels)] = torch.nan
        return values

    def after_step(self, step: int, progress: float) -> None:
        """A picture needs no upkeep."""

    def counters(self) -> dict[str, float]:
        """Pixels drawn since the start."""
        return {"pixels": float(self.pixels_drawn)}

    def facts(self) -> dict[str, Any]:
        """The total of pixels; of derivatives also the levels, brought up to date."""
        facts: dict[str, Any] = {"pixels_drawn": self.pixels_drawn}
        if self.model.levelled:
            with torch.no_grad():
                values = self.model.field(self.model.located(self.raster.places(self._scored.to(self.device))))
            self.model.levels = best_levels(values.cpu(), self.targets(self._scored)).to(self.device)
            facts["levels"] = self.model.levels.tolist()
        return facts

    def restore(self, facts: dict[str, Any]) -> None:
        """Takes back what `facts` gave."""
        self.pixels_drawn = int(facts["pixels_drawn"])
        self.model.level(facts)

    @torch.no_grad()
    def quick_score(self) -> dict[str, float]:
        """PSNR over some pixels, of the values that are fitted."""
        values = measure(self.model, self.raster, self._scored.to(self.device), area=self.config.pixels == "area")
        found, target = values[:, : self.model.channels].cpu(), self.targets(self._scored)
        if self.model.levelled:
            factor, offset = best_levels(found, target)
            found = found * factor + offset
        return {"psnr": psnr(found.clamp(0.0, 1.0)[None], target.clamp(0.0, 1.0)[None])}
