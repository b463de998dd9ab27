"""Pictures drawn from a fitted field, at any resolution, band by band."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float32, Int
from torch import Tensor

from ...render import Raster, measure
from .model import ImageModel
from .picture_facts import PictureFacts

_BAND_PIXELS = 1 << 18
_CHUNK = 1 << 16


@torch.no_grad()
def drawn_rows(model: ImageModel, raster: Raster, start: int, stop: int, *, area: bool) -> Tensor:
    """The field's values at some rows of pixels, (rows, width, values), as they are fitted."""
    pixels = torch.arange(start * raster.width, stop * raster.width)
    return measured_pixels(model, raster, pixels, area=area).view(stop - start, raster.width, -1)


@torch.no_grad()
def measured_pixels(model: ImageModel, raster: Raster, pixels: Int[Tensor, " n"], *, area: bool) -> Tensor:
    """The field's values at pixels, (n, values), as they are fitted."""
    device = next(model.parameters()).device
    return torch.cat([measure(model, raster, part, area=area) for part in pixels.to(device).split(_CHUNK)])


def bands_of(raster: Raster, *, multiple: int = 1) -> Iterator[tuple[int, int]]:
    """Rows in bands of about a quarter of a million pixels, a multiple of some: first row, and that behind the last."""
    rows = max(1, _BAND_PIXELS // (raster.width * multiple)) * multiple
    for start in range(0, raster.height, rows):
        yield start, min(start + rows, raster.height)


def drawn_bands(
    model: ImageModel, kind: PictureFacts, raster: Raster, *, area: bool
) -> Iterator[Float32[np.ndarray, "rows width channels"]]:
    """The picture on a raster, from top to bottom, colours multiplied by alpha: whole numbers' in [0, 1]."""
    for start, stop in bands_of(raster):
        fitted = drawn_rows(model, raster, start, stop, area=area)[..., : kind.channels]
        yield kind.measured(fitted).cpu().numpy()
