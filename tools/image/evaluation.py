"""How close a fitted field comes to its picture: scores over all pixels, and pictures for the report."""

import math
import time
from collections import defaultdict
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ...fields import Likelihood
from ...render import Raster
from ..metrics import HIGHEST_PSNR, SSIM_WINDOW, decibels, ssim
from ..progress import Progress
from .drawing import bands_of, drawn_rows, measured_pixels
from .task import ImageTask

_MOST_PIXELS = 4_000_000  # of what is compared as a picture: larger ones are made smaller for it
_CROP = 256
_INTERVALS = (0.5, 0.9)
_MATCHED = 0.75  # the interval whose coverage says by what the learned scales are multiplied
_LEVELLED = "values are scored after the factor and offset of every channel that fit best, by least squares"
_FITTED_TO = {
    "gradient": f"differences of neighbouring pixels, as slopes and as their sums along strokes; {_LEVELLED}",
    "laplacian": f"second differences, and the values of the border's pixels; {_LEVELLED}",
}
_COVERAGE = (
    "of every other pixel left out, by learned scales times the factor that has 75 % of the rest in their interval"
)
_BEHIND = 0.5  # grey, behind what is transparent in pictures for people


@dataclass(frozen=True)
class ImageView:
    """A part of the picture, for people: RGB (h, w, 3) in [0, 1]."""

    name: str
    psnr: float
    target: Tensor
    render: Tensor


@dataclass(frozen=True)
class ImageEvaluation:
    """Scores of a fitted picture.

    Attributes:
        scores: By name, over all known pixels.
        whole: The whole picture, made smaller where it is large.
        worst: The crop in which the error is largest; None where the picture is hardly larger than one.
        protocol: How it was scored, in words.
        seconds: What drawing and scoring took.
    """

    scores: dict[str, float]
    whole: ImageView
    worst: ImageView | None
    protocol: dict[str, str]
    seconds: float


def evaluate_image(task: ImageTask, progress: Progress) -> ImageEvaluation:
    """Draws the whole picture at its own size, some rows at a time, and scores it."""
    begin = time.perf_counter()
    raster, factor = task.raster, _reduction(task.raster)
    sums: dict[str, float] = defaultdict(float)
    spreads: list[Tensor] = []
    reduced: list[tuple[Tensor, Tensor]] = []
    for start, stop in bands_of(raster, multiple=factor):
        progress.stage(start / raster.height, "scoring the picture")
        band = _compared(task, raster, start, stop)
        _add_up(sums, spreads, task, raster, start, *band)
        reduced.append((_smaller(band[0], factor), _smaller(band[1], factor)))
    values, target = (torch.cat(parts)[..., : task.kind.channels] for parts in zip(*reduced))
    scores = {**_scores(sums), **_calibration(torch.cat(spreads or [torch.zeros(0, 1)]), task.likelihood)}
    if min(target.shape[:2]) >= SSIM_WINDOW:
        scores["ssim"] = ssim(shown(task, values), shown(task, target), target.isfinite().all(dim=2))
    worst = _worst_crop(task, values, target, factor) if min(raster.width, raster.height) > _CROP else None
    whole = _view(task, task.picture.path.name, values, target)
    return ImageEvaluation(scores, whole, worst, protocol(task), time.perf_counter() - begin)


def protocol(task: ImageTask) -> dict[str, str]:
    """How a picture is scored, in words."""
    config, kind, factor = task.config, task.kind, _reduction(task.raster)
    size = f"{kind.width}x{kind.height}"
    span = "values in [0, 1]"
    if kind.maximum is None:
        span = f"values from {kind.transfer.low:.4g} to {kind.transfer.high:.4g} taken for 0 to 1"
        if kind.transfer.kind == "log":
            span = f"log(1 + value / {kind.transfer.low:.4g}), the largest taken for 1"
    trained = "all pixels, which are those it was fitted to"
    if config.insert is not None:
        trained = "those beside the insertion, which it was fitted to"
    if config.held_out:
        trained = (
            f"all pixels; {100 * config.held_out:.3g} % of them were left out of the fit, and are scored apart, too"
        )
    return {
        "pixels": f"{trained}; {size}",
        **({"fitted to": _FITTED_TO[config.supervise]} if config.supervise != "values" else {}),
        "psnr": f"of {span}, not rounded" + (", colours multiplied by alpha" if kind.has_alpha else ""),
        "ssim": "window 11, sigma 1.5, data range 1" + (f", at 1/{factor} of the size" if factor > 1 else ""),
        **({"relative_error": "mean absolute error over mean absolute value"} if kind.maximum is None else {}),
        **({"coverage": _COVERAGE} if config.learned_scale == "on" else {}),
        "pixel model": "mean of four places in the pixel" if config.pixels == "area" else "the field at its middle",
        "weights": f"running average, decay {config.optimizer.average}"
        if config.optimizer.average
        else "the last step's",
    }


def _reduction(raster: Raster) -> int:
    return max(1, math.ceil(math.sqrt(len(raster) / _MOST_PIXELS)))


def _compared(task: ImageTask, raster: Raster, start: int, stop: int) -> tuple[Tensor, Tensor]:
    """The field's values and the picture's at some rows of it, as they are fitted; NaN where a pixel is unknown."""
    values = drawn_rows(task.model, raster, start, stop, area=task.config.pixels == "area").cpu()
    pixels = torch.arange(start * raster.width, stop * raster.width)
    target = task.targets(pixels).view(stop - start, raster.width, -1)
    return values, target


def _add_up(
    sums: dict[str, float],
    spreads: list[Tensor],
    task: ImageTask,
    raster: Raster,
    start: int,
    values: Tensor,
    target: Tensor,
) -> None:
    """Adds a band's errors to the totals; those of pixels left out also in units of their learned scales."""
    channels = task.kind.channels
    fitted, raw_scale = values[..., :channels].flatten(0, 1), values[..., channels:].flatten(0, 1)
    goal = target.flatten(0, 1)
    known = goal.isfinite().all(dim=1)
    error = fitted.clamp(0.0, 1.0) - goal.clamp(0.0, 1.0)
    sums["squares"] += float(error[known].double().square().sum())
    sums["values"] += int(known.sum()) * channels
    if task.kind.maximum is None:
        measured, meant = task.kind.measured(fitted[known]), task.kind.measured(goal[known])
        sums["errors"] += float((measured - meant).abs().double().sum())
        sums["magnitudes"] += float(meant.abs().double().sum())
    if task.config.held_out:
        apart = known & task.held_out(torch.arange(start * raster.width, start * raster.width + len(known)))
        sums["squares apart"] += float(error[apart].double().square().sum())
        sums["values apart"] += int(apart.sum()) * channels
        if raw_scale.shape[1]:
            spreads.append((fitted[apart] - goal[apart]).abs() / task.likelihood.scale(raw_scale[apart]))


def _calibration(spreads: Float[Tensor, "n channels"], likelihood: Likelihood) -> dict[str, float]:
    """How learned scales go with the errors of pixels that were left out.

    A field comes closer to the pixels that it is fitted to than to others, so that its scales are too small for those:
    by a factor that is found on every other pixel left out, and checked on the rest.

    Args:
        spreads: Errors in units of their scales.
        likelihood: What they should be spread like.
    """
    known, checked = spreads[::2], spreads[1::2]
    if not len(checked):
        return {}
    factor = float(known.flatten().kthvalue(math.ceil(_MATCHED * known.numel())).values) / likelihood.half_width(
        _MATCHED
    )
    inside = {
        f"coverage_{100 * share:.0f}": float((checked <= factor * likelihood.half_width(share)).double().mean())
        for share in _INTERVALS
    }
    return {"scale_factor": factor, **inside}


def _scores(sums: dict[str, float]) -> dict[str, float]:
    scores = {"psnr": decibels(sums["squares"] / max(sums["values"], 1.0))}
    if sums["magnitudes"]:
        scores["relative_error"] = sums["errors"] / sums["magnitudes"]
    if sums["values apart"]:
        scores["held_out_psnr"] = decibels(sums["squares apart"] / sums["values apart"])
    return scores


def _smaller(picture: Float[Tensor, "rows width values"], factor: int) -> Tensor:
    """Means of squares of pixels; those at the right and bottom may be narrower."""
    if factor == 1:
        return picture
    pooled = torch.nn.functional.avg_pool2d(picture.permute(2, 0, 1), factor, ceil_mode=True, count_include_pad=False)
    return pooled.permute(1, 2, 0)


def shown(task: ImageTask, fitted: Float[Tensor, "height width channels"]) -> Float[Tensor, "height width 3"]:
    """Fitted values as a screen shows them: over grey where they are transparent; unknown pixels are black."""
    kind = task.kind
    colors = fitted[..., : kind.colors].nan_to_num(0.0).clamp(0.0, 1.0)
    if kind.linear and kind.transfer.kind == "linear":
        colors = colors.pow(1.0 / 2.2)
    if kind.has_alpha:
        colors = colors + _BEHIND * (1.0 - fitted[..., -1:].nan_to_num(0.0).clamp(0.0, 1.0))
    return colors.clamp(0.0, 1.0).expand(*colors.shape[:2], 3)


def _view(task: ImageTask, name: str, values: Tensor, target: Tensor) -> ImageView:
    known = target.isfinite().all(dim=2)
    values = torch.where(known[..., None], values, torch.nan) if task.insertion is None else values
    error = (values[known].clamp(0.0, 1.0) - target[known].clamp(0.0, 1.0)).double()
    psnr = decibels(float(error.square().mean())) if len(error) else HIGHEST_PSNR
    return ImageView(name, psnr, shown(task, target), shown(task, values))


def _worst_crop(task: ImageTask, values: Tensor, target: Tensor, factor: int) -> ImageView:
    """The square in which the error is largest, drawn at full size."""
    errors = (values.clamp(0.0, 1.0) - target.clamp(0.0, 1.0)).nan_to_num(0.0).square().sum(dim=2)
    side = min(max(_CROP // factor, 1), *errors.shape)
    sums = torch.nn.functional.avg_pool2d(errors[None], side, stride=max(side // 4, 1))[0]
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    raster, corner = task.raster, (row * max(side // 4, 1) * factor, column * max(side // 4, 1) * factor)
    top, left = min(corner[0], raster.height - _CROP), min(corner[1], raster.width - _CROP)
    pixels = (torch.arange(top, top + _CROP)[:, None] * raster.width + torch.arange(left, left + _CROP)).flatten()
    values = measured_pixels(task.model, raster, pixels, area=task.config.pixels == "area").cpu()
    name = f"{_CROP}x{_CROP} pixels at row {top}, column {left}, where the error is largest"
    square = _CROP, _CROP, -1
    return _view(task, name, values[:, : task.kind.channels].view(square), task.targets(pixels).view(square))
