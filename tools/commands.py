"""Every command of the program: its options, and the call that does the work. Each returns its result in one line."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import tyro

from ..configs.loading import build, merge, read_preset, read_yaml
from ..configs.nerf_config import NerfConfig
from ..configs.run_options import Positional, RunOptions

_DEMO_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Scores a run on its held-out photos, and writes evaluation.json and report.html anew."""

    run: Positional[Path]
    """The run's folder."""
    against: Path | None = None
    """A finished run on the same data that the report compares this one with."""


@dataclass(frozen=True, kw_only=True)
class RenderOptions:
    """Renders a video of a run into its outputs/ folder."""

    run: Positional[Path]
    """The run's folder."""
    path: Literal["turntable", "interpolate"] = "turntable"
    """Once around the scene, or smoothly through the training cameras."""
    frames: int = 60
    """Number of frames."""
    fps: float = 20.0
    """Frames per second."""
    size: tuple[int, int] | None = None
    """Width and height in pixels; by default that of the photos, at most 400 on the longer side."""
    output: Path | None = None
    """The video's file, .mp4 or .gif."""
    quiet: bool = False
    """Print the result only."""


@dataclass(frozen=True, kw_only=True)
class ResumeOptions:
    """Goes on with a run from its last checkpoint."""

    run: Positional[Path]
    """The run's folder."""
    seconds: float | None = None
    """Train until this many seconds in all, instead of what the run was given."""
    steps: int | None = None
    """Train until this many steps in all, instead of what the run was given."""
    quiet: bool = False
    """Print the result only."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Says what a folder of photos holds and what is wrong with it, before any training."""

    folder: Positional[Path]
    """The folder."""


def nerf_command(arguments: list[str]) -> str:
    """`neufield nerf`."""
    config = parse_nerf(arguments)
    from .nerf_run import start

    return start(config)


def demo_command(arguments: list[str]) -> str:
    """`neufield demo`."""
    default = RunOptions(seconds=_DEMO_SECONDS)
    options = tyro.cli(RunOptions, prog="neufield demo", args=arguments, default=default, description=_DEMO)
    settings = {item.name: getattr(options, item.name) for item in fields(options)}
    from .demo import demo
    from .nerf_run import BUILT_IN

    return demo(NerfConfig(data=BUILT_IN, **settings))


_DEMO = "Trains a NeRF on a scene that the program draws itself, scores it, and writes a turntable video and a report."


def eval_command(arguments: list[str]) -> str:
    """`neufield eval`."""
    options = tyro.cli(EvalOptions, prog="neufield eval", args=arguments)
    from .nerf_run import evaluate_run
    from .run_folder import RunFolder

    return evaluate_run(RunFolder.open(options.run), against=options.against)


def render_command(arguments: list[str]) -> str:
    """`neufield render`."""
    options = tyro.cli(RenderOptions, prog="neufield render", args=arguments)
    from .progress import Progress
    from .render_run import render_video
    from .run_folder import RunFolder

    return render_video(
        RunFolder.open(options.run),
        path=options.path,
        frames=options.frames,
        fps=options.fps,
        size=options.size,
        output=options.output,
        progress=Progress(quiet=options.quiet),
    )


def resume_command(arguments: list[str]) -> str:
    """`neufield resume`."""
    options = tyro.cli(ResumeOptions, prog="neufield resume", args=arguments)
    from .nerf_run import resume
    from .run_folder import RunFolder

    return resume(RunFolder.open(options.run), quiet=options.quiet, seconds=options.seconds, steps=options.steps)


def data_check_command(arguments: list[str]) -> str:
    """`neufield data check`."""
    options = tyro.cli(CheckOptions, prog="neufield data check", args=arguments)
    from ..datasets import inspect_folder

    report = inspect_folder(options.folder)
    text = "\n".join(report.lines())
    if not report.ok:
        raise ValueError(text)
    return text


def parse_nerf(arguments: list[str]) -> NerfConfig:
    """The settings of `neufield nerf`: defaults, then --preset, then --config, then every other option.

    Raises:
        ConfigError: A preset or config file does not fit.
    """
    preset, config, rest = _take(arguments, "--preset", "default"), None, arguments
    if "--config" in arguments or any(argument.startswith("--config=") for argument in arguments):
        config = Path(_take(arguments, "--config", ""))
        rest = _without(arguments, "--config")
    settings = read_preset("nerf", preset) if preset in ("quick", "default", "best") else {}
    source = f"the preset {preset}"
    if config is not None:
        settings, source = merge(settings, read_yaml(config)), str(config)
        settings.pop("task", None)
    default = build(NerfConfig, {"data": "", **settings}, source)
    if default.data == Path(""):
        default = replace(default, data=tyro.MISSING)
    parsed = tyro.cli(NerfConfig, prog="neufield nerf", args=rest, default=default)
    return replace(parsed, seconds=None) if parsed.steps is not None and "--seconds" not in rest else parsed


def _take(arguments: list[str], option: str, default: str) -> str:
    """The value of an option, looked up before the whole line is parsed."""
    for index, argument in enumerate(arguments):
        if argument == option and index + 1 < len(arguments):
            return arguments[index + 1]
        if argument.startswith(f"{option}="):
            return argument.split("=", 1)[1]
    return default


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
