"""The life of a run that fits a picture: started, resumed, opened again, evaluated, reported."""

import json
import shlex
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8

from ...configs.image_config import SMOOTH_FIELDS, ImageConfig
from ...configs.loading import build, read_task_settings, to_yaml
from ...configs.run_options import Backend
from ...datasets import Picture, load_picture
from ..checkpoint import load_averaged
from ..device import choose_device, compiling_told, quiet_torch_threads
from ..errors import RunError
from ..fitting import Fitter
from ..memory_size import parse_bytes
from ..peak_memory import peak_of_run
from ..pictures import error_image, to_uint8
from ..progress import Progress
from ..report import ReportContent, ReportSection, ReportView, write_report
from ..report_parts import curve_of, series_of, timings_of, versions
from ..run_folder import RunFolder
from ..run_life import Finish, begin, config_text, go_on, longer_by, require_resumable
from .derivative_pictures import derivative_section
from .evaluation import ImageEvaluation, ImageView, evaluate_image
from .insertion_pictures import insertion_section
from .model import ImageModel
from .picture_facts import PictureFacts, read_facts, write_facts
from .task import ImageTask, fit_settings, resolved

_PICTURE_SHARE = 2  # of --memory; the program itself and the field take the rest


def start(config: ImageConfig) -> str:
    """Fits a picture in a new run to its end, scores it and writes its report; returns the result in one line.

    What was there is touched only after the picture, the device and the kernels were found to work.
    """
    progress = Progress(quiet=config.quiet)
    device = choose_device(config.device)
    run = RunFolder.planned(config.runs, config.name or config.picture.stem, force=config.force)
    picture = load(config)
    config = replace(resolved(config, picture), name=run.name, force=False, picture=config.picture.resolve())
    others = {name: path.resolve() for name in ("insert", "insert_mask") if (path := getattr(config, name)) is not None}
    config = replace(config, **others)
    for note in picture.notes:
        progress.say(f"Note: {config.picture.name}: {note}.")
    with quiet_torch_threads(device), compiling_told(progress):
        task = ImageTask(config, picture, device)
        progress.say(described(task))
        fitter = Fitter(task, fit_settings(config), run, progress)
        return begin(
            fitter, config_text("image", config), lambda: write_facts(run, task.kind), _finish(run, task, progress)
        )


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
    picture = as_fitted(run, load(config))
    with quiet_torch_threads(place), compiling_told(progress):
        task = ImageTask(config, picture, place)
        fitter = Fitter(task, fit_settings(config), run, progress)
        return go_on(fitter, config_text("image", config), _finish(run, task, progress))


def evaluate_run(
    run: RunFolder, *, device: str | None = None, backend: Backend | None = None, quiet: bool = False
) -> str:
    """Scores a run again from its checkpoint and writes its numbers and report anew; returns the result in one line."""
    config = read_config(run, device=device, backend=backend)
    place = choose_device(config.device)
    require_resumable(run)
    picture = as_fitted(run, load(config))
    progress = Progress(quiet=quiet)
    with quiet_torch_threads(place), compiling_told(progress):
        task = ImageTask(config, picture, place)
        facts = load_averaged(run.checkpoint, task.model)
        task.restore(facts["task"])
        return _finish(run, task, progress)(facts["seconds"], None)


def read_config(run: RunFolder, *, device: str | None = None, backend: Backend | None = None) -> ImageConfig:
    """The settings of a run, with another device or backend where one is given.

    Raises:
        ConfigError: Its config.yaml does not fit, or is of another task.
    """
    config = build(ImageConfig, read_task_settings(run.config, "image"), str(run.config))
    return replace(config, device=device or config.device, backend=backend or config.backend)


def open_model(run: RunFolder, config: ImageConfig, kind: PictureFacts) -> ImageModel:
    """A run's model with its averaged weights; the picture itself is not needed."""
    model = ImageModel(config, size=(kind.width, kind.height), channels=kind.channels)
    model.level(load_averaged(run.checkpoint, model)["task"])
    return model.to(choose_device(config.device))


def described(task: ImageTask) -> str:
    """The picture and the field that is fitted to it, in one sentence."""
    kind, used = task.kind, task.model.parameters_used
    content = ("grey", "grey with alpha", "RGB", "RGBA")[kind.channels - 1]
    bits = 16.0 * used / (kind.width * kind.height)
    return (
        f"{task.picture.path.name}: {kind.width}x{kind.height} pixels, {content}, {kind.stored}. The field, "
        f"{task.config.field}, has {used:,} parameters, {bits:.3g} bits per pixel at 16 bits each."
    )


def load(config: ImageConfig) -> Picture:
    """The picture that the settings name."""
    memory = None if config.memory is None else parse_bytes(config.memory) // _PICTURE_SHARE
    return load_picture(config.picture, memory_bytes=memory)


def as_fitted(run: RunFolder, picture: Picture) -> Picture:
    """The picture.

    Raises:
        RunError: It is of another kind than the one that the run was started on.
    """
    there, here = asdict(read_facts(run)), asdict(PictureFacts.of(picture))
    differing = [name for name in there if here[name] != there[name]]
    if differing:
        kind = [name for name in differing if name != "checksum"]
        other = [f"{name.replace('_', ' ')} {here[name]}, not {there[name]}" for name in kind] or ["other pixels"]
        raise RunError(
            f"{picture.path} is not the picture that {run.path} was fitted to: it has {', '.join(other):.300}. "
            "Fit it with another --name."
        )
    return picture


def _finish(run: RunFolder, task: ImageTask, progress: Progress) -> Finish:
    """What a run ends with, in training or out of it."""

    def finish(seconds: float, warm_up_seconds: float | None) -> str:
        progress.say("Scoring the picture.")
        with progress:
            evaluation = evaluate_image(task, progress)
        content = _write_evaluation(run, task, evaluation, seconds)
        write_report(run.report, _report(run, task, evaluation, content, warm_up_seconds))
        return f"{run.name}: {told(evaluation.scores)} after {seconds:.0f} s of fitting. The report is {run.report}."

    return finish


def told(scores: dict[str, float]) -> str:
    """Scores in words."""
    parts = [f"PSNR {scores['psnr']:.2f} dB"]
    if "ssim" in scores:
        parts.append(f"SSIM {scores['ssim']:.4f}")
    if "relative_error" in scores:
        parts.append(f"relative error {scores['relative_error']:.2%}")
    if "held_out_psnr" in scores:
        parts.append(f"{scores['held_out_psnr']:.2f} dB over the pixels left out")
    if "coverage_50" in scores:
        parts.append(
            f"{scores['coverage_50']:.1%} and {scores['coverage_90']:.1%} of them inside the 50 % and 90 % intervals "
            f"of learned scales times {scores['scale_factor']:.3g}"
        )
    return ", ".join(parts)


def _write_evaluation(
    run: RunFolder, task: ImageTask, evaluation: ImageEvaluation, training_seconds: float
) -> dict[str, Any]:
    used = task.model.parameters_used
    content = {
        "protocol": evaluation.protocol,
        "mean": evaluation.scores,
        "views": [{"name": task.picture.path.name, **evaluation.scores}],
        "parameters": used,
        "bits_per_pixel": 16.0 * used / len(task.raster),
        "seconds": training_seconds,
        "render_seconds": evaluation.seconds,
        "peak_memory_bytes": peak_of_run(run),
    }
    run.write_text(run.evaluation, json.dumps(content, indent=1, allow_nan=False))
    return content


def _report(
    run: RunFolder,
    task: ImageTask,
    evaluation: ImageEvaluation,
    content: dict[str, Any],
    warm_up_seconds: float | None,
) -> ReportContent:
    lines, path = run.read_metrics(), shlex.quote(str(run.path))
    picture, scores = shlex.quote(str(task.config.picture)), evaluation.scores
    siren = f"--field siren --name {shlex.quote(f'{run.name}-siren')}"
    return ReportContent(
        title=run.name,
        headline=f"{scores['psnr']:.2f} dB",
        explanation=f"PSNR. {described(task)}",
        protocol=evaluation.protocol,
        figures={
            **({"SSIM": f"{scores['ssim']:.4f}"} if "ssim" in scores else {}),
            **({"relative error": f"{scores['relative_error']:.2%}"} if "relative_error" in scores else {}),
            "parameters": f"{content['parameters']:,}",
            "bits per pixel": f"{content['bits_per_pixel']:.3g}",
            "training": f"{content['seconds']:.0f} s",
        },
        scored=task.scored,
        target="picture",
        views=[ReportView(task.picture.path.name, scores, *_pictures(evaluation.whole))],
        sections=[
            *([] if task.insertion is None else [insertion_section(task, task.insertion)]),
            *([] if evaluation.worst is None else [_worst_section(evaluation.worst)]),
            *([derivative_section(task)] if task.config.field in SMOOTH_FIELDS else []),
        ],
        curve=curve_of(lines),
        series=series_of(lines),
        timings=timings_of(
            content, {"drawing the picture": f"{evaluation.seconds:.2f} s, scoring included"}, warm_up_seconds
        ),
        settings=to_yaml(task.config),
        versions=versions(),
        notes=task.picture.notes,
        next_commands=[
            ("draw it twice as large", f"neufield render {path} --scale 2"),
            ("train longer, from here", f"neufield resume {path} {longer_by(task.config.steps, content['seconds'])}"),
            (
                "see what another field makes of it",
                f"neufield image {picture} {siren}",
            ),
        ],
    )


def _pictures(view: ImageView) -> tuple[UInt8[np.ndarray, "height width 3"], ...]:
    return to_uint8(view.target), to_uint8(view.render), to_uint8(error_image(view.render, view.target))


def _worst_section(view: ImageView) -> ReportSection:
    captions = "picture", "render", "error"
    text = f"{view.name}, drawn at full size; there it is {view.psnr:.2f} dB."
    return ReportSection("Where the error is largest", text, list(zip(captions, _pictures(view), strict=True)))
