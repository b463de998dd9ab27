"""A trained model along a path of cameras, as a video."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ...render import Cameras, interpolated_path, turntable
from ..pictures import to_uint8
from ..progress import Progress
from ..video_files import write_video
from .model import RadianceModel

PathName = Literal["turntable", "interpolate"]
_LONGEST_SIDE = 400


def write_path_video(
    target: Path,
    model: RadianceModel,
    cameras: Cameras,
    *,
    path: PathName,
    background: str,
    frames: int = 60,
    fps: float = 20.0,
    size: tuple[int, int] | None = None,
    progress: Progress,
) -> None:
    """Renders a model from cameras that nobody held.

    Args:
        target: The mp4 or gif file.
        model: What is rendered, on any device.
        cameras: The training cameras, scene coordinates.
        path: Once around the scene, or smoothly through the training cameras.
        background: The run's: white, black, none or learned.
        frames: Number of frames, >= 1.
        fps: Frames per second.
        size: Width and height; by default that of the photos, at most 400 pixels on the longer side.
        progress: Told how far it is.
    """
    device = next(model.parameters()).device
    make_path = turntable if path == "turntable" else interpolated_path
    flight = make_path(cameras, frames, size=size or _modest_size(cameras)).to(device, torch.float32)
    color = torch.full((3,), 1.0 if background == "white" else 0.0, device=device)
    with progress:
        write_video(target, _frames(model, flight, color, progress), fps=fps)


def _frames(model: RadianceModel, cameras: Cameras, color: torch.Tensor, progress: Progress) -> Iterator[np.ndarray]:
    renderer = model.renderer()
    for index in range(len(cameras)):
        yield to_uint8(renderer.render_image(cameras, index, color)["color"])
        progress.stage((index + 1) / len(cameras), f"{index + 1} of {len(cameras)} frames")


def _modest_size(cameras: Cameras) -> tuple[int, int]:
    width, height = (int(size) for size in cameras.sizes.double().median(dim=0).values)
    shrink = min(1.0, _LONGEST_SIDE / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))
