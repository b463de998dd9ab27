"""Derivatives of pictures as what a field is fitted to: a gradient, a Laplacian, a gradient inside another picture."""

from abc import ABC, abstractmethod
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...datasets import Picture
from ...fields import Likelihood, laplacian, slope_along
from ...render import Raster
from .insertion import Insertion
from .model import ImageModel
from .picture_differences import PictureDifferences
from .pixel_choice import PixelsBut, border_pixels

LEAST_SIDE = 3
"""Pixels along each side of a picture that has derivatives."""

_BORDER_SHARE = 8  # of a batch: however large a picture, its border is what holds the levels of its inside


class DerivativeSupervision(ABC):
    """The error of a field's derivatives against a picture's, per pixel and in units of the latter's spread.

    Args:
        model: What is fitted.
        picture: Draws known pixels.
        differences: Has the derivatives.
        likelihood: Squared or absolute error.
        derivatives: A sample of them; NaN where they are unknown.
        values: A sample of the values that are fitted, whose spread is the unit of theirs.

    Raises:
        ValueError: No derivative is known.
    """

    def __init__(
        self,
        model: ImageModel,
        picture: Picture,
        differences: PictureDifferences,
        likelihood: Likelihood,
        *,
        derivatives: Float[Tensor, "n channels"],
        values: Float[Tensor, "m channels"],
    ) -> None:
        self.model, self.picture, self.differences, self.likelihood = model, picture, differences, likelihood
        known = derivatives[derivatives.isfinite().all(dim=1)]
        if not len(known):
            raise ValueError(f"{picture.path}: no two neighbouring pixels are known, so that there are no derivatives.")
        spread = float(known.square().mean().sqrt() / values.std(dim=0).mean())
        self.scale = spread if 0.0 < spread < float("inf") else 1.0

    @abstractmethod
    def losses(self, generator: np.random.Generator, batch: int) -> dict[str, Tensor]:
        """The errors at so many places, by name."""

    def slope_error(self, pixels: Int[Tensor, " n"], axes: Int[Tensor, " n"]) -> Tensor:
        """The error half-way between pixels and the next ones along an axis each, where their slope is known."""
        slopes = self.differences.slopes(pixels, axes)
        known = slopes.isfinite().all(dim=1)
        found = field_slopes(self.model, self.differences.raster, pixels[known], axes[known])
        return self._error(found, slopes[known])

    def stroke_error(self, pixels: Int[Tensor, " n"], axes: Int[Tensor, " n"], lengths: Int[Tensor, " n"]) -> Tensor:
        """The error of slopes summed along strokes, which for the field is the difference of its values at the ends."""
        strokes = self.differences.strokes(pixels, axes, lengths)
        known = strokes.isfinite().all(dim=1)
        found = field_strokes(self.model, self.differences.raster, pixels[known], axes[known], lengths[known])
        return self.likelihood.error(found, strokes[known].to(found.device))

    def value_error(self, pixels: Int[Tensor, " n"], values: Float[Tensor, "n channels"]) -> Tensor:
        """The error of the field itself."""
        found = self.model.field(self.coordinates(pixels))
        return self.likelihood.error(found, values.to(found.device))

    def coordinates(self, pixels: Int[Tensor, " n"]) -> Float[Tensor, "n 2"]:
        """Where pixels lie in the field."""
        return self.model.located(self.differences.raster.places(pixels).to(self.model.pixel.device))

    def _error(self, found: Tensor, derivatives: Tensor) -> Tensor:
        return self.likelihood.error(found / self.scale, derivatives.to(found.device) / self.scale)


class GradientSupervision(DerivativeSupervision):
    """E( d Phi / d e  half-way between neighbours along e,  their slope ) + E( sum of the former, sum of the latter ).

    The sums are along strokes of 2, 4, ... pixels. Slopes alone say little of a wave that is much longer than a pixel,
    and it would take hours to be fitted: strokes are here what coarse grids are to other ways of solving Poisson's
    equation. A constant per channel is left free.
    """

    def losses(self, generator: np.random.Generator, batch: int) -> dict[str, Tensor]:
        """The errors at some pixels' slopes, and along as many strokes."""
        pixels = torch.from_numpy(self.picture.draw(generator, batch)).chunk(2)
        axes = torch.from_numpy(generator.integers(0, 2, batch)).chunk(2)
        raster = self.differences.raster
        lengths = stroke_lengths(generator, len(pixels[1]), longest=max(raster.width, raster.height))
        return {
            "gradient": self.slope_error(pixels[0], axes[0]),
            "strokes": self.stroke_error(pixels[1], axes[1], lengths),
        }


class LaplacianSupervision(DerivativeSupervision):
    """E( lap Phi, lap y ) inside the border, E( Phi, y ) at it: without that, a harmonic function is left free.

    An eighth of the batch is spent on the border, which in a large picture is a tiny share of the pixels.
    """

    @cached_property
    def border(self) -> Int[Tensor, " n"]:
        """All pixels at the border of what is known, ascending."""
        return border_pixels(self.picture)

    def losses(self, generator: np.random.Generator, batch: int) -> dict[str, Tensor]:
        """The errors at some pixels inside the border, and at some of it."""
        at_border = max(batch // _BORDER_SHARE, 1)
        border = self.border[torch.from_numpy(generator.integers(0, len(self.border), at_border))]
        pixels = torch.from_numpy(self.picture.draw(generator, batch - at_border))
        laplacians = self.differences.laplacians(pixels)
        inside = laplacians.isfinite().all(dim=1)
        found = laplacian(self.model.field, self.coordinates(pixels[inside]), create_graph=True)
        return {
            "laplacian": self._error(found * self.model.pixel[0] ** 2, laplacians[inside]),
            "border": self.value_error(border, self.differences.values(border)),
        }


class InsertionSupervision(DerivativeSupervision):
    """E( Phi, y ) beside an insertion, E( d Phi / d e, slope of the other picture ) in it: no seam is left.

    Half of the batch is spent on each. There are no strokes: where levels differ around the insertion, its inside is to
    make up for that evenly, which strokes would hold back. Perez et al. 2003, "Poisson image editing", section 3.

    Args:
        model, picture, likelihood: As for `DerivativeSupervision`.
        insertion: The other picture.
        targets: Differences of this picture, which has the values.
        sample: Pixels beside the insertion.

    Raises:
        ValueError: No derivative is known, or no pixel beside the insertion.
    """

    def __init__(
        self,
        model: ImageModel,
        picture: Picture,
        likelihood: Likelihood,
        *,
        insertion: Insertion,
        targets: PictureDifferences,
        sample: Int[Tensor, " n"],
    ) -> None:
        differences = PictureDifferences(insertion.at, targets.raster, plain=targets.plain)
        self.targets, self.beside = targets, PixelsBut(picture, insertion.pixels())
        self.pixels, self.axes = insertion.slopes()
        derivatives, values = differences.slopes(self.pixels, self.axes), targets.values(sample)
        super().__init__(model, picture, differences, likelihood, derivatives=derivatives, values=values)

    def losses(self, generator: np.random.Generator, batch: int) -> dict[str, Tensor]:
        """The errors at some pixels beside the insertion, and at some slopes in it."""
        pixels = self.beside.draw(generator, batch // 2)
        chosen = torch.from_numpy(generator.integers(0, len(self.pixels), batch // 2))
        return {
            "held": self.value_error(pixels, self.targets.values(pixels)),
            "gradient": self.slope_error(self.pixels[chosen], self.axes[chosen]),
        }


def stroke_lengths(generator: np.random.Generator, count: int, *, longest: int) -> Int[Tensor, " n"]:
    """Lengths of strokes: powers of two from 2 to the largest below the longest side, each as often."""
    octaves = generator.integers(1, (longest - 1).bit_length(), count)
    return 2 ** torch.from_numpy(octaves)


def field_slopes(
    model: ImageModel, raster: Raster, pixels: Int[Tensor, " n"], axes: Int[Tensor, " n"]
) -> Float[Tensor, "n channels"]:
    """A field's slopes half-way between pixels and the next ones along an axis each, per pixel.

    Those of a smooth field are exact; of others, which have a kink in every cell, they are differences of values.
    """
    steps = torch.nn.functional.one_hot(axes, 2).float()
    device = model.pixel.device
    if model.smooth:
        x = model.located(raster.places(pixels, 0.5 + 0.5 * steps).to(device))
        directions = steps.to(device) * model.pixel
        return slope_along(model.field, x, directions, create_graph=torch.is_grad_enabled())
    return field_strokes(model, raster, pixels, axes, torch.ones_like(pixels))


def field_strokes(
    model: ImageModel, raster: Raster, pixels: Int[Tensor, " n"], axes: Int[Tensor, " n"], lengths: Int[Tensor, " n"]
) -> Float[Tensor, "n channels"]:
    """Integrals of a field's slope along strokes from pixels on: the differences of its values at the ends."""
    steps = torch.nn.functional.one_hot(axes, 2) * lengths[:, None]
    ends = raster.places(pixels.repeat(2), torch.cat([0.5 + steps, 0.5 + 0.0 * steps]))
    after, before = model.field(model.located(ends.to(model.pixel.device))).chunk(2)
    return after - before
