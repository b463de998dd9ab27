"""Pictures of an insertion: what was blended, and a plain paste beside the blend."""

import math

import torch
from torch import Tensor

from ..pictures import to_uint8
from ..report import ReportSection
from .evaluation import shown
from .insertion import Insertion
from .picture_facts import visible
from .task import ImageTask

_MOST_PIXELS = 1 << 18
_CHUNK = 1 << 16
_TEXT = (
    "In the insertion the field has the gradient of the other picture, beside it the values of this one: the other "
    "picture's detail stays, and its levels follow from what lies around it."
)


@torch.no_grad()
def insertion_section(task: ImageTask, insertion: Insertion) -> ReportSection:
    """Both pictures, one pasted into the other, and the blend; large ones in every so many pixels."""
    raster = task.raster
    step = math.ceil(math.sqrt(len(raster) / _MOST_PIXELS))
    rows, columns = torch.arange(0, raster.height, step), torch.arange(0, raster.width, step)
    pixels = (rows[:, None] * raster.width + columns).flatten()
    picture = task.kind.fitted(visible(task.picture, pixels.numpy()))
    other = insertion.at(pixels)
    paste = torch.where(insertion.covers(pixels)[:, None], other, picture)
    parts = [task.model(raster.places(part.to(task.device))).cpu() for part in pixels.split(_CHUNK)]

    def drawn(values: Tensor) -> Tensor:
        return shown(task, values.view(len(rows), len(columns), -1))

    pictures = {"picture": picture, "what is inserted": other, "plain paste": paste, "blend": torch.cat(parts)}
    images = [(caption, to_uint8(drawn(values))) for caption, values in pictures.items()]
    return ReportSection("Insertion", _TEXT, images)
