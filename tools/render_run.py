"""`neufield render`: pictures and videos of a run, from cameras that nobody held."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ..configs.run_options import Backend
from ..render import Cameras, interpolated_path, turntable
from .device import quiet_torch_threads
from .nerf_run import open_model, read_config
from .pictures import to_uint8
from .progress import Progress
from .radiance_model import RadianceModel
from .run_folder import RunFolder
from .scene_file import read_scene
from .video import write_video

Path_ = Literal["turntable", "interpolate"]
_LONGEST_SIDE = 400


def render_video(
    run: RunFolder,
    *,
    path: Path_ = "turntable",
    frames: int = 60,
    fps: float = 20.0,
    size: tuple[int, int] | None = None,
    output: Path | None = None,
    progress: Progress,
    device: str | None = None,
    backend: Backend | None = None,
    force: bool = False,
) -> str:
    """Renders a camera path to a video; returns the result in one line.

    Args:
        run: A trained run.
        path: Once around the scene, or smoothly through the training cameras.
        frames: Number of frames, >= 1.
        fps: Frames per second.
        size: Width and height; by default that of the photos, at most 400 pixels on the longer side.
        output: Where the mp4 or gif goes; by default `outputs/` of the run.
        progress: Told how far it is.
        device, backend: Instead of what the run was trained with.
        force: Whether `output` may be replaced.

    Raises:
        ValueError: A number is out of range, or `output` exists.
    """
    if size is not None and min(size) < 1:
        raise ValueError(f"--size takes a width and a height of at least 1, got {size[0]} {size[1]}.")
    if output is not None and output.exists() and not force:
        raise ValueError(f"{output} exists; name another --output, or replace it with --force.")
    config, scene = read_config(run, device=device, backend=backend), read_scene(run)
    model = open_model(run, config)
    place = next(model.parameters()).device
    path_cameras = (turntable if path == "turntable" else interpolated_path)(
        scene.cameras, frames, size=size or _modest_size(scene.cameras)
    ).to(place, torch.float32)
    background = {"black": 0.0, "none": 0.0}.get(config.background, 1.0)
    target = output or run.outputs / f"{path}.mp4"
    with quiet_torch_threads(place):
        write_video(target, _frames(model, path_cameras, background, progress), fps=fps)
    return f"{target}: {frames} frames."


def _frames(model: RadianceModel, cameras: Cameras, background: float, progress: Progress) -> Iterator[np.ndarray]:
    renderer = model.renderer()
    color = torch.full((3,), background, device=cameras.focal.device)
    for index in range(len(cameras)):
        yield to_uint8(renderer.render_image(cameras, index, color)["color"])
        if (index + 1) % 20 == 0:
            progress.say(f"{index + 1} of {len(cameras)} frames")


def _modest_size(cameras: Cameras) -> tuple[int, int]:
    width, height = (int(size) for size in cameras.sizes.double().median(dim=0).values)
    shrink = min(1.0, _LONGEST_SIDE / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))
