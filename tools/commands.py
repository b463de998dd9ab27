"""Every command of the program: the call that does the work. Each returns its result in one line."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import tyro

from ..configs.nerf_config import NerfConfig
from ..configs.run_options import RunOptions
from .command_options import BenchOptions, CheckOptions, EvalOptions, PoseOptions, RenderOptions, ResumeOptions
from .command_settings import TWO_ENDS, parse_image, parse_nerf, parse_surface, parse_video, with_one_end

_DEMO_SECONDS = 60.0


def nerf_command(arguments: list[str]) -> str:
    """`neufield nerf`."""
    config = parse_nerf(arguments)
    from .nerf.run import start

    return start(config)


def demo_command(arguments: list[str]) -> str:
    """`neufield demo`."""
    default = RunOptions(seconds=_DEMO_SECONDS)
    options = tyro.cli(RunOptions, prog="neufield demo", args=arguments, default=default, description=_DEMO)
    options = with_one_end(options, arguments)
    settings = {item.name: getattr(options, item.name) for item in fields(options)}
    from .nerf.demo import demo
    from .nerf.run import BUILT_IN

    return demo(NerfConfig(data=BUILT_IN, **settings))


_DEMO = "Trains a NeRF on a scene that the program draws itself, scores it, and writes a turntable video and a report."


def image_command(arguments: list[str]) -> str:
    """`neufield image`."""
    config = parse_image(arguments)
    if config.compress == "on":
        from .compression.run import start
    else:
        from .image.run import start

    return start(config)


def video_command(arguments: list[str]) -> str:
    """`neufield video`."""
    config = parse_video(arguments)
    from .video.run import start

    return start(config)


def surface_command(arguments: list[str]) -> str:
    """`neufield surface`."""
    config = parse_surface(arguments)
    from .surface.run import start

    return start(config)


def eval_command(arguments: list[str]) -> str:
    """`neufield eval`."""
    options = tyro.cli(EvalOptions, prog="neufield eval", args=arguments)
    from .run_folder import RunFolder

    run = RunFolder.open(options.run)
    if run.task == "image":
        _require_untouched(options, EvalOptions, "against", task="image")
        from .compression.run import is_compressed

        if is_compressed(run):
            _require_untouched(options, EvalOptions, "device", "backend")
            from .compression.run import evaluate_run as evaluate_compressed_run

            return evaluate_compressed_run(run, quiet=options.quiet)
        from .image.run import evaluate_run as evaluate_image_run

        return evaluate_image_run(run, device=options.device, backend=options.backend, quiet=options.quiet)
    if run.task == "video":
        _require_untouched(options, EvalOptions, "against", task="video")
        from .video.run import evaluate_run as evaluate_video_run

        return evaluate_video_run(run, device=options.device, backend=options.backend, quiet=options.quiet)
    if run.task == "surface":
        _require_untouched(options, EvalOptions, "against", task="surface")
        from .surface.run import evaluate_run as evaluate_surface_run

        return evaluate_surface_run(run, device=options.device, backend=options.backend, quiet=options.quiet)
    from .nerf.run import evaluate_run

    return evaluate_run(
        run, against=options.against, device=options.device, backend=options.backend, quiet=options.quiet
    )


def render_command(arguments: list[str]) -> str:
    """`neufield render`."""
    options = tyro.cli(RenderOptions, prog="neufield render", args=arguments)
    from .progress import Progress
    from .run_folder import RunFolder

    progress = Progress(quiet=options.quiet)
    if options.run.is_file() or options.run.suffix == ".nfz":
        return _render_nfz(options, options.run, options.output or options.run.parent, progress)
    run = RunFolder.open(options.run)
    if run.task == "image":
        _require_untouched(options, RenderOptions, "path", "frames", "fps", "time", task="image")
        from .compression.run import compressed_file, is_compressed

        if is_compressed(run):
            return _render_nfz(options, compressed_file(run), options.output or run.outputs, progress)
        from .image.rendering import render_picture

        return render_picture(
            run,
            size=options.size,
            scale=options.scale,
            crop=options.crop,
            output=options.output,
            progress=progress,
            device=options.device,
            backend=options.backend,
            force=options.force,
        )
    if run.task == "surface":
        raise ValueError(f"{run.path} is a surface: its mesh lies in {run.outputs}, its pictures in {run.report}.")
    if run.task == "video":
        _require_untouched(options, RenderOptions, "path", "scale", "crop", task="video")
        from .video.rendering import render_clip

        return render_clip(
            run,
            size=options.size,
            frames=options.frames,
            fps=options.fps,
            time=options.time,
            output=options.output,
            progress=progress,
            device=options.device,
            backend=options.backend,
            force=options.force,
        )
    _require_untouched(options, RenderOptions, "scale", "crop", "time", task="nerf")
    from .nerf.rendering import render_video

    return render_video(
        run,
        path=options.path or "turntable",
        frames=60 if options.frames is None else options.frames,
        fps=20.0 if options.fps is None else options.fps,
        size=options.size,
        output=options.output,
        progress=progress,
        device=options.device,
        backend=options.backend,
        force=options.force,
    )


def _render_nfz(options: RenderOptions, path: Path, output: Path, progress: Any) -> str:
    """`neufield render` of a compressed picture."""
    _require_untouched(options, RenderOptions, "path", "frames", "fps", "time", "device", "backend")
    from .compression.nfz_rendering import render_nfz

    size, scale, crop = options.size, options.scale, options.crop
    return render_nfz(path, output, size=size, scale=scale, crop=crop, progress=progress, force=options.force)


def _require_untouched(options: Any, kind: type, *names: str, task: str | None = None) -> None:
    """Refuses options that a run of this task, or without one a compressed picture, would ignore."""
    defaults = {item.name: item.default for item in fields(kind)}
    given = [name for name in names if getattr(options, name) != defaults[name]]
    if given:
        told = " and ".join(f"--{name}" for name in given)
        what = f"a run of `neufield {task}`" if task else "a compressed picture"
        raise ValueError(f"{options.run} is {what}, which {told} means nothing to; leave it out.")


def resume_command(arguments: list[str]) -> str:
    """`neufield resume`."""
    options = tyro.cli(ResumeOptions, prog="neufield resume", args=arguments)
    if options.seconds is not None and options.steps is not None:
        raise ValueError(TWO_ENDS)
    from .run_folder import RunFolder

    run = RunFolder.open(options.run)
    if run.task == "image":
        from .compression.run import require_uncompressed
        from .image.run import resume

        require_uncompressed(run)
    elif run.task == "video":
        from .video.run import resume
    elif run.task == "surface":
        from .surface.run import resume
    else:
        from .nerf.run import resume
    return resume(
        run,
        seconds=options.seconds,
        steps=options.steps,
        device=options.device,
        backend=options.backend,
        quiet=options.quiet,
    )


def bench_command(arguments: list[str]) -> str:
    """`neufield bench`."""
    options = tyro.cli(BenchOptions, prog="neufield bench", args=arguments)
    if options.repeats < 1:
        raise ValueError(f"--repeats must be at least 1, got {options.repeats}.")
    _require_taken(options)
    from .bench.rows import summary, table, write_json
    from .progress import Progress

    progress = Progress(quiet=options.quiet)
    if options.part == "kernels":
        from .bench.kernels import bench_kernels

        rows = bench_kernels(repeats=options.repeats, progress=progress)
    elif options.part == "image":
        from .bench.image import bench_image

        rows = bench_image(repeats=options.repeats, progress=progress)
        if options.data is not None and options.seconds is not None:
            from .bench.fields import bench_fields

            rows += bench_fields(options.data, seconds=options.seconds, page=options.page, progress=progress)
    elif options.part == "surface":
        from .bench.surface import bench_surface

        if options.data is None:
            raise ValueError("`neufield bench surface` takes true surfaces: --data MESH, or a folder of meshes.")
        rows = bench_surface(options.data, seconds=options.seconds or _SURFACE_SECONDS, progress=progress)
    else:
        from .bench.nerf import bench_nerf
        from .nerf.run import BUILT_IN

        config = NerfConfig(data=options.data or BUILT_IN, background=options.background, seconds=options.seconds)
        rows = bench_nerf(config, repeats=options.repeats, progress=progress)
    if options.json is not None:
        write_json(options.json, rows)
    progress.say(table(rows))
    return summary(rows)


def _require_taken(options: BenchOptions) -> None:
    """Refuses options that the chosen part of the benchmark would ignore."""
    defaults = BenchOptions()
    given = [
        name for name in ("data", "background", "seconds", "page") if getattr(options, name) != getattr(defaults, name)
    ]
    ignored = [name for name in given if name not in _TAKEN[options.part]]
    if ignored:
        told = " and ".join(f"--{name}" for name in ignored)
        raise ValueError(f"`neufield bench {options.part}` takes no {told}.")
    if options.part == "image" and given and not {"data", "seconds"} <= set(given):
        raise ValueError("To fit a picture with every field, `neufield bench image` takes both --data and --seconds.")


_TAKEN = {
    "nerf": ("data", "background", "seconds"),
    "kernels": (),
    "image": ("data", "seconds", "page"),
    "surface": ("data", "seconds"),
}
_SURFACE_SECONDS = 60.0


def data_check_command(arguments: list[str]) -> str:
    """`neufield data check`."""
    options = tyro.cli(CheckOptions, prog="neufield data check", args=arguments)
    from ..datasets import inspect_folder

    report = inspect_folder(options.folder)
    text = "\n".join(report.lines())
    if not report.ok:
        raise ValueError(text)
    return text


def data_pose_command(arguments: list[str]) -> str:
    """`neufield data pose`."""
    options = tyro.cli(PoseOptions, prog="neufield data pose", args=arguments)
    from ..datasets import PoseSettings, default_output, pose_photos
    from .progress import Progress

    settings = PoseSettings(
        frames=options.frames,
        cameras=options.cameras,
        lens=options.lens,
        matching=options.matching,
        undistort=options.undistort == "on",
        seed=options.seed,
        threads=options.threads,
    )
    output = options.output or default_output(options.source)
    with Progress(quiet=options.quiet) as progress:
        report = pose_photos(
            options.source, output, settings, replace=options.force, note=progress.say, progress=progress.stage
        )
        for line in report.lines():
            progress.say(line)
    return report.result(output)
