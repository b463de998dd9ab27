"""Pictures of a picture's derivatives and of a fitted field's: magnitudes of the gradient and Laplacians."""

import math

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ...fields import laplacian, slope_along
from ..pictures import heat_colors, to_uint8
from ..report import ReportSection
from .model import ImageModel
from .picture_differences import PictureDifferences
from .task import ImageTask

_MOST_PIXELS = 1 << 16
_CHUNK = 1 << 13
_BRIGHT = 0.99  # share of the picture's own magnitudes below the brightest colour
_TEXT = (
    "How much neighbouring pixels differ (the gradient's length), and how much a pixel differs from the mean of its "
    "neighbours (the Laplacian's size), mean of the colours; dark is 0, and both of a kind have one scale. Of the "
    "picture these are differences of pixels, of the field its exact derivatives at the same places."
)


@torch.no_grad()
def derivative_section(task: ImageTask) -> ReportSection:
    """The gradient and the Laplacian of the picture, and beside each of them that of a smooth field."""
    raster, colors = task.raster, task.kind.colors
    step = math.ceil(math.sqrt(len(raster) / _MOST_PIXELS))
    rows, columns = torch.arange(0, raster.height, step), torch.arange(0, raster.width, step)
    pixels = (rows[:, None] * raster.width + columns).flatten()
    parts = [
        torch.stack([*_of_picture(task.differences, part, colors), *_of_field(task.model, task, part, colors)])
        for part in pixels.split(_CHUNK)
    ]
    slopes, bends, field_slopes, field_bends = torch.cat(parts, dim=1).view(4, len(rows), len(columns))
    text = _TEXT if step == 1 else f"{_TEXT} Every {step}th pixel of every {step}th row is shown."
    images = [
        ("gradient, picture", _shown(slopes, slopes)),
        ("gradient, field", _shown(field_slopes, slopes)),
        ("Laplacian, picture", _shown(bends, bends)),
        ("Laplacian, field", _shown(field_bends, bends)),
    ]
    return ReportSection("Derivatives", text, images)


def _of_picture(differences: PictureDifferences, pixels: Tensor, colors: int) -> tuple[Tensor, Tensor]:
    """Mean length of the gradient and mean size of the Laplacian."""
    slopes = [differences.slopes(pixels, torch.full_like(pixels, axis))[:, :colors] for axis in (0, 1)]
    return _length(*slopes), differences.laplacians(pixels)[:, :colors].abs().mean(dim=1)


def _of_field(model: ImageModel, task: ImageTask, pixels: Tensor, colors: int) -> tuple[Tensor, Tensor]:
    """The same of the field, at the same places."""
    pixels = pixels.to(task.device)
    factor = model.levels[0, :colors] if model.levelled else 1.0
    slopes: list[Tensor] = []
    for step in torch.eye(2):
        x = model.located(task.raster.places(pixels, 0.5 + 0.5 * step.expand(len(pixels), 2)))
        directions = (step.to(x.device) * model.pixel).expand(len(x), 2)
        slopes.append(slope_along(model.field, x, directions)[:, :colors] * factor)
    found = laplacian(model.field, model.located(task.raster.places(pixels)))[:, :colors] * model.pixel[0] ** 2
    return _length(*slopes).cpu(), (found * factor).abs().mean(dim=1).cpu()


def _length(first: Tensor, second: Tensor) -> Float[Tensor, " n"]:
    return torch.hypot(first, second).mean(dim=1)


def _shown(
    magnitudes: Float[Tensor, "height width"], scale_of: Float[Tensor, "height width"]
) -> UInt8[np.ndarray, "height width 3"]:
    """Magnitudes in heat colours; unknown ones are dark."""
    known = scale_of[scale_of.isfinite()]
    brightest = float(known.quantile(_BRIGHT)) if len(known) else 0.0
    return to_uint8(heat_colors(magnitudes.nan_to_num(0.0) / max(brightest, 1e-9)))
