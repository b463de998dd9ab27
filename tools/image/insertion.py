"""A part of another picture that is blended into one: where it lies, and by how much its pixels differ."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...configs.image_config import ImageConfig
from ...datasets import Picture, load_picture
from ...render import Raster
from .picture_facts import PictureFacts

_GREY = (0.2126, 0.7152, 0.0722)
_INSIDE = 0.5  # of a mask's white


@dataclass(frozen=True)
class Insertion:
    """What is inserted, pixel by pixel of the picture that it is inserted into.

    Attributes:
        raster: The picture's pixels.
        values: The other picture in fitted values, cut off at the border of this one; NaN where it is unknown.
        mask: Which of these are inserted: not those at the other picture's own border, which lack a neighbour.
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
            ValueError: The pictures do not fit together, nothing of the other one is inserted, or nothing of this one
                is left.
        """
        assert config.insert is not None
        other = load_picture(config.insert)
        if kind.has_alpha or (other.maximum is None) != (kind.maximum is None):
            raise ValueError(
                f"--insert {other.path} cannot be blended into {config.picture}: both must be of whole numbers or both "
                "of floats, and the one that takes it must have no alpha."
            )
        mask = _mask_of(config.insert_mask, other)
        size = tuple(max(1, round(side * config.insert_scale)) for side in mask.shape)
        colors = kind.transfer.encode(_colors(other, kind.channels))
        colors, mask = (_scaled(part, size) for part in (colors, mask[..., None]))
        left, top = config.insert_at
        rows = slice(max(-top, 0), max(raster.height - top, 0))
        columns = slice(max(-left, 0), max(raster.width - left, 0))
        whole = mask[..., 0] >= _INSIDE
        # A border of the other picture inside this one: the gradient there is known to one side only.
        whole[[0, -1]] = whole[[0, -1]] & (torch.tensor([[top], [raster.height - top - size[0]]]) <= 0)
        whole[:, [0, -1]] = whole[:, [0, -1]] & (torch.tensor([[left, raster.width - left - size[1]]]) <= 0)
        found = cls(raster, colors[rows, columns], whole[rows, columns], max(left, 0), max(top, 0))
        covered = int(found.mask.sum())
        if covered == 0 or covered == len(raster):
            raise ValueError(
                f"--insert {other.path} at {left}, {top} covers {covered:,} of the {len(raster):,} pixels of "
                f"{config.picture}; some must be covered and some not. Mind --insert-mask, --insert-at and "
                "--insert-scale."
            )
        return found

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
        rows, columns = self.mask.nonzero(as_tuple=True)
        inside = (rows + self.top) * self.raster.width + columns + self.left
        pixels: list[Tensor] = []
        for axis, (step, start) in enumerate(((1, columns + self.left), (self.raster.width, rows + self.top))):
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


def _mask_of(path: Path | None, other: Picture) -> Float[Tensor, "height width"]:
    """What is inserted of a picture, in [0, 1]: by a mask's brightness, else by its alpha, else all."""
    if path is None:
        alpha = other.channels in (2, 4)
        values = torch.from_numpy(other.rows(0, other.size[1]))
        return values[..., -1] if alpha else torch.ones(values.shape[:2])
    mask = load_picture(path)
    if mask.size != other.size:
        raise ValueError(
            f"--insert-mask {path} must have the size of {other.path}, {other.size[0]}x{other.size[1]} pixels, found "
            f"{mask.size[0]}x{mask.size[1]}."
        )
    return _colors(mask, 1)[..., 0]


def _colors(picture: Picture, channels: int) -> Float[Tensor, "height width channels"]:
    """A picture's colours without alpha, as grey or as RGB."""
    values = torch.from_numpy(picture.rows(0, picture.size[1]))
    colors = values[..., : picture.channels - (picture.channels in (2, 4))]
    if colors.shape[2] == channels:
        return colors
    return colors.expand(-1, -1, 3) if channels == 3 else (colors * torch.tensor(_GREY)).sum(dim=2, keepdim=True)


def _scaled(values: Float[Tensor, "_ _ channels"], size: tuple[int, ...]) -> Float[Tensor, "_ _ channels"]:
    if values.shape[:2] == size:
        return values
    planes = values.permute(2, 0, 1)[None]
    scaled = torch.nn.functional.interpolate(planes, size, mode="bilinear", antialias=True, align_corners=False)
    return scaled[0].permute(1, 2, 0)
