"""`neufield render`: pictures and videos of a run, from cameras that nobody held."""

from pathlib import Path

from ..configs.run_options import Backend
from .device import choose_device, quiet_torch_threads
from .nerf_run import open_model, read_config
from .path_video import PathName, write_path_video
from .progress import Progress
from .run_folder import RunFolder
from .scene_file import read_scene


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
    target = output or run.outputs / f"{path}.mp4"
    with quiet_torch_threads(choose_device(config.device)):
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
