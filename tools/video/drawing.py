"""Frames drawn from a fitted field, at any time and any size."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ...render import Raster, measure
from ..pictures import to_uint8
from ..progress import Progress
from .model import VideoModel

_CHUNK = 1 << 16


@torch.no_grad()
def drawn_frame(model: VideoModel, raster: Raster, time: float) -> Float[Tensor, "height width 3"]:
    """The clip at a time, in frames from the first one; values in [0, 1]."""
    device = next(model.parameters()).device
    pixels = torch.arange(len(raster), device=device)

    def at(places: Tensor) -> Tensor:
        return model(places, places.new_full((len(places),), time))

    values = torch.cat([measure(at, raster, part) for part in pixels.split(_CHUNK)])
    return values.view(raster.height, raster.width, 3).clamp(0.0, 1.0).cpu()


def drawn_frames(
    model: VideoModel, raster: Raster, times: Sequence[float], progress: Progress
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """The clip at some times, one after the other."""
    for index, time in enumerate(times):
        yield to_uint8(drawn_frame(model, raster, time))
        progress.stage((index + 1) / len(times), f"{index + 1} of {len(times)} frames")
