"""From YAML to a checked config and back: presets beside this file, and the config.yaml of a run."""

from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

Config = TypeVar("Config")


class ConfigError(ValueError):
    """A configuration file does not say what it should."""


def read_preset(task: str, preset: str) -> dict[str, Any]:
    """The settings of a preset, e.g. `read_preset("nerf", "quick")`; only what it changes."""
    return read_yaml(Path(__file__).parent / task / f"{preset}.yaml")


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a mapping of settings.

    Raises:
        ConfigError: The file is missing, is no YAML, or holds something else than a mapping.
    """
    import yaml

    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"The configuration {path} cannot be read: {error.strerror}.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"The configuration {path} is not valid YAML: {' '.join(str(error).split())}.") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"The configuration {path} must be a mapping of settings, found {type(content).__name__}.")
    return content


def read_task_settings(path: Path, task: str) -> dict[str, Any]:
    """The settings in a file that a run or a user wrote, less its key `task`.

    Raises:
        ConfigError: As `read_yaml`, or the file is of another task.
    """
    settings = read_yaml(path)
    found = settings.pop("task", task)
    if found != task:
        raise ConfigError(f"{path} is of `neufield {found}`, not of `neufield {task}`.")
    return settings


def merge(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """`base` with the settings of `change`, groups merged setting by setting."""
    merged = dict(base)
    for key, value in change.items():
        nested = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


def build(kind: type[Config], settings: dict[str, Any], source: str) -> Config:
    """Makes a config of settings; unknown keys and values of the wrong kind are refused.

    Args:
        kind: A config's dataclass.
        settings: As read from YAML.
        source: Where they come from, for the message.

    Raises:
        ConfigError: Names the key, what was expected and what was found.
    """
    import pydantic

    try:
        return pydantic.TypeAdapter(kind).validate_python(settings)
    except pydantic.ValidationError as error:
        faults = "; ".join(_told(fault) for fault in error.errors())
        raise ConfigError(f"The settings in {source} do not fit. {faults}.") from None


def _told(fault: Any) -> str:
    """One of pydantic's faults in words: which setting, what was expected, what was found."""
    setting = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "unexpected_keyword_argument":
        return f"{setting}: there is no such setting"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"]).rstrip(".")
    return f"{setting or 'settings'}: {fault['msg']}, found {fault['input']!r:.60}"


def to_yaml(config: Any) -> str:
    """A config as YAML, every setting in its declared order; `build` reads it back."""
    import yaml

    return yaml.safe_dump(_plain(asdict(config)), sort_keys=False)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return str(value) if isinstance(value, Path) else value
