"""Settings of a training from a command line: presets, a file, and options, the later ones winning."""

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar, get_args

import tyro

from ..configs.image_config import ImageConfig
from ..configs.loading import ConfigError, build, merge, read_preset, read_task_settings
from ..configs.nerf_config import NerfConfig, Preset
from ..configs.run_options import RunOptions
from ..configs.surface_config import SurfaceConfig
from ..configs.video_config import VideoConfig

Trained = TypeVar("Trained", bound=RunOptions)


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
    if any(_value_of(rest, option) for option in ("--field", "--parameters", "--bits-per-pixel", "--compress")):
        # The file has what followed from another field or size.
        optimizer = {key: value for key, value in changes.get("optimizer", {}).items() if key not in ("rate", "batch")}
        left = ["grid", "network", "parameters", "bits_per_pixel"]
        left += ["field"] if _value_of(rest, "--compress") else []
        changes = {**{key: value for key, value in changes.items() if key not in left}, "optimizer": optimizer}
    settings = {"seconds": _IMAGE_SECONDS}
    return _parsed(ImageConfig, "picture", settings, changes, rest, source or "", "neufield image", _IMAGE)


def parse_video(arguments: list[str]) -> VideoConfig:
    """The settings of `neufield video`: defaults, then --config, then every other option; raises as `parse_nerf`."""
    rest, source, changes = _from_file(arguments, "video")
    settings = {"seconds": _VIDEO_SECONDS}
    return _parsed(VideoConfig, "clip", settings, changes, rest, source or "", "neufield video", _VIDEO)


def parse_surface(arguments: list[str]) -> SurfaceConfig:
    """The settings of `neufield surface`: defaults, then --config, then every other option; raises as `parse_nerf`."""
    rest, source, changes = _from_file(arguments, "surface")
    method = _value_of(rest, "--method") or changes.get("method", "patches")
    if changes.get("method", method) != method:  # the file has the end of another method's training, or none
        changes = {key: value for key, value in changes.items() if key not in ("method", "seconds", "steps")}
    trained = method == "implicit"
    settings = {"method": method, "seconds": _SURFACE_SECONDS} if trained else {}
    program = "neufield surface"
    return _parsed(SurfaceConfig, "cloud", settings, changes, rest, source or "", program, _SURFACE, trained=trained)


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
    *,
    trained: bool = True,
) -> Trained:
    """The settings of a command: `settings`, then `changes`, then the command line's, which must name the data.

    Only what is trained has an end that must be said."""
    if changes.get("steps") is not None:
        settings = {**settings, "seconds": None}
    default = build(kind, {data: "", **merge(settings, changes)}, source)
    if data not in changes:
        object.__setattr__(default, data, tyro.MISSING)  # no path, and not to be checked as one: only tyro sees it
    parsed = tyro.cli(kind, prog=program, args=arguments, default=default, description=description)
    return with_one_end(parsed, arguments) if trained else parsed


_NERF = """Trains a NeRF on a folder of posed photos.

--config FILE takes settings from a YAML file; the config.yaml of a run repeats it. Options on the command line win over
the file, and the file wins over the preset."""
_IMAGE = """Fits a picture as a field that can be drawn at any resolution.

--config FILE takes settings from a YAML file; the config.yaml of a run repeats it. Options on the command line win over
the file; --field, --parameters, --bits-per-pixel and --compress leave its whole field out."""
_IMAGE_SECONDS = 60.0
_VIDEO = """Fits a clip as a field over place and time, which can be drawn at any size and at any time between frames.

--config FILE takes settings from a YAML file; the config.yaml of a run repeats it. Options on the command line win over
the file."""
_VIDEO_SECONDS = 60.0
_SURFACE = """Reconstructs the surface that a point cloud was taken from, as a mesh in the cloud's coordinates.

--config FILE takes settings from a YAML file; the config.yaml of a run repeats it. Options on the command line win over
the file."""
_SURFACE_SECONDS = 120.0
TWO_ENDS = "Give either --seconds or --steps: each says when the training ends."


def with_one_end(options: Trained, arguments: list[str]) -> Trained:
    """The options with one end of the training: the one on the command line, where there is one."""
    given = {name for name in ("seconds", "steps") if _value_of(arguments, f"--{name}") not in (None, "None")}
    if len(given) == 2:
        raise ValueError(TWO_ENDS)
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
