"""`neufield bench nerf`: a whole training step of every backend, side by side in one run."""

import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ..configs.nerf_config import NerfConfig
from ..configs.run_options import Backend
from .bench_rows import Row
from .device import quiet_torch_threads
from .fitting import Fitter
from .nerf import NerfTask, fit_settings, resolved
from .nerf_run import load_scene
from .progress import Progress
from .run_folder import RunFolder


def bench_nerf(config: NerfConfig, *, warm_up_steps: int = 300, repeats: int = 7, progress: Progress) -> list[Row]:
    """Times a whole training step of every backend that runs on this CPU, from the same half-trained state.

    Args:
        config: Settings of the run; `data` may be the built-in scene.
        warm_up_steps: Steps of the fast backend before the clock starts, so that the occupancy grid has taken shape.
        repeats: Timed steps per backend; they alternate, and the median counts.
        progress: Told what happens.
    """
    device, threads = torch.device("cpu"), torch.get_num_threads()
    scene = load_scene(config)
    with TemporaryDirectory() as folder, quiet_torch_threads(device):
        run = RunFolder(Path(folder))
        fitters: dict[Backend, Fitter] = {}
        for backend in ("numba", "reference"):
            settings = replace(_settled(resolved(config, scene)), backend=backend, steps=10_000, seconds=None)
            fitters[backend] = Fitter(
                NerfTask(settings, scene, device), fit_settings(settings), run, Progress(quiet=True)
            )
        fitters["numba"].warm_up()
        progress.say(f"{warm_up_steps} steps with numba, so that the scene takes shape.")
        for _ in range(warm_up_steps):
            fitters["numba"].one_step()
        fitters["numba"].save()
        fitters["reference"].resume()
        progress.say(f"{repeats} steps of each backend in turn.")
        times: dict[str, list[float]] = {backend: [] for backend in fitters}
        for _ in range(repeats):
            for backend, fitter in fitters.items():
                times[backend].append(_seconds(fitter.one_step, threads=threads if backend == "reference" else 1))
    return _rows(times)


def _settled(config: NerfConfig) -> NerfConfig:
    """With all levels open and short samples from the start: the step that fills most of a training."""
    optimizer, sampling = replace(config.optimizer, opening=0), replace(config.sampling, coarse_start=1.0)
    return replace(config, optimizer=optimizer, sampling=sampling)


def _seconds(step: Callable[[], Any], *, threads: int) -> float:
    """What a call takes while torch has this many threads: the reference has them all."""
    torch.set_num_threads(threads)
    start = time.perf_counter()
    step()
    seconds = time.perf_counter() - start
    torch.set_num_threads(1)
    return seconds


def _rows(times: dict[str, list[float]]) -> list[Row]:
    fast, slow = statistics.median(times["numba"]), statistics.median(times["reference"])
    return [
        Row("training step, numba", fast * 1e3, "ms", "reference", slow / fast),
        Row("training step, reference", slow * 1e3, "ms"),
    ]
