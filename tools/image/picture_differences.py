"""Derivatives of a picture by finite differences of its pixels, per pixel and of every channel.

Along each axis, with f_k the pixel k further on,

    slope half-way to the next pixel:     (27 (f_1 - f_0) - (f_2 - f_-1)) / 24
    second derivative at a pixel:         (16 (f_1 + f_-1) - (f_2 + f_-2) - 30 f_0) / 12

both of fourth order; where f_2, f_-1 or f_-2 is beyond the border or unknown, f_1 - f_0 and f_1 - 2 f_0 + f_-1. Slopes
lie between pixels because there they keep detail: of waves of four pixels they have 98 %, where central differences
have 64 %, and of the finest waves 74 %, where those have nothing.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...render import Raster


class PictureDifferences:
    """Looks up derivatives of a picture; where they need a pixel that is not there or unknown, they are NaN.

    Args:
        values: Pixels by number, NaN where they are unknown.
        raster: How pixels are numbered.
        plain: Whether slopes are f_1 - f_0 everywhere: what differences of a field's values are held to.
    """

    def __init__(
        self, values: Callable[[Int[Tensor, " n"]], Float[Tensor, "n channels"]], raster: Raster, *, plain: bool = False
    ) -> None:
        self.values, self.raster, self.plain = values, raster, plain

    def slopes(self, pixels: Int[Tensor, " n"], axes: Int[Tensor, " n"]) -> Float[Tensor, "n channels"]:
        """Slopes half-way between pixels and the next ones along an axis each.

        Args:
            axes: 0 to the right, 1 downwards.
        """
        near = self._at(pixels, axes, 1) - self.values(pixels)
        if self.plain:
            return near
        fine = (27.0 * near - (self._at(pixels, axes, 2) - self._at(pixels, axes, -1))) / 24.0
        return torch.where(fine.isfinite(), fine, near)

    def strokes(
        self, pixels: Int[Tensor, " n"], axes: Int[Tensor, " n"], lengths: Int[Tensor, " n"]
    ) -> Float[Tensor, "n channels"]:
        """Sums of plain slopes from pixels on along an axis each: what the pixels so far away are more."""
        return self._at(pixels, axes, lengths) - self.values(pixels)

    def laplacians(self, pixels: Int[Tensor, " n"]) -> Float[Tensor, "n channels"]:
        """Sums of both second derivatives at pixels."""
        middle = self.values(pixels)
        seconds: list[Tensor] = []
        for axis in (0, 1):
            axes = torch.full_like(pixels, axis)
            near, far = (self._at(pixels, axes, k) + self._at(pixels, axes, -k) for k in (1, 2))
            fine = (16.0 * near - far - 30.0 * middle) / 12.0
            seconds.append(torch.where(fine.isfinite(), fine, near - 2.0 * middle))
        return seconds[0] + seconds[1]

    def _at(self, pixels: Tensor, axes: Tensor, k: int | Tensor) -> Tensor:
        """The pixels k further on, NaN beyond the border."""
        width, height, down = self.raster.width, self.raster.height, axes == 1
        place = torch.where(down, pixels // width, pixels % width) + k
        within = (place >= 0) & (place < torch.where(down, height, width))
        step = torch.where(within, k * torch.where(down, width, 1), 0)
        return self.values(pixels + step).masked_fill(~within[:, None], torch.nan)
