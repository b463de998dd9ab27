"""Every field on one picture, for the same time each, at several sizes: what seconds and parameters are worth."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

import numpy as np
import torch
from torch import nn

from ...configs.image_config import FieldKind, ImageConfig
from ...datasets import Picture, load_picture
from ...fields import MLP, CoordinateField, HashGrid, Siren
from ..charts import line_charts
from ..device import compiling_told, quiet_torch_threads
from ..fitting import Fitter
from ..image.evaluation import evaluate_image
from ..image.task import ImageTask, fit_settings, resolved
from ..metrics import decibels
from ..progress import Progress
from ..report import ReportContent, ReportSection, write_report
from ..report_parts import curve_of, versions
from ..run_folder import RunFolder
from ..run_life import config_text
from .rows import Row

_PARAMETERS = (30_000, 100_000, 300_000)
_BATCH = 1 << 14
_MARKS = (0.1, 0.25, 0.5, 1.0)  # shares of the time at which plain PyTorch is scored

Curve = list[tuple[float, float]]


@dataclass(frozen=True)
class FieldCurves:
    """What one field makes of a picture.

    Attributes:
        seconds: (seconds, PSNR) of the largest size.
        parameters: (parameters, PSNR at the end) of every size.
    """

    seconds: Curve
    parameters: Curve


def bench_fields(
    path: Path,
    *,
    seconds: float,
    page: Path | None,
    progress: Progress,
    fields: Sequence[FieldKind] = get_args(FieldKind),
    sizes: Sequence[int] = _PARAMETERS,
) -> list[Row]:
    """Fits a picture with every field, for so long each, and with two that are plain PyTorch.

    Args:
        path: The picture.
        seconds: How long each of the fits lasts.
        page: Where the curves are drawn, as one HTML file; None: nowhere.
        progress: Told what happens.
        fields: Those that are fitted.
        sizes: About how many parameters each of them gets, one fit after the other.
    """
    picture = load_picture(path)
    if picture.channels != 3 or picture.maximum is None:
        raise ValueError(f"{path}: fields are compared on RGB pictures of 8 or 16 bits; convert it to one.")
    found: dict[str, FieldCurves] = {}
    with quiet_torch_threads(torch.device("cpu")), compiling_told(progress):
        for field in fields:
            fits = [_fitted(picture, field, parameters, seconds, progress) for parameters in sizes]
            found[field] = FieldCurves(fits[-1].seconds, [fit.parameters[0] for fit in fits])
    for name, build in _PLAIN.items():
        found[name] = _fitted_plainly(picture, name, build, seconds, progress)
    if page is not None:
        _write_page(page, picture, found, seconds)
    return [
        Row(f"{name}, {parameters / 1e3:.0f}K numbers, {seconds:g} s", psnr, "dB")
        for name, curves in found.items()
        for parameters, psnr in curves.parameters
    ]


def _fitted(picture: Picture, field: FieldKind, parameters: int, seconds: float, progress: Progress) -> FieldCurves:
    config = resolved(ImageConfig(picture=picture.path, field=field, parameters=parameters, seconds=seconds), picture)
    with TemporaryDirectory() as folder:
        run = RunFolder(Path(folder) / "run")
        task = ImageTask(config, picture, torch.device("cpu"))
        fitter = Fitter(task, fit_settings(config), run, Progress(quiet=True))
        fitter.warm_up()
        run.create(config_text("image", config))
        fitter.fit()
        curve = curve_of(run.read_metrics())[:-1]
    psnr = evaluate_image(task, Progress(quiet=True)).scores["psnr"]
    used = task.model.parameters_used
    progress.say(f"{field}, {used:,} parameters: {psnr:.2f} dB after {seconds:g} s.")
    return FieldCurves([*curve, (seconds, psnr)], [(float(used), psnr)])


def _plain_hash_grid() -> nn.Module:
    grid = HashGrid(2, levels=16, features=2, log2_table_size=19, coarsest=16, finest=512.0, backend="reference")
    return CoordinateField(grid, MLP(grid.out_features, 3, backend="reference"))


def _plain_siren() -> nn.Module:
    return Siren(2, 3, backend="reference")


_PLAIN: dict[str, Callable[[], nn.Module]] = {
    "hash grid of plain PyTorch": _plain_hash_grid,
    "siren of plain PyTorch": _plain_siren,
}
_PLAIN_RATES = {"hash grid of plain PyTorch": 1e-2, "siren of plain PyTorch": 1e-4}


def _fitted_plainly(
    picture: Picture, name: str, build: Callable[[], nn.Module], seconds: float, progress: Progress
) -> FieldCurves:
    """The loop that everybody writes: `torch.optim.Adam`, random pixels, all threads."""
    generator, field, curve = np.random.default_rng(0), build(), Curve()
    optimizer = torch.optim.Adam(field.parameters(), lr=_PLAIN_RATES[name])
    marks, passed = [share * seconds for share in _MARKS], 0.0
    shift = 1.0 if name.startswith("siren") else 0.0
    while marks:
        start = time.perf_counter()
        pixels = picture.draw(generator, _BATCH)
        target = torch.from_numpy(picture.take(pixels))
        nn.functional.mse_loss(field(_places(picture, pixels, shift)), target).backward()
        optimizer.step()
        optimizer.zero_grad()
        passed += time.perf_counter() - start
        if passed >= marks[0]:
            marks.pop(0)
            curve.append((passed, _score(picture, field, shift)))
    used = sum(parameter.numel() for parameter in field.parameters())
    progress.say(f"{name}, {used:,} parameters: {curve[-1][1]:.2f} dB after {seconds:g} s.")
    return FieldCurves(curve, [(float(used), curve[-1][1])])


def _places(picture: Picture, pixels: np.ndarray, shift: float) -> torch.Tensor:
    """Pixels' middles in the unit square, or from -1 to 1 along both sides."""
    width, height = picture.size
    places = np.stack([(pixels % width + 0.5) / width, (pixels // width + 0.5) / height], axis=1)
    return torch.from_numpy(((1.0 + shift) * places - shift).astype(np.float32))


@torch.no_grad()
def _score(picture: Picture, field: nn.Module, shift: float) -> float:
    """PSNR over all pixels."""
    squares, values = 0.0, picture.size[0] * picture.size[1] * 3
    for pixels in np.array_split(np.arange(values // 3), max(1, values // 3 // _BATCH)):
        error = field(_places(picture, pixels, shift)).clamp(0.0, 1.0) - torch.from_numpy(picture.take(pixels))
        squares += float(error.double().square().sum())
    return decibels(squares / values)


def _write_page(page: Path, picture: Picture, found: dict[str, FieldCurves], seconds: float) -> None:
    width, height = picture.size
    charts = {
        "PSNR against seconds": line_charts(
            {name: curves.seconds for name, curves in found.items()}, x_label="seconds of fitting", y_label="PSNR, dB"
        ),
        "PSNR against parameters": line_charts(
            {name: curves.parameters for name, curves in found.items()}, x_label="parameters", y_label="PSNR, dB"
        ),
    }
    best = max(found, key=lambda name: max(psnr for _, psnr in found[name].parameters))
    rows = [
        (name, f"{parameters:,.0f}", f"{psnr:.2f} dB")
        for name, curves in found.items()
        for parameters, psnr in curves.parameters
    ]
    write_report(
        page,
        ReportContent(
            title=f"{picture.path.name}: every field",
            headline=best,
            explanation=f"fits best in {seconds:g} s",
            protocol={
                "picture": f"{picture.path.name}, {width}x{height}",
                "psnr": "of all pixels, values in [0, 1], not rounded",
                "time": f"{seconds:g} s of fitting for each field and size, one after the other",
                "plain PyTorch": "no kernels of ours, torch.optim.Adam, 16,384 random pixels a step, all threads",
            },
            sections=[
                *(ReportSection(title, "", chart=chart) for title, chart in charts.items()),
                ReportSection("All fits", "", table=[("field", "parameters", "PSNR"), *rows]),
            ],
            versions=versions(),
        ),
    )
