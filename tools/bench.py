"""`neufield bench`: backends side by side in one run, as ratios."""

import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ..configs.nerf_config import NerfConfig
from ..configs.run_options import Backend
from .device import quiet_torch_threads
from .fitting import Fitter
from .nerf import NerfTask, fit_settings
from .nerf_report import versions
from .nerf_run import load_scene
from .progress import Progress
from .run_folder import RunFolder
from .whole_file import whole_file


@dataclass(frozen=True)
class Row:
    """One measurement, and how many times as good it is as another one of the same run."""

    name: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None


def bench_nerf(config: NerfConfig, *, warm_up_steps: int = 300, repeats: int = 7, progress: Progress) -> list[Row]:
    """Times a whole training step of every backend that runs on this CPU, from the same half-trained state.

    Args:
        config: Settings of the run; `data` may be the built-in scene.
        warm_up_steps: Steps of the fast backend before the clock starts, so that the occupancy grid has taken shape.
        repeats: Timed steps per backend; they alternate, and the median counts.
        progress: Told what happens.
    """
    device = torch.device("cpu")
    scene = load_scene(config)
    trainers: dict[Backend, Fitter] = {}
    for backend in ("numba", "reference"):
        settings = replace(config, backend=backend, steps=10_000)
        task = NerfTask(settings, scene, device)
        trainers[backend] = Fitter(task, fit_settings(settings), RunFolder(Path("unused")), Progress(quiet=True))
    fast, slow = trainers["numba"], trainers["reference"]
    fast.task.warm_up()
    progress.say(f"{warm_up_steps} steps with numba, so that the scene takes shape.")
    with quiet_torch_threads(device):
        for _ in range(warm_up_steps):
            fast.one_step()
    slow.task.module.load_state_dict(fast.task.module.state_dict())
    slow.step = fast.step
    slow.task.restore(fast.task.facts())
    progress.say(f"{repeats} steps of each backend in turn.")
    times: dict[str, list[float]] = {"numba": [], "reference": []}
    samples: dict[str, list[int]] = {"numba": [], "reference": []}
    for _ in range(repeats):
        for backend, trainer in trainers.items():
            assert isinstance(trainer.task, NerfTask)
            before = trainer.task.samples_kept
            times[backend].append(_seconds(trainer.one_step, quiet=backend == "numba"))
            samples[backend].append(trainer.task.samples_kept - before)
    return _rows(times, samples)


def _seconds(step: Callable[[], Any], *, quiet: bool) -> float:
    """What a call takes; the reference has all of torch's threads."""
    if not quiet:
        start = time.perf_counter()
        step()
        return time.perf_counter() - start
    with quiet_torch_threads(torch.device("cpu")):
        return _seconds(step, quiet=False)


def _rows(times: dict[str, list[float]], samples: dict[str, list[int]]) -> list[Row]:
    median = {backend: statistics.median(values) for backend, values in times.items()}
    rate = {backend: sum(samples[backend]) / sum(times[backend]) for backend in times}
    return [
        Row("training step, reference", median["reference"] * 1e3, "ms"),
        Row("training step, numba", median["numba"] * 1e3, "ms", "reference", median["reference"] / median["numba"]),
        Row("samples with gradients, reference", rate["reference"] / 1e6, "M/s"),
        Row(
            "samples with gradients, numba", rate["numba"] / 1e6, "M/s", "reference", rate["numba"] / rate["reference"]
        ),
    ]


def table(rows: list[Row]) -> str:
    """The rows as lines of text."""
    lines = [f"{'what':<36}{'median':>12}  {'':<6}{'against':<12}{'times as fast':>14}"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}"
        lines.append(f"{row.name:<36}{row.value:>12.2f}  {row.unit:<6}{row.against:<12}{ratio:>14}")
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """The most telling ratio, in one line."""
    row = next(row for row in rows if row.ratio is not None)
    return f"{row.name} takes {row.value:.1f} {row.unit}: {row.ratio:.1f} times as fast as {row.against}."


def write_json(path: Path, rows: list[Row]) -> None:
    """Writes the rows with the machine they were measured on."""
    machine = {"processor": platform.processor() or platform.machine(), "cores": torch.get_num_threads(), **versions()}
    content = {"machine": machine, "rows": [row.__dict__ for row in rows]}
    with whole_file(path) as aside:
        aside.write_text(json.dumps(content, indent=1), encoding="utf-8")
