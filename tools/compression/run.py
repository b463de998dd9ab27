"""`neufield image --compress on`: a picture fitted as a small file, scored, and reported beside other ways to it."""

import json
import math
import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...configs.image_config import ImageConfig
from ...configs.loading import to_yaml
from ...datasets import Picture
from ..errors import RunError
from ..image.picture_facts import PictureFacts, visible, write_facts
from ..image.run import as_fitted, load, read_config
from ..metrics import SSIM_WINDOW, psnr, ssim
from ..peak_memory import peak_of_run
from ..pictures import error_image, to_uint8
from ..progress import Progress
from ..report import ReportContent, ReportSection, ReportView, write_report
from ..report_parts import curve_of, timings_of, versions
from ..run_folder import RunFolder
from ..run_life import config_text
from .fit import CompressionFit
from .jpeg_comparison import COIN_POINTS, Rate, best_jpeg
from .nfz_decoding import decoded
from .nfz_file import LARGEST_PROFILE, read_nfz, require_size, write_nfz

_BITS_PER_PIXEL = 0.6
_PROFILE_SHARE = 0.05  # of the file; a larger colour profile is left out
_LEAST_GAIN = 0.005  # decibels that a step must bring for another to follow


def start(config: ImageConfig) -> str:
    """Compresses a picture in a new run, scores the file and writes the report; returns the result in one line.

    From the first fit on, the best file so far is in the run. Ctrl-C keeps it; `evaluate_run` scores it then.

    Raises:
        ValueError: The picture is of a type that cannot be compressed or too large, or the file it is to fit in too
            small.
    """
    progress = Progress(quiet=config.quiet)
    run = RunFolder.planned(config.runs, config.name or config.picture.stem, force=config.force)
    picture = load(config)
    kind = PictureFacts.of(picture)
    _require_integers(picture, kind)
    require_size(kind.width, kind.height, config.picture.name)
    rate = config.bits_per_pixel or _BITS_PER_PIXEL
    config = replace(config, name=run.name, force=False, picture=config.picture.resolve(), bits_per_pixel=rate)
    size = math.floor(rate * kind.width * kind.height / 8.0)
    profile = _small_profile(picture, size, progress)
    for note in picture.notes:
        progress.say(f"Note: {config.picture.name}: {note}.")
    progress.say(f"{_described(picture, kind)} The file may have {size:,} bytes, {rate:g} bits per pixel.")
    begin = time.perf_counter()
    fit = CompressionFit(_values(picture), bits=8 if kind.maximum == 255 else 16, size=size, profile=profile)
    run.create(config_text("image", config))
    write_facts(run, kind)
    write_nfz(compressed_file(run), fit.best.data)
    try:
        seconds = _improve(fit, config, run, progress, begin)
    except KeyboardInterrupt:
        return (
            f"Stopped after {fit.steps} steps; {compressed_file(run)} is the best file so far. Score it and write its "
            f"report by `neufield eval {run.path}`."
        )
    return _finish(run, config, picture, progress, seconds)


def evaluate_run(run: RunFolder, *, quiet: bool = False) -> str:
    """Scores the file of a run again and writes its numbers and report anew; returns the result in one line.

    A run that was interrupted has the best file that was found until then, which is scored like any other.

    Raises:
        ValueError: The run cannot be written, its file is missing or damaged, or another picture lies in the place of
            the one that was fitted.
    """
    config = read_config(run)
    run.require_writable()
    seconds = max((line["seconds"] for line in run.read_metrics()), default=0.0)
    return _finish(run, config, as_fitted(run, load(config)), Progress(quiet=quiet), seconds)


def is_compressed(run: RunFolder) -> bool:
    """Whether a picture's run was made with --compress."""
    return read_config(run).compress == "on"


def require_uncompressed(run: RunFolder) -> None:
    """Refuses to go on with a run that has a file and no state of training.

    Raises:
        RunError: It was made with --compress.
    """
    if is_compressed(run):
        raise RunError(
            f"{run.path} is a compressed picture, which is not gone on with. Compress it again by `neufield image "
            f"--config {run.config} --force`."
        )


def compressed_file(run: RunFolder) -> Path:
    """The compressed picture of a run."""
    return run.outputs / f"{read_config(run).name}.nfz"


def _improve(fit: CompressionFit, config: ImageConfig, run: RunFolder, progress: Progress, begin: float) -> float:
    """Steps until they bring little, or the given end, and writes each better file; returns the seconds it took."""
    while True:
        seconds = time.perf_counter() - begin
        score = -10.0 * math.log10(fit.squared_error) if fit.squared_error > 0.0 else math.inf
        if math.isfinite(score):
            run.log({"step": fit.steps, "seconds": seconds, "scores": {"psnr": score}})
        progress.say(f"After {seconds:.0f} s, {fit.steps} steps: {score:.2f} dB in {len(fit.best.data):,} bytes.")
        over = seconds >= config.seconds if config.seconds is not None else fit.steps >= (config.steps or 0)
        gain = 0.0 if over else fit.improve()
        if gain > 0.0:
            write_nfz(compressed_file(run), fit.best.data)
        if gain < _LEAST_GAIN:
            return time.perf_counter() - begin


def _require_integers(picture: Picture, kind: PictureFacts) -> None:
    if kind.maximum not in (255, 65535):
        raise ValueError(
            f"{picture.path}: --compress takes pictures of 8 or 16 bits, this one has {kind.stored}. Fit it without "
            "--compress, or convert it first."
        )


def _small_profile(picture: Picture, size: int, progress: Progress) -> bytes | None:
    if picture.profile is None or len(picture.profile) <= min(_PROFILE_SHARE * size, LARGEST_PROFILE):
        return picture.profile
    progress.say(
        f"Note: {picture.path.name}: its colour profile of {len(picture.profile):,} bytes is left out, for the file "
        f"may have {size:,} in all."
    )
    return None


def _values(picture: Picture) -> Float[Tensor, "height width channels"]:
    """The picture in [0, 1], colours multiplied by alpha."""
    width, height = picture.size
    return visible(picture, np.arange(width * height)).float().view(height, width, -1)


def _described(picture: Picture, kind: PictureFacts) -> str:
    content = ("grey", "grey with alpha", "RGB", "RGBA")[kind.channels - 1]
    return f"{picture.path.name}: {kind.width}x{kind.height} pixels, {content}, {kind.stored}."


def _finish(run: RunFolder, config: ImageConfig, picture: Picture, progress: Progress, seconds: float) -> str:
    """Decodes the file as anybody will, scores it, and writes evaluation.json and the report."""
    path = compressed_file(run)
    progress.say("Decoding and scoring the file.")
    begin = time.perf_counter()
    content = read_nfz(path)
    found = torch.from_numpy(decoded(content)).float() / ((1 << content.bits) - 1)
    drawing = time.perf_counter() - begin
    target = _values(picture)
    scores = {"psnr": psnr(found, target)}
    if min(target.shape[:2]) >= SSIM_WINDOW:
        scores["ssim"] = ssim(_shown(found), _shown(target))
    pixels, size = content.width * content.height, path.stat().st_size
    rate = 8.0 * size / pixels
    others = best_jpeg(target, size) if content.bits == 8 else None
    content_written: dict[str, Any] = {
        "protocol": _protocol(content.bits, PictureFacts.of(picture)),
        "mean": scores,
        "views": [{"name": picture.path.name, **scores}],
        "bytes": size,
        "bits_per_pixel": rate,
        "jpeg": None if others is None else {"bits_per_pixel": others.bits_per_pixel, "psnr": others.psnr},
        "seconds": seconds,
        "render_seconds": drawing,
        "peak_memory_bytes": peak_of_run(run),
    }
    run.write_text(run.evaluation, json.dumps(content_written, indent=1))
    shown, render = _shown(target), _shown(found)
    pictures = to_uint8(shown), to_uint8(render), to_uint8(error_image(render, shown))
    view = ReportView(picture.path.name, scores, *pictures)
    write_report(run.report, _report(run, config, picture, content_written, view, others))
    return (
        f"{path}: {size:,} bytes, {rate:.4f} bits per pixel, PSNR {scores['psnr']:.2f} dB. The report is {run.report}."
    )


def _protocol(bits: int, kind: PictureFacts) -> dict[str, str]:
    premultiplied = ", colours multiplied by alpha" if kind.has_alpha else ""
    return {
        "pixels": f"all of {kind.width}x{kind.height}, decoded from the file and rounded to {bits} bits",
        "psnr": f"of values in [0, 1]{premultiplied}",
        "ssim": "window 11, sigma 1.5, data range 1",
        "bits per pixel": "of the whole file, header and colour profile included",
    }


def _shown(picture: Float[Tensor, "height width channels"]) -> Float[Tensor, "height width 3"]:
    """As RGB, for people; what is transparent on black."""
    return picture[..., :3] if picture.shape[2] >= 3 else picture[..., :1].expand(-1, -1, 3)


def _report(
    run: RunFolder, config: ImageConfig, picture: Picture, content: dict[str, Any], view: ReportView, jpeg: Rate | None
) -> ReportContent:
    scores, file = content["mean"], shlex.quote(str(compressed_file(run)))
    rates = [Rate("this file", content["bits_per_pixel"], scores["psnr"])]
    rates += [] if jpeg is None else [jpeg]
    rows = [[rate.name, f"{rate.bits_per_pixel:.3f}", f"{rate.psnr:.2f}"] for rate in (*rates, *COIN_POINTS)]
    text = (
        "JPEG is the best of Pillow's that is no larger. COIN (Dupont et al. 2021) is the published mean over the 24 "
        "Kodak pictures, and says something beside this file only if it is one of them."
    )
    kind = PictureFacts.of(picture)
    return ReportContent(
        title=run.name,
        headline=f"{content['bytes']:,} bytes, {scores['psnr']:.2f} dB",
        explanation=f"The file's size, and PSNR of what is decoded. {_described(picture, kind)}",
        protocol=content["protocol"],
        figures={
            "bits per pixel": f"{content['bits_per_pixel']:.4f}",
            **({"SSIM": f"{scores['ssim']:.4f}"} if "ssim" in scores else {}),
            "fitting": f"{content['seconds']:.0f} s",
        },
        scored="the picture",
        target="picture",
        views=[view],
        sections=[ReportSection("Rate and distortion", text, table=[["", "bits per pixel", "PSNR, dB"], *rows])],
        curve=curve_of(run.read_metrics()),
        timings=timings_of(content, {"decoding the file": f"{content['render_seconds']:.2f} s"}, None),
        settings=to_yaml(config),
        versions=versions(),
        notes=picture.notes,
        next_commands=[
            ("an ordinary picture of it", f"neufield render {file}"),
            ("twice as large", f"neufield render {file} --scale 2"),
        ],
    )
