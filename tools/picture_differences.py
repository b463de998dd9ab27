"""Derivatives of a picture by finite differences of its pixels, per pixel and of every channel.

Along each axis, with f_k the pixel k further on,

    slope half-way to the next pixel:     (27 (f_1 - f_0) - (f_2 - f_-1)) / 24
    second derivative at a pixel:         (16 (f_1 + f_-1) - (f_2 + f_-2) - 30 f_0) / 12

both of fourth order; next to the border, where f_2, f_-1 or f_-2 is missing, f_1 - f_0 and f_1 - 2 f_0 + f_-1. Slopes
lie between pixels because there they keep detail: of waves of four pixels they have 98 %, where central differences
have 64 %, and of the finest waves 74 %, where those have nothing.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..render import Raster


class PictureDifferences:
    """Looks up derivatives of a picture.

    Args:
        values: Pixels by number, NaN where they are unknown; derivatives that need them are NaN, too.
        raster: How pixels are numbered.
    """

    def __init__(self, values: Callable[[Int[Tensor, " n"]], Float[Tensor, "n channels"]], raster: Raster) -> None:
        self.values, self.raster = values, raster

    def slopes(self, pixels: Int[Tensor, " n"], axes: Int[Tensor, " n"]) -> Float[Tensor, "n channels"]:
        """Slopes half-way between pixels and the next ones along an axis each; NaN behind the last ones.

        Args:
            axes: 0 to the right, 1 downwards.
        """
        place, length, step = self._along(pixels, axes)
        near = self._at(pixels, place, length, step, 1) - self.values(pixels)
        far = self._at(pixels, place, length, step, 2) - self._at(pixels, place, length, step, -1)
        inside = (place >= 1) & (place < length - 2)
        slopes = torch.where(inside[:, None], (27.0 * near - far) / 24.0, near)
        return slopes.masked_fill((place == length - 1)[:, None], torch.nan)

    def laplacians(self, pixels: Int[Tensor, " n"]) -> Float[Tensor, "n channels"]:
        """Sums of both second derivatives at pixels; NaN at the picture's border."""
        middle, total = self.values(pixels), torch.zeros(())
        for axis in (0, 1):
            place, length, step = self._along(pixels, torch.full_like(pixels, axis))
            near, far = (
                self._at(pixels, place, length, step, k) + self._at(pixels, place, length, step, -k) for k in (1, 2)
            )
            inside = (place >= 2) & (place < length - 2)
            second = torch.where(inside[:, None], (16.0 * near - far - 30.0 * middle) / 12.0, near - 2.0 * middle)
            border = (place == 0) | (place == length - 1)
            total = total + second.masked_fill(border[:, None], torch.nan)
        return total

    def _along(self, pixels: Tensor, axes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where pixels lie along an axis, how many there are, and what to add to go one further."""
        down = axes == 1
        width = torch.full_like(pixels, self.raster.width)
        place = torch.where(down, pixels // width, pixels % width)
        return place, torch.where(down, self.raster.height, width), torch.where(down, width, 1)

    def _at(self, pixels: Tensor, place: Tensor, length: Tensor, step: Tensor, k: int) -> Tensor:
        """The pixels k further on, or the last ones there."""
        return self.values(pixels + step * ((place + k).clamp(min=0).minimum(length - 1) - place))
