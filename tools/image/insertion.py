"""A part of another picture that is blended into one: where it lies, and by how much its pixels differ."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...configs.image_config import ImageConfig
from ...datasets import Picture, load_picture
from ...render import Raster
from .picture_facts import PictureFacts, visible

_GREY = (0.2126, 0.7152, 0.0722)
_INSIDE = 0.5  # of a mask's white
_MOST_PIXELS = 1 << 26  # of another picture that is made larger, whatever of it lies within this one


@dataclass(frozen=True)
class Insertion:
    """What is inserted, pixel by pixel of the picture that it is inserted into.

    Attributes:
        raster: The picture's pixels.
        values: The other picture in fitted values, cut off at the border of this one; NaN where it is unknown.
        mask: Which of these are inserted: of the other picture not those at its border, nor those beside what is
            unknown of it, which lack a neighbour.
        left, top: Where their first column and row lie in the picture.
    """

    raster: Raster
    values: Float[Tensor, "height width channels"]
    mask: Bool[Tensor, "height width"]
    left: int
    top: int

    @classmethod
    def load(cls, config: ImageConfig, raster: Raster, kind: PictureFacts) -> "Insertion":
        """Reads the other picture and its mask, scaled and placed as the settings say.

        Raises:
            ValueError: The pictures do not fit together, the other one becomes too large, nothing of it is inserted,
                or nothing of this one is left.
        """
        assert config.insert is not None
        other = load_picture(config.insert)
        if kind.has_alpha or (other.maximum is None) != (kind.maximum is None):
            raise ValueError(
                f"--insert {other.path} cannot be blended into {config.picture}: both must be of whole numbers or both "
                "of floats, and the one that takes it must have no alpha."
            )
        size = _scaled_size(config, other)
        colors, alpha = (_scaled(part, size) for part in _visible(other, kind.channels))
        # Hidden colours say nothing: what is seen is scaled, and where nothing is seen the colour is unknown.
        values = kind.transfer.encode(torch.where(alpha > 0.0, colors / alpha, torch.nan))
        mask = alpha if config.insert_mask is None else _scaled(_mask_of(config.insert_mask, other), size)
        left, top = config.insert_at
        rows = slice(max(-top, 0), max(raster.height - top, 0))
        columns = slice(max(-left, 0), max(raster.width - left, 0))
        values, inside = values[rows, columns], mask[rows, columns, 0] >= _INSIDE
        ends = left <= 0, left + size[1] >= raster.width, top <= 0, top + size[0] >= raster.height
        inside &= _surrounded(values.isfinite().all(dim=2), ends)
        found = cls(raster, values, inside, max(left, 0), max(top, 0))
        covered = int(found.mask.sum())
        if covered == 0 or covered == len(raster):
            raise ValueError(
                f"--insert {other.path} at {left}, {top} covers {covered:,} of the {len(raster):,} pixels of "
                f"{config.picture}; some must be covered and some not. Mind --insert-mask, --insert-at and "
                "--insert-scale."
            )
        return found

    def pixels(self) -> Int[Tensor, " n"]:
        """The numbers of the pixels that are inserted, ascending."""
        rows, columns = self.mask.nonzero(as_tuple=True)
        return (rows + self.top) * self.raster.width + columns + self.left

    def covers(self, pixels: Int[Tensor, " n"]) -> Bool[Tensor, " n"]:
        """Which pixels of the picture are inserted."""
        row, column, within = self._local(pixels)
        return within & self.mask[row, column]

    def at(self, pixels: Int[Tensor, " n"]) -> Float[Tensor, "n channels"]:
        """The other picture's values at pixels of this one; NaN beside it."""
        row, column, within = self._local(pixels)
        return self.values[row, column].masked_fill(~within[:, None], torch.nan)

    def slopes(self) -> tuple[Int[Tensor, " n"], Int[Tensor, " n"]]:
        """Pixels and axes of all slopes of which an end at least is inserted, see `PictureDifferences`."""
        inside, pixels = self.pixels(), list[Tensor]()
        width = self.raster.width
        for axis, (step, start) in enumerate(((1, inside % width), (width, inside // width))):
            length = self.raster.height if axis else self.raster.width
            pixels.append(torch.cat([inside[start < length - 1], inside[start > 0] - step]).unique())
        axes = [torch.full_like(part, axis) for axis, part in enumerate(pixels)]
        return torch.cat(pixels), torch.cat(axes)

    def _local(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Row and column in `values`, the nearest ones there are, and whether they are there."""
        row, column = pixels // self.raster.width - self.top, pixels % self.raster.width - self.left
        height, width = self.mask.shape
        within = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        return row.clamp(0, height - 1), column.clamp(0, width - 1), within


def _scaled_size(config: ImageConfig, other: Picture) -> tuple[int, int]:
    """Height and width of the other picture where it is inserted."""
    width, height = (max(1, round(side * config.insert_scale)) for side in other.size)
    if width * height > max(_MOST_PIXELS, other.size[0] * other.size[1]):
        raise ValueError(
            f"--insert-scale {config.insert_scale:g} makes {width:,}x{height:,} pixels of {other.path}, which is too "
            f"much at more than {_MOST_PIXELS:,} in all; take a smaller one, or cut out the part to be inserted."
        )
    return height, width


def _surrounded(
    known: Bool[Tensor, "height width"], ends: tuple[bool, bool, bool, bool]
) -> Bool[Tensor, "height width"]:
    """Which pixels have four neighbours that are known, or beyond the border of the picture that takes them.

    Args:
        known: Which of the other picture are.
        ends: Whether its left, right, upper and lower side lie at that border.
    """
    padded = torch.nn.functional.pad(known, (1, 1, 1, 1))
    padded[:, 0], padded[:, -1], padded[0], padded[-1] = ends
    across, along = padded[1:-1, :-2] & padded[1:-1, 2:], padded[:-2, 1:-1] & padded[2:, 1:-1]
    return known & across & along


def _mask_of(path: Path, other: Picture) -> Float[Tensor, "height width 1"]:
    """A mask's brightness, in [0, 1]."""
    mask = load_picture(path)
    if mask.size != other.size:
        raise ValueError(
            f"--insert-mask {path} must have the size of {other.path}, {other.size[0]}x{other.size[1]} pixels, found "
            f"{mask.size[0]}x{mask.size[1]}."
        )
    return _visible(mask, 1)[0]


def _visible(
    picture: Picture, channels: int
) -> tuple[Float[Tensor, "height width c"], Float[Tensor, "height width 1"]]:
    """A picture's colours multiplied by alpha, as grey or as RGB; and alpha, 1 where it has none."""
    width, height = picture.size
    values = visible(picture, np.arange(width * height)).view(height, width, -1)
    if picture.channels in (2, 4):
        colors, alpha = values[..., :-1], values[..., -1:]
    else:
        colors, alpha = values, torch.ones(height, width, 1)
    if colors.shape[2] != channels:
        grey = (colors * torch.tensor(_GREY)).sum(dim=2, keepdim=True) if channels == 1 else colors
        colors = grey.expand(-1, -1, channels)
    return colors, alpha


def _scaled(values: Float[Tensor, "_ _ channels"], size: tuple[int, ...]) -> Float[Tensor, "_ _ channels"]:
    if values.shape[:2] == size:
        return values
    planes = values.permute(2, 0, 1)[None]
    scaled = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
    return scaled[0].permute(1, 2, 0)
