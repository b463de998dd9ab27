"""`neufield bench nerf`: a training step of every backend side by side, what it consists of, and what a run gets."""

import cProfile
import json
import pstats
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ...configs.nerf_config import NerfConfig
from ...configs.run_options import Backend
from ...datasets import PosedScene
from ...fields.kernels import dispatch
from ...fields.kernels.dispatch import timed_kernels
from ..device import compiling_told, quiet_torch_threads
from ..fitting import Fitter
from ..nerf.model import RadianceModel
from ..nerf.run import load_scene, open_model, read_config
from ..nerf.run import start as start_run
from ..nerf.scene_file import as_trained
from ..nerf.task import NerfTask, fit_settings, resolved
from ..progress import Progress
from ..run_folder import RunFolder
from .rows import Row

_TIMED_STEPS = 50
_RUN = "bench"
_PARTS = {
    "hash grid forward": ("hash_grid forward",),
    "hash grid backward": ("hash_grid backward",),
    "networks forward": ("mlp forward",),
    "networks backward": ("mlp backward",),
    "optimiser": ("adam step",),
    "march": ("march advance", "march merge", "march survey", "march going_on", "composite thin"),
    "compositing": ("composite forward", "composite backward"),
    "occupancy": ("occupancy observe", "occupancy cells_of", "occupancy pack", "occupancy spread"),
}
_FRAME_SIDES = (400, 800)
_FRAME_VIEWS = 3


def bench_nerf(config: NerfConfig, *, warm_up_steps: int = 300, repeats: int = 7, progress: Progress) -> list[Row]:
    """Times a whole training step of every backend that runs on this CPU, from the same half-trained state.

    Args:
        config: Settings of the run; `data` may be the built-in scene. With `seconds`, a run is trained for so long as
            well, scored on its held-out photos, and frames of it are timed.
        warm_up_steps: Steps of the fast backend before the clock starts, so that the occupancy grid has taken shape.
        repeats: Timed steps per backend; they alternate, and the median counts.
        progress: Told what happens.
    """
    scene = load_scene(config)
    with TemporaryDirectory() as folder:
        rows = _step_rows(config, scene, RunFolder(Path(folder)), warm_up_steps, repeats, progress)
        if config.seconds is not None:
            progress.say(f"Training for {config.seconds:g} s.")
            rows += _run_rows(replace(config, runs=Path(folder), name=_RUN, device="cpu", quiet=True), progress)
    return rows


def _step_rows(
    config: NerfConfig, scene: PosedScene, run: RunFolder, warm_up_steps: int, repeats: int, progress: Progress
) -> list[Row]:
    device, threads = torch.device("cpu"), torch.get_num_threads()
    with quiet_torch_threads(device), compiling_told(progress):
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
        return [*_rows(times), *_part_rows(fitters["numba"])]


def _part_rows(fitter: Fitter) -> list[Row]:
    """What a step consists of, largest first."""
    seconds, whole = _timed_steps(fitter)
    shares = {part: sum(seconds[name] for name in names) / whole for part, names in _PARTS.items()}
    kernels = sum(seconds.values()) / whole
    profile = cProfile.Profile()
    with profile:
        profiled, whole = _timed_steps(fitter)
    # A share of what lies between kernels in that pass: the machine may have changed its speed since the first one.
    inside = sum(profiled.values())
    python = (1.0 - kernels) * min(max(_python_seconds(profile) - inside, 0.0) / (whole - inside), 1.0)
    shares |= {
        "other kernels": kernels - sum(shares.values()),
        "Python between kernels": python,
        "torch operators between kernels": 1.0 - kernels - python,
    }
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    return [Row(f"part of a step: {part}", 100.0 * share, "%") for part, share in ordered]


def _timed_steps(fitter: Fitter) -> tuple[dict[str, float], float]:
    """Seconds in each kernel over some steps, and in all."""
    start = time.perf_counter()
    with timed_kernels() as seconds:
        for _ in range(_TIMED_STEPS):
            fitter.one_step()
    return seconds, time.perf_counter() - start


def _python_seconds(profile: cProfile.Profile) -> float:
    """Time in Python functions and in compiled kernels, which the profiler takes for such, but in no other C function.

    Operators such as `a > b` on tensors count as Python here, and so does the profiler's own work: an upper bound.
    """
    measuring = Path(dispatch.__file__).name, "timed"
    rows = pstats.Stats(profile).stats.items()  # pyright: ignore[reportAttributeAccessIssue]
    own = ((Path(file).name, name, row[2]) for (file, _, name), row in rows if file != "~")
    return sum(seconds for file, name, seconds in own if (file, name) != measuring)


def _run_rows(config: NerfConfig, progress: Progress) -> list[Row]:
    """A run's held-out PSNR while it trained and at its end, and what frames cost afterwards."""
    start_run(config)
    run = RunFolder.open(config.runs / _RUN)
    settings, rows = read_config(run), []
    for line in run.read_metrics():
        if "scores" in line:
            name = f"held-out PSNR after {line['seconds']:.0f} s, {line['step']} steps"
            rows.append(Row(name, line["scores"]["psnr"], "dB"))
    content = json.loads(run.evaluation.read_text(encoding="utf-8"))
    protocol = content["protocol"]
    rows.append(Row(f"the same, all pixels of {len(content['views'])} views", content["mean"]["psnr"], "dB"))
    progress.say(f"Scored: {protocol['views']}; {protocol['resolution']}; {protocol['background']}.")
    model, scene = open_model(run, settings), as_trained(run, load_scene(settings))
    with quiet_torch_threads(torch.device("cpu")):
        return rows + [_frame_row(model, scene, side) for side in _FRAME_SIDES]


def _frame_row(model: RadianceModel, scene: PosedScene, side: int) -> Row:
    """The median time of a frame whose longer side is so many pixels, over a few views."""
    views = scene.test if len(scene.test) else scene.train
    chosen = torch.linspace(0, len(views) - 1, _FRAME_VIEWS).round().long()
    cameras = views.cameras[chosen]
    cameras = cameras.resized(side / cameras.sizes.amax(dim=1))
    renderer, black = model.renderer(), torch.zeros(3)
    times = [_seconds(lambda i=i: renderer.render_image(cameras, i, black), threads=1) for i in range(len(cameras))]
    width, height = (int(size) for size in cameras.sizes[0])
    return Row(f"frame of {width}x{height}", statistics.median(times), "s")


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
