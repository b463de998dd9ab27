"""`neufield render`: pictures and videos of a run, from cameras that nobody held."""

from pathlib import Path

from ...configs.run_options import Backend
from ...datasets.pixel_store import machine_memory_bytes
from ..device import choose_device, compiling_told, quiet_torch_threads
from ..progress import Progress
from ..run_folder import RunFolder
from .path_video import PathName, write_path_video
from .run import open_model, read_config
from .scene_file import read_scene

_LONGEST_SIDE = 16_384  # of H.264
_PIXEL_BYTES = 200  # while a frame is rendered, and while the encoder holds it with those before and after it
_MOST_FRAMES = 100_000


def render_video(
    run: RunFolder,
    *,
    path: PathName = "turntable",
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
        force: Whether a file that is there may be replaced.

    Raises:
        ValueError: A number is out of range, or the file exists.
    """
    if size is not None:
        _require_size(*size)
    if frames > _MOST_FRAMES:
        raise ValueError(f"--frames takes up to {_MOST_FRAMES}, got {frames}.")
    target = output or run.outputs / f"{path}.mp4"
    if target.exists() and not force:
        raise ValueError(f"{target} exists; name another file by --output, or replace it with --force.")
    config, scene = read_config(run, device=device, backend=backend), read_scene(run)
    model = open_model(run, config)
    with quiet_torch_threads(choose_device(config.device)), compiling_told(progress):
        write_path_video(
            target,
            model,
            model.trained_cameras(scene.cameras),
            path=path,
            background=config.background,
            frames=frames,
            fps=fps,
            size=size,
            progress=progress,
        )
    return f"{target}: {frames} frames."


def _require_size(width: int, height: int) -> None:
    if min(width, height) < 1:
        raise ValueError(f"--size takes a width and a height of at least 1, got {width} {height}.")
    if max(width, height) > _LONGEST_SIDE:
        raise ValueError(f"--size takes a width and a height of at most {_LONGEST_SIDE}, got {width} {height}.")
    needed, there = width * height * _PIXEL_BYTES, machine_memory_bytes()
    if needed > there:
        raise ValueError(
            f"--size {width} {height} takes about {needed / 2**30:.0f} GiB of memory, and this machine has "
            f"{there / 2**30:.1f} GiB; choose at most {there // _PIXEL_BYTES / 1e6:.0f} million pixels."
        )
