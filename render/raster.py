"""What the pixels of a picture measure of a field over the plane: its value at their middles, or its mean over them."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

PlaneFunction = Callable[[Float[Tensor, "n 2"]], Float[Tensor, "n values"]]

_TAPS = 2  # along a side: a pixel's mean is that of four places


@dataclass(frozen=True)
class Raster:
    """A grid of pixels over a part of the unit square; u runs to the right, v downwards.

    Attributes:
        width, height: Pixels, > 0.
        left, top, right, bottom: The part that they cover, in the unit square or beyond it.
    """

    width: int
    height: int
    left: float = 0.0
    top: float = 0.0
    right: float = 1.0
    bottom: float = 1.0

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"A raster has at least one pixel, found {self.width}x{self.height}.")
        if not (self.left < self.right and self.top < self.bottom):
            raise ValueError(
                f"A raster's part of the plane goes from left to right and from top to bottom, found {self.left} to "
                f"{self.right} and {self.top} to {self.bottom}."
            )

    def __len__(self) -> int:
        return self.width * self.height

    def places(
        self, pixels: Int[Tensor, " n"], within: Float[Tensor, "#n 2"] | tuple[float, float] = (0.5, 0.5)
    ) -> Float[Tensor, "n 2"]:
        """Where pixels lie.

        Args:
            pixels: Their numbers, row by row from the top left.
            within: Where in each pixel, from (0, 0) at its top left to (1, 1); by default its middle.
        """
        # In double precision: float32 cannot tell the pixels of large pictures apart when they are scaled.
        across, down = within if isinstance(within, tuple) else within.double().unbind(dim=1)
        rows = pixels // self.width
        columns = (pixels - rows * self.width).double() + across
        u = columns * ((self.right - self.left) / self.width) + self.left
        v = (rows.double() + down) * ((self.bottom - self.top) / self.height) + self.top
        return torch.stack([u.float(), v.float()], dim=1)


def measure(
    field: PlaneFunction,
    raster: Raster,
    pixels: Int[Tensor, " n"],
    *,
    area: bool = False,
    jitter: Float[Tensor, "n 4 2"] | None = None,
) -> Float[Tensor, "n values"]:
    """What pixels of a raster measure of a field.

        point:  f(middle of the pixel)        area:  mean of f over the pixel, by one place in each quarter of it

    Args:
        field: Values at places (n, 2).
        raster: The pixels' grid.
        pixels: Which of them, by number.
        area: Whether they measure means.
        jitter: Where in each quarter, in [0, 1); its middle if not given.
    """
    if not area:
        return field(raster.places(pixels))
    taps = torch.arange(_TAPS, device=pixels.device)
    corners = torch.cartesian_prod(taps, taps).float()
    total: Tensor | None = None
    for tap, corner in enumerate(corners):
        shift = 0.5 if jitter is None else jitter[:, tap]
        values = field(raster.places(pixels, (corner + shift).expand(len(pixels), 2) / _TAPS))
        total = values if total is None else total + values
    assert total is not None
    return total / len(corners)
