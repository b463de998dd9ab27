"""The life of a NeRF run: started, resumed, opened again, evaluated, reported."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from ...configs.loading import build, read_task_settings
from ...configs.nerf_config import NerfConfig
from ...configs.run_options import Backend
from ...datasets import PosedScene, load_posed_scene, synthetic_scene
from ..checkpoint import load_averaged
from ..device import choose_device, compiling_told, quiet_torch_threads
from ..errors import RunError
from ..fitting import Fitter
from ..memory_size import parse_bytes
from ..progress import Progress
from ..report import write_report
from ..run_folder import RunFolder
from ..run_life import Finish, begin, config_text, go_on, require_resumable
from .comparison import Comparison, compare
from .evaluation import Evaluation, evaluate, write_evaluation
from .model import RadianceModel
from .nerf_report import report_content
from .path_video import write_path_video
from .refined_cameras import write_refined_cameras
from .scene_file import as_trained, read_scene, write_scene
from .task import REFINED_FROM, NerfTask, fit_settings, resolved

_PHOTOS_SHARE = 4  # of --memory; the program itself, the field and pictures being scored take the rest
BUILT_IN = Path("built-in")
"""As the data folder of a run: the scene that the program draws itself."""


def start(config: NerfConfig) -> str:
    """Trains a new run to its end, scores it and writes its report; returns the result in one line.

    What was there is touched only after the data, the device and the kernels were found to work.
    """
    progress = Progress(quiet=config.quiet)
    device = choose_device(config.device)
    name = config.name or ("demo" if config.data == BUILT_IN else config.data.resolve().name)
    run = RunFolder.planned(config.runs, name, force=config.force)
    scene = load_scene(config)
    config = replace(resolved(config, scene), name=run.name, force=False, data=_lasting(config.data))
    if config.against is not None:
        other = RunFolder.open(config.against)
        config = replace(config, against=config.against.resolve())
        _require_comparable(run, config, scene, other)
    for note in scene.notes:
        progress.say(f"Note: {note}")
    if config.refine_poses != "off" and config.steps is not None and config.steps <= REFINED_FROM:
        progress.say(f"Note: cameras are refined from step {REFINED_FROM} on; this run ends before it.")
    photos = f"{len(scene.train)} photos to train on, {len(scene.test)} held out"
    progress.say(f"{scene.name}: {photos} ({scene.split_rule}), {scene.format}.")
    with quiet_torch_threads(device), compiling_told(progress):
        task = NerfTask(config, scene, device)
        fitter = Fitter(task, fit_settings(config), run, progress)
        return begin(fitter, config_text("nerf", config), lambda: write_scene(run, scene), _finish(run, task, progress))


def resume(
    run: RunFolder,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    device: str | None = None,
    backend: Backend | None = None,
    quiet: bool = False,
) -> str:
    """Goes on with a run from its last checkpoint, to the end that it was given or to a later one.

    A run that has reached it and has its scores and its report is left as it is.

    Args:
        run: The run.
        seconds, steps: When the training ends now, in all; at most one of them.
        device, backend: Instead of what the run was started with.
        quiet: Say nothing before the result.

    Raises:
        ValueError: The run has more steps already, or its photos or settings have changed.
    """
    progress = Progress(quiet=quiet)
    config = read_config(run, device=device, backend=backend)
    if seconds is not None or steps is not None:
        config = replace(config, seconds=seconds, steps=steps)
    place = choose_device(config.device)
    require_resumable(run)
    scene = as_trained(run, load_scene(config))
    with quiet_torch_threads(place), compiling_told(progress):
        task = NerfTask(config, scene, place)
        fitter = Fitter(task, fit_settings(config), run, progress)
        return go_on(fitter, config_text("nerf", config), _finish(run, task, progress))


def _lasting(data: Path) -> Path:
    """The data folder as it can be found from anywhere."""
    return data if data == BUILT_IN else data.resolve()


def evaluate_run(
    run: RunFolder,
    *,
    against: Path | None = None,
    device: str | None = None,
    backend: Backend | None = None,
    quiet: bool = False,
) -> str:
    """Scores a run again from its checkpoint and writes its numbers and report anew; returns the result in one line."""
    config = read_config(run, device=device, backend=backend)
    if against is not None:
        config = replace(config, against=against.resolve())
    if against is not None:
        RunFolder.open(against)
    require_resumable(run)
    progress = Progress(quiet=quiet)
    with quiet_torch_threads(choose_device(config.device)), compiling_told(progress):
        task, facts = open_task(run, config)
        return _finish(run, task, progress)(facts["seconds"], None)


def _finish(run: RunFolder, task: NerfTask, progress: Progress) -> Finish:
    """What a run ends with, in training or out of it."""

    def finish(seconds: float, warm_up_seconds: float | None) -> str:
        progress.say("Scoring the held-out photos.")
        return _report(run, task, evaluate(task, progress), progress, seconds, warm_up_seconds)

    return finish


def _report(
    run: RunFolder,
    task: NerfTask,
    evaluation: Evaluation,
    progress: Progress,
    seconds: float,
    warm_up_seconds: float | None,
) -> str:
    config = task.config
    content = write_evaluation(run, evaluation, training_seconds=seconds)
    comparison = None
    if config.against is not None:
        try:
            comparison = compare_runs(run, config, evaluation, RunFolder.open(config.against), progress)
        except ValueError as error:  # the other run was moved or changed meanwhile: this one's report is still due
            progress.say(f"Not compared: {error}")
    if config.turntable == "on":
        progress.say("Rendering the turntable.")
        write_path_video(
            run.outputs / "turntable.mp4",
            task.model,
            task.model.trained_cameras(task.cameras),
            path="turntable",
            background=config.background,
            progress=progress,
        )
    if note := write_refined_cameras(run, task):
        progress.say(f"Note: {note}.")
    write_report(run.report, report_content(run, task, evaluation, content, comparison, warm_up_seconds))
    told: list[str] = []
    if evaluation.views:
        scores = f"held-out PSNR {content['mean']['psnr']:.2f} dB, SSIM {content['mean']['ssim']:.3f}"
        if "depth_error" in content["mean"]:
            scores += f", depth error {content['mean']['depth_error']:.3g} in units of the poses"
        ground = "no background" if config.background == "none" else f"{config.background} background"
        views = f"{len(evaluation.views)} views at {evaluation.protocol['resolution']}, {ground}"
        told.append(f"{run.name}: {scores} ({views}) after {seconds:.0f} s of training.")
    if evaluation.moved is not None:
        moved = evaluation.moved
        told.append(f"Cameras turned by {moved.degrees:.3f} degrees and shifted by {moved.distance:.4g} (medians).")
    if comparison is not None:
        gain, crop_gain = (pair[0] - pair[1] for pair in (comparison.psnr, comparison.crop_psnr))
        told.append(
            f"{comparison.names[0]} is {gain:+.2f} dB against {comparison.names[1]} "
            f"({crop_gain:+.2f} dB in the crop where they differ most)."
        )
        told += [comparison.caveat] if comparison.caveat else []
    return " ".join([*told, f"The report is {run.report}."])


def compare_runs(
    run: RunFolder, config: NerfConfig, evaluation: Evaluation, other: RunFolder, progress: Progress
) -> Comparison:
    """Renders another run's held-out views, where this run's settings say, and compares them with this one's."""
    there = read_config(other, device=config.device, backend=config.backend)
    task, _ = open_task(other, there)
    progress.say(f"Scoring {other.name}, to compare with it.")
    comparison = compare((run.name, other.name), evaluation.views, evaluate(task, progress).views)
    aligned = [name for name, each in ((run.name, config), (other.name, there)) if each.refine_poses != "off"]
    if len(aligned) != 1:
        return comparison
    caveat = f"Only {aligned[0]} had its held-out cameras aligned with their photos, which is part of the difference."
    return replace(comparison, caveat=caveat)


def _require_comparable(run: RunFolder, config: NerfConfig, scene: PosedScene, other: RunFolder) -> None:
    """Finds out before the training what would spoil the comparison after it."""
    if other.path.resolve() == run.path.resolve():
        raise RunError(f"{other.path} cannot be compared with the run that replaces it; choose another --name.")
    there = read_config(other)
    if read_scene(other).names[1] != scene.test.names:
        raise RunError(f"{other.path} holds out other photos than {config.data} does; compare runs on the same data.")
    if there.downscale != config.downscale:
        raise RunError(
            f"{other.path} reads photos at 1/{there.downscale} of their size, this run would at 1/{config.downscale}; "
            "give both the same --downscale."
        )
    if scene.background == "alpha" and there.background != config.background:
        raise RunError(
            f"{other.path} was scored with --background {there.background}, this run would be with "
            f"--background {config.background}; give both the same."
        )
    if not other.checkpoint.is_file():
        raise RunError(f"{other.path} has no checkpoint yet; wait for it if it is being trained, else train it again.")


def read_config(run: RunFolder, *, device: str | None = None, backend: Backend | None = None) -> NerfConfig:
    """The settings of a run, with another device or backend where one is given.

    Raises:
        ConfigError: Its config.yaml does not fit, or is of another task.
    """
    config = build(NerfConfig, read_task_settings(run.config, "nerf"), str(run.config))
    return replace(config, device=device or config.device, backend=backend or config.backend)


def load_scene(config: NerfConfig) -> PosedScene:
    """The photos of a run, or the built-in scene."""
    if config.data == BUILT_IN:
        return synthetic_scene(seed=0)
    return load_posed_scene(
        config.data,
        memory_bytes=None if config.memory is None else parse_bytes(config.memory) // _PHOTOS_SHARE,
        holdout_every=config.holdout_every,
        downscale=config.downscale,
    )


def open_task(run: RunFolder, config: NerfConfig) -> tuple[NerfTask, dict[str, Any]]:
    """A finished or stopped run's task with its averaged weights, and its checkpoint's facts."""
    device = choose_device(config.device)
    scene = as_trained(run, load_scene(config))
    task = NerfTask(config, scene, device)
    return task, load_averaged(run.checkpoint, task.model)


def open_model(run: RunFolder, config: NerfConfig) -> RadianceModel:
    """A run's model with its averaged weights; the photos are not needed."""
    scene = read_scene(run)
    model = RadianceModel(config, extent=scene.extent, near=scene.near, cameras=scene.cameras).to(
        choose_device(config.device)
    )
    load_averaged(run.checkpoint, model)
    return model
