"""The life of a run that fits a clip: started, resumed, opened again, evaluated, reported."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...configs.loading import build, read_task_settings, to_yaml
from ...configs.run_options import Backend
from ...configs.video_config import VideoConfig
from ...datasets import Clip, load_clip
from ..checkpoint import load_averaged
from ..device import choose_device, compiling_told, quiet_torch_threads
from ..errors import RunError
from ..fitting import Fitter
from ..memory_size import parse_bytes
from ..peak_memory import peak_of_run
from ..progress import Progress
from ..report import ReportContent, ReportView, write_report
from ..report_parts import curve_of, series_of, timings_of, versions
from ..run_folder import RunFolder
from ..run_life import Finish, begin, config_text, go_on, longer_by, require_resumable
from ..video_files import write_video
from .clip_facts import ClipFacts, read_facts, read_frames, write_facts, write_frames
from .drawing import drawn_frames
from .evaluation import VideoEvaluation, evaluate_video
from .model import VideoModel
from .task import VideoTask, fit_settings, resolved

_CLIP_SHARE = 4  # of --memory; the frames' smaller copies, the field and the program take the rest
_EMBEDDED_BYTES = 2 << 20  # of a video in the report


def start(config: VideoConfig) -> str:
    """Fits a clip in a new run to its end, scores it and writes its report; returns the result in one line.

    What was there is touched only after the clip, the device and the kernels were found to work.
    """
    progress = Progress(quiet=config.quiet)
    device = choose_device(config.device)
    run = RunFolder.planned(config.runs, config.name or config.clip.stem, force=config.force)
    clip = _load(config)
    config = resolved(config, ClipFacts.of(clip))
    config = replace(config, name=run.name, force=False, clip=config.clip.resolve(), fps=clip.fps)
    with quiet_torch_threads(device), compiling_told(progress):
        task = VideoTask(config, clip, device)
        for note in task.notes:
            progress.say(f"Note: {config.clip.name}: {note}.")
        progress.say(described(task))
        fitter = Fitter(task, fit_settings(config), run, progress)
        return begin(fitter, config_text("video", config), lambda: _write_data(run, task), _finish(run, task, progress))


def resume(
    run: RunFolder,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    device: str | None = None,
    backend: Backend | None = None,
    quiet: bool = False,
) -> str:
    """Goes on with a run from its last checkpoint, to the end that it was given or to a later one; see `nerf.run`."""
    progress = Progress(quiet=quiet)
    config = read_config(run, device=device, backend=backend)
    if seconds is not None or steps is not None:
        config = replace(config, seconds=seconds, steps=steps)
    place = choose_device(config.device)
    require_resumable(run)
    clip = _as_fitted(run, _load(config))
    with quiet_torch_threads(place), compiling_told(progress):
        task = VideoTask(config, clip, place)
        fitter = Fitter(task, fit_settings(config), run, progress)
        return go_on(fitter, config_text("video", config), _finish(run, task, progress))


def evaluate_run(
    run: RunFolder, *, device: str | None = None, backend: Backend | None = None, quiet: bool = False
) -> str:
    """Scores a run again from its checkpoint and writes its numbers and report anew; returns the result in one line."""
    config = read_config(run, device=device, backend=backend)
    place = choose_device(config.device)
    require_resumable(run)
    clip = _as_fitted(run, _load(config))
    progress = Progress(quiet=quiet)
    with quiet_torch_threads(place), compiling_told(progress):
        task = VideoTask(config, clip, place)
        facts = load_averaged(run.checkpoint, task.model)
        return _finish(run, task, progress)(facts["seconds"], None)


def read_config(run: RunFolder, *, device: str | None = None, backend: Backend | None = None) -> VideoConfig:
    """The settings of a run, with another device or backend where one is given.

    Raises:
        ConfigError: Its config.yaml does not fit, or is of another task.
    """
    config = build(VideoConfig, read_task_settings(run.config, "video"), str(run.config))
    return replace(config, device=device or config.device, backend=backend or config.backend)


def open_model(run: RunFolder, config: VideoConfig, kind: ClipFacts) -> VideoModel:
    """A run's model with its averaged weights; the clip itself is not needed."""
    device = choose_device(config.device)
    model = VideoModel(config, kind, read_frames(run).to(device) if config.field == "motion" else None)
    load_averaged(run.checkpoint, model)
    return model.to(device)


def described(task: VideoTask) -> str:
    """The clip and the field that is fitted to it, in two sentences."""
    used, fitted = task.model.parameters_used, len(task.trained) * len(task.raster)
    split = f"{len(task.held_out)} frames are held out. " if len(task.held_out) else ""
    return (
        f"{task.clip.path.name}: {task.kind}. {split}The field, {task.config.field}, has {used:,} parameters, "
        f"{used / fitted:.2g} for each pixel that it is fitted to."
    )


def _write_data(run: RunFolder, task: VideoTask) -> None:
    """Writes what drawing needs of the clip."""
    write_facts(run, task.kind)
    if task.config.field == "motion":
        write_frames(run, task.clip.frames[task.trained])


def _load(config: VideoConfig) -> Clip:
    memory = None if config.memory is None else parse_bytes(config.memory) // _CLIP_SHARE
    return load_clip(config.clip, fps=config.fps, memory_bytes=memory)


def _as_fitted(run: RunFolder, clip: Clip) -> Clip:
    """The clip; refuses one of another kind than the run was started on."""
    there, here = read_facts(run), ClipFacts.of(clip)
    if there != here:
        raise RunError(
            f"{clip.path} is not the clip that {run.path} was fitted to: it has {here}, the run's had {there}. Fit it "
            "with another --name."
        )
    return clip


def _finish(run: RunFolder, task: VideoTask, progress: Progress) -> Finish:
    """What a run ends with, in training or out of it."""

    def finish(seconds: float, warm_up_seconds: float | None) -> str:
        progress.say(f"Scoring {len(task.scored_frames)} frames and drawing the clip.")
        with progress:
            evaluation = evaluate_video(task, progress)
            times = [float(frame) for frame in range(task.kind.frames)]
            write_video(_drawn(run), drawn_frames(task.model, task.raster, times, progress), fps=task.kind.fps)
        content = _write_evaluation(run, task, evaluation, seconds)
        write_report(run.report, _report(run, task, evaluation, content, warm_up_seconds))
        return (
            f"{run.name}: {told(evaluation.scores)}, {task.scored}, after {seconds:.0f} s of fitting. The report is "
            f"{run.report}."
        )

    return finish


def told(scores: dict[str, float]) -> str:
    """Scores in words, beside those of blending where there are some."""
    parts = [f"PSNR {scores['psnr']:.2f} dB"]
    if "ssim" in scores:
        parts.append(f"SSIM {scores['ssim']:.4f}")
    if "blending_psnr" in scores:
        of_blending = [f"{scores['blending_psnr']:.2f} dB"]
        if "blending_ssim" in scores:
            of_blending.append(f"{scores['blending_ssim']:.4f}")
        parts.append(f"beside {', '.join(of_blending)} of linear blending")
    return ", ".join(parts)


def _drawn(run: RunFolder) -> Path:
    return run.outputs / "clip.mp4"


def _write_evaluation(
    run: RunFolder, task: VideoTask, evaluation: VideoEvaluation, training_seconds: float
) -> dict[str, Any]:
    content = {
        "protocol": evaluation.protocol,
        "mean": evaluation.scores,
        "views": [{"name": view.name, **view.scores} for view in evaluation.views],
        "parameters": task.model.parameters_used,
        "seconds": training_seconds,
        "render_seconds": evaluation.seconds,
        "peak_memory_bytes": peak_of_run(run),
    }
    run.write_text(run.evaluation, json.dumps(content, indent=1))
    return content


def _report(
    run: RunFolder,
    task: VideoTask,
    evaluation: VideoEvaluation,
    content: dict[str, Any],
    warm_up_seconds: float | None,
) -> ReportContent:
    lines, path, video = run.read_metrics(), shlex.quote(str(run.path)), _drawn(run)
    clip, scores, rate = shlex.quote(str(task.config.clip)), evaluation.scores, task.kind.fps
    figures = {"SSIM": f"{scores['ssim']:.4f}"} if "ssim" in scores else {}
    if "blending_psnr" in scores:
        figures["blending"] = f"{scores['blending_psnr']:.2f} dB"
        figures["gain over blending"] = f"{scores['psnr'] - scores['blending_psnr']:+.2f} dB"
    if "blending_ssim" in scores:
        figures["SSIM of blending"] = f"{scores['blending_ssim']:.4f}"
    if "fitted_psnr" in scores:
        figures["fitted frames"] = f"{scores['fitted_psnr']:.2f} dB"
    shown = [view for view in evaluation.views if view.pictures]
    selection = f", {len(shown)} of which are shown" if len(shown) < len(evaluation.views) else ""
    drawing = {"drawing a frame": f"{content['render_seconds'] / len(evaluation.views):.2f} s, scoring included"}
    return ReportContent(
        title=run.name,
        headline=f"{scores['psnr']:.2f} dB",
        explanation=f"PSNR, mean of {len(evaluation.views)} {task.scored}{selection}. {described(task)}",
        protocol=evaluation.protocol,
        figures={**figures, "training": f"{content['seconds']:.0f} s"},
        scored=task.scored,
        target="frame",
        views=[ReportView(view.name, view.scores, *view.pictures) for view in shown],
        video=video.read_bytes() if video.stat().st_size <= _EMBEDDED_BYTES else None,
        curve=curve_of(lines),
        series=series_of(lines),
        timings=timings_of(content, drawing, warm_up_seconds),
        settings=to_yaml(task.config),
        versions=versions(),
        notes=task.notes,
        next_commands=[
            ("draw it at twice its rate", f"neufield render {path} --fps {2 * rate:g}"),
            ("at a quarter of its speed", f"neufield render {path} --frames {4 * task.kind.frames} --fps {rate:g}"),
            ("train longer, from here", f"neufield resume {path} {longer_by(task.config.steps, content['seconds'])}"),
            ("fit all frames", f"neufield video {clip} --holdout-every 0 --name {shlex.quote(f'{run.name}-all')}"),
        ],
    )
