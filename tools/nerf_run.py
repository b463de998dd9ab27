"""The life of a NeRF run: started, resumed, opened again, evaluated, reported."""

from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ..configs.loading import build, read_yaml, to_yaml
from ..configs.nerf_config import NerfConfig
from ..datasets import PosedScene, load_posed_scene, synthetic_scene
from .checkpoint import load_checkpoint, load_into
from .comparison import Comparison, compare
from .device import choose_device, quiet_torch_threads
from .errors import RunError
from .evaluate import Evaluation, evaluate, write_evaluation
from .fitting import Fitter
from .memory_size import parse_bytes
from .nerf import NerfTask, fit_settings, resolved
from .nerf_report import report_content
from .progress import Progress
from .radiance_model import RadianceModel
from .report import write_report
from .run_folder import RunFolder
from .scene_file import read_scene, write_scene

BUILT_IN = Path("built-in")
"""As the data folder of a run: the scene that the program draws itself."""


def start(config: NerfConfig) -> str:
    """Trains a new run to its end, scores it and writes its report; returns the result in one line."""
    progress = Progress(quiet=config.quiet)
    scene = load_scene(config)
    config = resolved(config, scene)
    run = RunFolder.create(config.runs, config.name or scene.name, force=config.force)
    run.write_text(run.config, "task: nerf\n" + to_yaml(replace(config, name=run.path.name, force=False)))
    write_scene(run, scene)
    for note in scene.notes:
        progress.say(f"Note: {note}")
    progress.say(
        f"{scene.name}: {len(scene.train)} photos to train on, {len(scene.test)} held out ({scene.split_rule}), {scene.format}."
    )
    return _train(run, config, scene, progress, resume=False)


def resume(run: RunFolder, *, quiet: bool = False, seconds: float | None = None, steps: int | None = None) -> str:
    """Goes on with a run from its last checkpoint, to the end that it was given or to a later one."""
    config = read_config(run)
    if seconds is not None or steps is not None:
        config = replace(config, seconds=seconds, steps=steps)
        run.write_text(run.config, "task: nerf\n" + to_yaml(config))
    return _train(run, config, load_scene(config), Progress(quiet=quiet), resume=True)


def _train(run: RunFolder, config: NerfConfig, scene: PosedScene, progress: Progress, *, resume: bool) -> str:
    device = choose_device(config.device)
    with quiet_torch_threads(device):
        task = NerfTask(config, scene, device)
        fitter = Fitter(task, fit_settings(config), run, progress)
        if resume:
            fitter.resume()
            progress.say(f"Resumed at step {fitter.step}, {fitter.seconds:.0f} s.")
        if not fitter.fit():
            return f"Stopped at step {fitter.step}; go on with `neufield resume {run.path}`."
        progress.say("Scoring the held-out photos.")
        with fitter.average.applied():
            evaluation = evaluate(task)
        return _finish(run, task, evaluation, seconds=fitter.seconds, warm_up_seconds=fitter.warm_up_seconds)


def evaluate_run(run: RunFolder, *, against: Path | None = None) -> str:
    """Scores a run again from its checkpoint and writes its numbers and report anew; returns the result in one line."""
    config = read_config(run)
    if against is not None:
        config = replace(config, against=against)
    task, facts = open_task(run, config)
    with quiet_torch_threads(task.device):
        evaluation = evaluate(task)
        return _finish(run, task, evaluation, seconds=facts["seconds"], warm_up_seconds=None)


def _finish(
    run: RunFolder, task: NerfTask, evaluation: Evaluation, *, seconds: float, warm_up_seconds: float | None
) -> str:
    against = task.config.against
    comparison = None if against is None else compare_runs(run, evaluation, RunFolder.open(against))
    content = write_evaluation(run, evaluation, training_seconds=seconds)
    write_report(run.report, report_content(run, task, evaluation, content, comparison, warm_up_seconds))
    result = f"The report is {run.report}."
    if comparison is not None:
        gain = comparison.psnr[0] - comparison.psnr[1]
        where = comparison.crop_psnr[0] - comparison.crop_psnr[1]
        result = (
            f"{comparison.names[0]} is {gain:+.2f} dB against {comparison.names[1]} "
            f"({where:+.2f} dB in the crop where they differ most). " + result
        )
    if evaluation.views:
        scores = f"held-out PSNR {content['mean']['psnr']:.2f} dB, SSIM {content['mean']['ssim']:.3f}"
        ground = "no background" if task.config.background == "none" else f"{task.config.background} background"
        where = f"{len(evaluation.views)} views at {evaluation.protocol['resolution']}, {ground}"
        result = f"{run.path.name}: {scores} ({where}) after {seconds:.0f} s of training. {result}"
    return result


def compare_runs(run: RunFolder, evaluation: Evaluation, other: RunFolder) -> Comparison:
    """Renders another run's held-out views and compares them with this one's."""
    task, _ = open_task(other, read_config(other))
    return compare((run.path.name, other.path.name), evaluation.views, evaluate(task).views)


def read_config(run: RunFolder) -> NerfConfig:
    """The settings of a run.

    Raises:
        RunError: The run is of another task.
        ConfigError: Its config.yaml does not fit.
    """
    settings = read_yaml(run.config)
    task = settings.pop("task", "nerf")
    if task != "nerf":
        raise RunError(f"{run.path} is a run of `neufield {task}`, not of `neufield nerf`.")
    return build(NerfConfig, settings, str(run.config))


def load_scene(config: NerfConfig) -> PosedScene:
    """The photos of a run, or the built-in scene."""
    if config.data == BUILT_IN:
        return synthetic_scene(seed=0)
    return load_posed_scene(
        config.data,
        memory_bytes=None if config.memory is None else parse_bytes(config.memory),
        holdout_every=config.holdout_every,
        downscale=config.downscale,
    )


def open_task(run: RunFolder, config: NerfConfig) -> tuple[NerfTask, dict[str, Any]]:
    """A finished or stopped run's task with its averaged weights, and its checkpoint's facts."""
    task = NerfTask(config, load_scene(config), choose_device(config.device))
    return task, _load_averaged(run, task.model)


def open_model(run: RunFolder, config: NerfConfig) -> RadianceModel:
    """A run's model with its averaged weights; the photos are not needed."""
    scene = read_scene(run)
    model = RadianceModel(config, extent=scene.extent, near=scene.near).to(choose_device(config.device))
    _load_averaged(run, model)
    return model


def _load_averaged(run: RunFolder, model: RadianceModel) -> dict[str, Any]:
    checkpoint = load_checkpoint(run.checkpoint)
    load_into(model.state_dict(), checkpoint.tensors, "model.", run.checkpoint)
    averaged = {name: tensor for name, tensor in model.named_parameters() if f"average.{name}" in checkpoint.tensors}
    load_into({name: tensor.data for name, tensor in averaged.items()}, checkpoint.tensors, "average.", run.checkpoint)
    return checkpoint.facts


def versions() -> dict[str, str]:
    """Versions of what computed a run, for its report."""
    return {name: version(name) for name in ("neufield", "torch", "numba", "numpy")}
