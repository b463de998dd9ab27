"""Derivatives of a picture as what a field is fitted to: its gradient, or its Laplacian inside its border."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..datasets import Picture
from ..fields import Likelihood, laplacian, slope_along
from ..render import Raster
from .image_model import ImageModel
from .picture_differences import PictureDifferences

LEAST_SIDE = 3
"""Pixels along each side of a picture that has derivatives."""


class DerivativeSupervision:
    """The error of a field's exact derivatives against a picture's differences.

        gradient:   E( d Phi / d e  half-way between neighbours along e,  their slope ) / s
        laplacian:  E( lap Phi,  lap y ) / s   inside,     E( Phi, y )   at the border

    Both are per pixel; s is the spread of the picture's derivatives in units of that of its values. A gradient leaves a
    constant per channel free; a Laplacian would leave a harmonic function, if the border did not say which.

    Args:
        model: What is fitted.
        picture: Draws known pixels.
        differences: Of the values that are fitted.
        raster: The picture's pixels.
        likelihood: Squared or absolute error.
        second: Whether Laplacians are fitted, else gradients.
        sample: Pixels that tell the spreads.

    Raises:
        ValueError: No two neighbouring pixels are known.
    """

    def __init__(
        self,
        model: ImageModel,
        picture: Picture,
        differences: PictureDifferences,
        raster: Raster,
        likelihood: Likelihood,
        *,
        second: bool,
        sample: Int[Tensor, " n"],
    ) -> None:
        self.model, self.picture, self.differences, self.raster = model, picture, differences, raster
        self.likelihood, self.second = likelihood, second
        found = differences.laplacians(sample) if second else differences.slopes(sample, sample % 2)
        found = found[found.isfinite().all(dim=1)]
        if not len(found):
            raise ValueError(
                f"{picture.path} has no neighbouring pixels that are known, so that it has no derivatives."
            )
        spread = float(found.square().mean().sqrt() / differences.values(sample).std(dim=0).mean())
        self.scale = spread if 0.0 < spread < float("inf") else 1.0

    def losses(self, generator: np.random.Generator, batch: int) -> dict[str, Tensor]:
        """The error at some pixels, by name."""
        pixels = torch.from_numpy(self.picture.draw(generator, batch))
        if self.second:
            return self._laplacian_losses(pixels)
        axes = torch.from_numpy(generator.integers(0, 2, batch))
        slopes = self.differences.slopes(pixels, axes)
        known = slopes.isfinite().all(dim=1)
        return {"gradient": self.slope_error(pixels[known], axes[known], slopes[known])}

    def slope_error(
        self, pixels: Int[Tensor, " n"], axes: Int[Tensor, " n"], slopes: Float[Tensor, "n channels"]
    ) -> Tensor:
        """The error of the field's slopes half-way to the next pixels."""
        device = self.model.pixel.device
        steps = torch.nn.functional.one_hot(axes, 2).float()
        places = self.raster.places(pixels, 0.5 + 0.5 * steps).to(device)
        directions = steps.to(device) * self.model.pixel
        found = slope_along(self.model.field, self.model.located(places), directions, create_graph=True)
        return self._error(found, slopes)

    def _laplacian_losses(self, pixels: Tensor) -> dict[str, Tensor]:
        laplacians = self.differences.laplacians(pixels)
        inside = laplacians.isfinite().all(dim=1)
        places = self.raster.places(pixels).to(self.model.pixel.device)
        x = self.model.located(places)
        found = laplacian(self.model.field, x[inside], create_graph=True) * self.model.pixel[0] ** 2
        border = self.differences.values(pixels[~inside]).to(x.device)
        return {
            "laplacian": self._error(found, laplacians[inside]),
            "border": self.likelihood.error(self.model.field(x[~inside]), border),
        }

    def _error(self, found: Tensor, derivatives: Tensor) -> Tensor:
        return self.likelihood.error(found / self.scale, derivatives.to(found.device) / self.scale)
