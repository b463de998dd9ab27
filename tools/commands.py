"""Every command of the program: its options, and the call that does the work. Each returns its result in one line."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import tyro

from ..configs.image_config import ImageConfig
from ..configs.loading import ConfigError, build, merge, read_preset, read_task_settings
from ..configs.nerf_config import Background, NerfConfig, Preset
from ..configs.run_options import Backend, Positional, RunOptions
from ..configs.video_config import VideoConfig

_DEMO_SECONDS = 60.0

Trained = TypeVar("Trained", bound=RunOptions)


@dataclass(frozen=True, kw_only=True)
class RunChoice:
    """Which run, and what it runs on now."""

    run: Positional[Path]
    """The run's folder; for `neufield render` also a compressed picture, FILE.nfz."""
    device: str | None = None
    """auto, cpu, cuda or cuda:1, instead of what the run was trained on."""
    backend: Backend | None = None
    """Which kernels run, instead of those that the run was trained with."""
    quiet: bool = False
    """Print the result only."""


@dataclass(frozen=True, kw_only=True)
class EvalOptions(RunChoice):
    """Scores a run on its held-out photos or frames, or its picture, and writes evaluation.json, report.html and what
    that shows anew."""

    against: Path | None = None
    """nerf: a finished run on the same data that the report compares this one with."""


@dataclass(frozen=True, kw_only=True)
class RenderOptions(RunChoice):
    """Renders a video of a NeRF, a picture or a clip at any resolution, into the run's outputs/ folder."""

    size: tuple[int, int] | None = None
    """Width and height in pixels; by default that of the photos, at most 400 on the longer side, of the picture or of
    the clip."""
    output: Path | None = None
    """The file: .mp4 or .gif; .png, .jpg, .tif, .exr, .hdr or .npy; by default one in the run's outputs/ folder."""
    force: bool = False
    """Replace a file that is there."""
    path: Literal["turntable", "interpolate"] | None = None
    """nerf: once around the scene (turntable, the default), or smoothly through the training cameras (interpolate)."""
    frames: int | None = None
    """nerf: number of frames; 60 by default. video: the same, spread evenly over the clip; by default what keeps its
    speed."""
    fps: float | None = None
    """nerf: frames per second; 20 by default. video: the same; by default those of the clip."""
    time: float | None = None
    """video: draw a single picture, so many seconds after the first frame."""
    scale: float | None = None
    """image: draw it so many times as large, instead of --size."""
    crop: tuple[float, float, float, float] | None = None
    """image: draw a part of it alone: left, top, width and height in pixels of the picture."""


@dataclass(frozen=True, kw_only=True)
class ResumeOptions(RunChoice):
    """Goes on with a run from its last checkpoint; one that is finished is left as it is, if no later end is given."""

    seconds: float | None = None
    """Train until this many seconds in all, instead of what the run was given."""
    steps: int | None = None
    """Train until this many steps in all, instead of what the run was given."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Times every CPU backend side by side, in one run; ratios tell, absolute times depend on the machine."""

    part: Positional[Literal["nerf", "kernels", "image"]] = "nerf"
    """nerf: a whole training step, from the same half-trained state, and what it consists of. kernels: one by one, and
    beside them what the machine can do at most. image: a picture fitted as a field."""
    data: Path | None = None
    """nerf: a folder of posed photos; by default the built-in scene. image: a picture that --seconds is about."""
    background: Background = "auto"
    """nerf: as in training."""
    seconds: float | None = None
    """nerf: also train a run for so long, score its held-out photos and time frames. image: also fit the picture with
    every field at three sizes, and with two of plain PyTorch, for so long each."""
    page: Path | None = None
    """image: draw PSNR against seconds and against parameters on this page, an .html file."""
    repeats: int = 7
    """How often everything is timed; the median counts."""
    json: Path | None = None
    """Also write the figures to this file."""
    quiet: bool = False
    """Print the result only."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Says what a folder of photos holds and what is wrong with it, before any training."""

    folder: Positional[Path]
    """The folder."""


@dataclass(frozen=True, kw_only=True)
class PoseOptions:
    """Finds out where photos were taken from, and writes a folder that `neufield nerf` takes as it is.

    The input is a folder of photos, which are only read, or one video, of which the sharpest frames are taken. Needs
    the package pycolmap: pip install -c constraints.txt -e '.[sfm]'. No GPU is used."""

    source: Positional[Path]
    """The folder of photos, or the video."""
    output: Path | None = None
    """The folder to write; by default PHOTOS-posed beside the photos."""
    frames: int = 100
    """Of a video: how many frames to take at most, the sharpest of each of so many equal stretches."""
    cameras: Literal["shared", "separate"] = "shared"
    """shared: photos of the same size, and of the same camera and focal length by their EXIF, have one lens. separate:
    one for each photo, where the zoom changed and no EXIF tells."""
    lens: Literal["auto", "OPENCV", "SIMPLE_RADIAL"] = "auto"
    """SIMPLE_RADIAL has one number of distortion; OPENCV has four and two focal lengths, and needs more photos to tell
    them. auto: OPENCV where ten photos or more share a lens."""
    matching: Literal["auto", "exhaustive", "sequential", "similar"] = "auto"
    """Which photos are compared. exhaustive: all with all. sequential: neighbours by name, and look-alikes. similar:
    each with the 30 that look most alike. auto: exhaustive up to 80 photos, then sequential for a video, else similar.
    """
    undistort: Literal["on", "off"] = "on"
    """on: write photos as a lens without distortion would have taken them. off: write them as they are, and the
    distortion beside them, which `neufield nerf` undoes as well."""
    seed: int = 0
    """Of everything that is drawn at random; the same seed with --threads 1 finds the same poses."""
    threads: int | None = None
    """How many threads; all cores if not given."""
    force: bool = False
    """Replace an earlier output of this command."""
    quiet: bool = False
    """Print the result only."""


def nerf_command(arguments: list[str]) -> str:
    """`neufield nerf`."""
    config = parse_nerf(arguments)
    from .nerf_run import start

    return start(config)


def demo_command(arguments: list[str]) -> str:
    """`neufield demo`."""
    default = RunOptions(seconds=_DEMO_SECONDS)
    options = tyro.cli(RunOptions, prog="neufield demo", args=arguments, default=default, description=_DEMO)
    options = _with_one_end(options, arguments)
    settings = {item.name: getattr(options, item.name) for item in fields(options)}
    from .demo import demo
    from .nerf_run import BUILT_IN

    return demo(NerfConfig(data=BUILT_IN, **settings))


_DEMO = "Trains a NeRF on a scene that the program draws itself, scores it, and writes a turntable video and a report."


def image_command(arguments: list[str]) -> str:
    """`neufield image`."""
    config = parse_image(arguments)
    if config.compress == "on":
        from .compression_run import start
    else:
        from .image_run import start

    return start(config)


def video_command(arguments: list[str]) -> str:
    """`neufield video`."""
    config = parse_video(arguments)
    from .video_run import start

    return start(config)


def eval_command(arguments: list[str]) -> str:
    """`neufield eval`."""
    options = tyro.cli(EvalOptions, prog="neufield eval", args=arguments)
    from .run_folder import RunFolder

    run = RunFolder.open(options.run)
    if run.task == "image":
        _require_untouched(options, EvalOptions, "against", task="image")
        from .compression_run import is_compressed

        if is_compressed(run):
            from .compression_run import evaluate_run as evaluate_compressed_run

            return evaluate_compressed_run(run, quiet=options.quiet)
        from .image_run import evaluate_run as evaluate_image_run

        return evaluate_image_run(run, device=options.device, backend=options.backend, quiet=options.quiet)
    if run.task == "video":
        _require_untouched(options, EvalOptions, "against", task="video")
        from .video_run import evaluate_run as evaluate_video_run

        return evaluate_video_run(run, device=options.device, backend=options.backend, quiet=options.quiet)
    from .nerf_run import evaluate_run

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
        from .compression_run import compressed_file, is_compressed

        if is_compressed(run):
            return _render_nfz(options, compressed_file(run), options.output or run.outputs, progress)
        from .image_rendering import render_picture

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
    if run.task == "video":
        _require_untouched(options, RenderOptions, "path", "scale", "crop", task="video")
        from .video_rendering import render_clip

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
    from .render_run import render_video

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
    _require_untouched(options, RenderOptions, "path", "frames", "fps", "device", "backend", task="image")
    from .nfz_rendering import render_nfz

    size, scale, crop = options.size, options.scale, options.crop
    return render_nfz(path, output, size=size, scale=scale, crop=crop, progress=progress, force=options.force)


def _require_untouched(options: Any, kind: type, *names: str, task: str) -> None:
    """Refuses options that a run of this task would ignore."""
    defaults = {item.name: item.default for item in fields(kind)}
    given = [name for name in names if getattr(options, name) != defaults[name]]
    if given:
        told = " and ".join(f"--{name}" for name in given)
        what = f"a run of `neufield {task}`" if options.run.is_dir() else "a compressed picture"
        raise ValueError(f"{options.run} is {what}, which {told} means nothing to; leave it out.")


def resume_command(arguments: list[str]) -> str:
    """`neufield resume`."""
    options = tyro.cli(ResumeOptions, prog="neufield resume", args=arguments)
    if options.seconds is not None and options.steps is not None:
        raise ValueError(_TWO_ENDS)
    from .run_folder import RunFolder

    run = RunFolder.open(options.run)
    if run.task == "image":
        from .compression_run import require_uncompressed
        from .image_run import resume

        require_uncompressed(run)
    elif run.task == "video":
        from .video_run import resume
    else:
        from .nerf_run import resume
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
    from .bench_rows import summary, table, write_json
    from .progress import Progress

    progress = Progress(quiet=options.quiet)
    if options.part == "kernels":
        from .bench_kernels import bench_kernels

        rows = bench_kernels(repeats=options.repeats, progress=progress)
    elif options.part == "image":
        from .bench_image import bench_image

        rows = bench_image(repeats=options.repeats, progress=progress)
        if options.data is not None and options.seconds is not None:
            from .bench_fields import bench_fields

            rows += bench_fields(options.data, seconds=options.seconds, page=options.page, progress=progress)
    else:
        from .bench_nerf import bench_nerf
        from .nerf_run import BUILT_IN

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


_TAKEN = {"nerf": ("data", "background", "seconds"), "kernels": (), "image": ("data", "seconds", "page")}


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


def parse_nerf(arguments: list[str]) -> NerfConfig:
    """The settings of `neufield nerf`: defaults, then the preset, then --config, then every other option.

    Raises:
        ConfigError: A preset or config file does not fit.
        ValueError: It is not said when the training ends, or said twice.
    """
    rest, source, changes = _from_file(arguments, "nerf")
    preset = _value_of(arguments, "--preset") or changes.get("preset", "default")
    # Another preset is refused below, as an option or in the file.
    settings = read_preset("nerf", preset) if preset in get_args(Preset) else {}
    return _parsed(NerfConfig, "data", settings, changes, rest, source or "the preset", "neufield nerf", _NERF)


def parse_image(arguments: list[str]) -> ImageConfig:
    """The settings of `neufield image`: defaults, then --config, then every other option; raises as `parse_nerf`."""
    rest, source, changes = _from_file(arguments, "image")
    if any(_value_of(rest, option) for option in ("--field", "--parameters", "--bits-per-pixel")):
        # The file has what followed from another field or size.
        optimizer = {key: value for key, value in changes.get("optimizer", {}).items() if key not in ("rate", "batch")}
        left = ("grid", "network", "parameters", "bits_per_pixel")
        changes = {**{key: value for key, value in changes.items() if key not in left}, "optimizer": optimizer}
    settings = {"seconds": _IMAGE_SECONDS}
    return _parsed(ImageConfig, "picture", settings, changes, rest, source or "", "neufield image", _IMAGE)


def parse_video(arguments: list[str]) -> VideoConfig:
    """The settings of `neufield video`: defaults, then --config, then every other option; raises as `parse_nerf`."""
    rest, source, changes = _from_file(arguments, "video")
    settings = {"seconds": _VIDEO_SECONDS}
    return _parsed(VideoConfig, "clip", settings, changes, rest, source or "", "neufield video", _VIDEO)


def _from_file(arguments: list[str], task: str) -> tuple[list[str], str | None, dict[str, Any]]:
    """The arguments less --config, the file that it names, and the settings in it."""
    rest = _without(arguments, "--config")
    if len(rest) == len(arguments):
        return rest, None, {}
    source = _value_of(arguments, "--config")
    if not source:
        raise ConfigError("--config needs the path of a YAML file, such as a run's config.yaml.")
    return rest, source, read_task_settings(Path(source), task)


def _parsed(
    kind: type[Trained],
    data: str,
    settings: dict[str, Any],
    changes: dict[str, Any],
    arguments: list[str],
    source: str,
    program: str,
    description: str,
) -> Trained:
    """The settings of a command: `settings`, then `changes`, then the command line's, which must name the data."""
    if changes.get("steps") is not None:
        settings = {**settings, "seconds": None}
    default = build(kind, {data: "", **merge(settings, changes)}, source)
    if data not in changes:
        object.__setattr__(default, data, tyro.MISSING)  # no path, and not to be checked as one: only tyro sees it
    parsed = tyro.cli(kind, prog=program, args=arguments, default=default, description=description)
    return _with_one_end(parsed, arguments)


_NERF = """Trains a NeRF on a folder of posed photos.

--config FILE takes settings from a YAML file; the config.yaml of a run repeats it. Options on the command line win over
the file, and the file wins over the preset."""
_IMAGE = """Fits a picture as a field that can be drawn at any resolution.

--config FILE takes settings from a YAML file; the config.yaml of a run repeats it. Options on the command line win over
the file; --field, --parameters and --bits-per-pixel leave its whole field out."""
_IMAGE_SECONDS = 60.0
_VIDEO = """Fits a clip as a field over place and time, which can be drawn at any size and at any time between frames.

--config FILE takes settings from a YAML file; the config.yaml of a run repeats it. Options on the command line win over
the file."""
_VIDEO_SECONDS = 60.0
_TWO_ENDS = "Give either --seconds or --steps: each says when the training ends."


def _with_one_end(options: Trained, arguments: list[str]) -> Trained:
    """The options with one end of the training: the one on the command line, where there is one."""
    given = {name for name in ("seconds", "steps") if _value_of(arguments, f"--{name}") not in (None, "None")}
    if len(given) == 2:
        raise ValueError(_TWO_ENDS)
    if options.seconds is None and options.steps is None:
        raise ValueError("It is not said when the training ends: give --seconds or --steps.")
    if "seconds" in given:
        return replace(options, steps=None)
    return replace(options, seconds=None) if options.steps is not None else options


def _value_of(arguments: list[str], option: str) -> str | None:
    """The value of an option, looked up beside the parsing of the whole line; the last one counts."""
    found = None
    for index, argument in enumerate(arguments):
        if argument == option:
            found = arguments[index + 1] if index + 1 < len(arguments) else None
        elif argument.startswith(f"{option}="):
            found = argument.split("=", 1)[1]
    return found


def _without(arguments: list[str], option: str) -> list[str]:
    """The arguments less an option and its value."""
    kept: list[str] = []
    skip = False
    for argument in arguments:
        if skip or argument == option or argument.startswith(f"{option}="):
            skip = not skip and argument == option
            continue
        kept.append(argument)
    return kept
