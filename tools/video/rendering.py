"""`neufield render` of a clip's run: any stretch of time at any rate and size, or a single picture."""

from pathlib import Path

import numpy as np

from ...configs.run_options import Backend
from ...render import Raster
from ..device import choose_device, compiling_told, quiet_torch_threads
from ..picture_files import write_picture
from ..progress import Progress
from ..run_folder import RunFolder
from ..video_files import write_video
from .clip_facts import ClipFacts, read_facts
from .drawing import drawn_frame, drawn_frames
from .run import open_model, read_config

_LONGEST_SIDE = 16_384  # of H.264
_MOST_FRAMES = 100_000
_LARGEST_RATE = 10_000.0  # frames per second


def render_clip(
    run: RunFolder,
    *,
    size: tuple[int, int] | None = None,
    frames: int | None = None,
    fps: float | None = None,
    time: float | None = None,
    output: Path | None = None,
    progress: Progress,
    device: str | None = None,
    backend: Backend | None = None,
    force: bool = False,
) -> str:
    """Draws a fitted clip anew; returns the result in one line.

    Args:
        run: A run of `neufield video`.
        size: Width and height; by default those of the clip.
        frames: How many, spread evenly from the first frame to the last; by default as many as keep the clip's speed.
        fps: Frames per second of the video; by default those of the clip.
        time: Draw a single picture instead, so many seconds after the first frame.
        output: The file: mp4 or gif, or of a picture; or a folder for it; by default
            `outputs/` of the run.
        progress: Told how far it is.
        device, backend: Instead of what the run was trained with.
        force: Whether a file that is there may be replaced.

    Raises:
        ValueError: A number is out of range, or the file exists.
    """
    config, kind = read_config(run, device=device, backend=backend), read_facts(run)
    raster = _raster(size or (kind.width, kind.height))
    rate = kind.fps if fps is None else fps
    if time is not None:
        if frames is not None or fps is not None:
            raise ValueError("--time draws a single picture, which --frames and --fps mean nothing to; leave them out.")
        moments, name = [_moment(kind, time)], f"{raster.width}x{raster.height}_{time:g}s.png"
    else:
        moments, name = moments_of(kind, frames=frames, fps=rate), f"{raster.width}x{raster.height}_{rate:g}fps.mp4"
    target = run.outputs / name if output is None else output / name if output.is_dir() else output
    if target.exists() and not force:
        raise ValueError(f"{target} exists; name another file by --output, or replace it with --force.")
    model = open_model(run, config, kind)
    with quiet_torch_threads(choose_device(config.device)), compiling_told(progress), progress:
        if time is not None:
            picture = drawn_frame(model, raster, moments[0]).numpy()
            write_picture(target, picture, "uint8")
            return f"{target}: {raster.width}x{raster.height} pixels, {time:g} s after the first frame."
        write_video(target, drawn_frames(model, raster, moments, progress), fps=rate)
    return f"{target}: {len(moments)} frames of {raster.width}x{raster.height} pixels, {rate:g} per second."


def moments_of(kind: ClipFacts, *, frames: int | None, fps: float) -> list[float]:
    """The times of the frames of a video, in frames of the clip from its first one.

    By default the video is as fast as the clip and as long, but for what lies behind its last frame; a number of
    frames is spread evenly from the first frame to the last instead.

    Raises:
        ValueError: A number is out of range.
    """
    if not 0.0 < fps <= _LARGEST_RATE:
        raise ValueError(f"--fps takes a number above 0 and at most {_LARGEST_RATE:g}, got {fps:g}.")
    last = kind.frames - 1.0
    count = int(last * fps / kind.fps + 1e-6) + 1 if frames is None else frames
    if not 1 <= count <= _MOST_FRAMES:
        raise ValueError(f"A video of 1 to {_MOST_FRAMES} frames can be drawn, not of {count}.")
    if frames is None:
        return [min(index * kind.fps / fps, last) for index in range(count)]
    return np.linspace(0.0, last, count).tolist()


def _moment(kind: ClipFacts, seconds: float) -> float:
    last = (kind.frames - 1) / kind.fps
    if not 0.0 <= seconds <= last + 1e-6:
        raise ValueError(f"--time takes 0 to {last:.4g} seconds, the time of the last frame; got {seconds:g}.")
    return min(seconds * kind.fps, kind.frames - 1.0)


def _raster(size: tuple[int, int]) -> Raster:
    if not 1 <= min(size) <= max(size) <= _LONGEST_SIDE:
        raise ValueError(f"--size takes a width and a height of 1 to {_LONGEST_SIDE} pixels, got {size[0]} {size[1]}.")
    return Raster(*size)
