"""What every command that trains takes: where the run goes, how long it lasts, what it runs on."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import tyro

Backend = Literal["auto", "reference", "numba", "triton"]


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
    """How much memory photos may take, e.g. 2GiB; more than that is read from a file on disk while training."""
    checkpoint_seconds: float = 60.0
    """Write a checkpoint this often, in seconds of training."""
    force: bool = False
    """Replace a run of the same name."""
    quiet: bool = False
    """Print the result only."""

    def __post_init__(self) -> None:
        for name in ("seconds", "steps", "checkpoint_seconds"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"--{name.replace('_', '-')} must be positive, got {value}.")


Positional = tyro.conf.Positional
Switch = Literal["on", "off"]
