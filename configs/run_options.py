"""What every command that trains takes: where the run goes, how long it lasts, what it runs on."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pydantic
import tyro

Backend = Literal["auto", "reference", "numba", "triton"]
Positional = tyro.conf.Positional


def _on_or_off(value: Any) -> Any:
    """YAML reads a bare `on` or `off` as true or false."""
    return ("on" if value else "off") if isinstance(value, bool) else value


Switch = Annotated[Literal["on", "off"], pydantic.BeforeValidator(_on_or_off)]


def require_positive(settings: Any, *names: str, group: str = "") -> None:
    """Refuses settings that are given and not above 0.

    Args:
        settings: A config.
        names: Which of its settings; None stands for "not given".
        group: What stands before the setting's name on the command line, e.g. `sampling.`.

    Raises:
        ValueError: Names the setting and its value.
    """
    for name in names:
        value = getattr(settings, name)
        if value is not None and not value > 0:
            raise ValueError(f"--{group}{name.replace('_', '-')} must be positive, got {value}.")
        if value is not None and math.isinf(value):
            raise ValueError(f"--{group}{name.replace('_', '-')} must be finite, got {value}.")


def require_between(settings: Any, name: str, low: int | float, high: int | float, *, group: str = "") -> None:
    """Refuses a setting that is given and outside [low, high].

    Args:
        settings: A config.
        name: Which of its settings; None stands for "not given".
        low, high: Its limits, included.
        group: What stands before the setting's name on the command line, e.g. `sampling.`.

    Raises:
        ValueError: Names the setting, its limits and its value.
    """
    value = getattr(settings, name)
    if value is not None and not low <= value <= high:
        raise ValueError(f"--{group}{name.replace('_', '-')} takes {low} to {high}, got {value}.")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where the run goes, how long it lasts, what it runs on."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    runs: Path = Path("runs")
    """The folder that holds all runs."""
    name: str | None = None
    """The run's name, a folder in --runs; by default that of the data."""
    seconds: float | None = None
    """Train for this long. The learning rate's schedule is stretched to it."""
    steps: int | None = None
    """Train for this many steps instead. With it, the same seed gives the same weights, bit for bit."""
    seed: int = 0
    """Where all random numbers come from."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:1; auto takes the first CUDA device, else the CPU."""
    backend: Backend = "auto"
    """Which kernels run; auto takes the fastest that the device has."""
    memory: str | None = None
    """About how much memory training may take, e.g. 1GiB; scoring large photos takes more. Of photos that take more
    than a quarter of it, a random choice of pixels is kept, and drawn anew once as many were used. A picture that takes
    more than half of it lies on the disk."""
    checkpoint_seconds: float = 60.0
    """Write a checkpoint this often, in seconds of training."""
    force: bool = False
    """Replace a run of the same name."""
    quiet: bool = False
    """Print the result only."""

    def __post_init__(self) -> None:
        require_positive(self, "seconds", "steps", "checkpoint_seconds")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"--seed takes 0 to 4294967295, got {self.seed}.")
