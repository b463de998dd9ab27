"""Two runs on the same held-out views: where they differ the most, side by side."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import RunError
from ..metrics import psnr
from .evaluation import ScoredView


@dataclass(frozen=True)
class Comparison:
    """Two runs, scored on the same views.

    Attributes:
        names: What the runs are called, (this, the other).
        psnr: Mean PSNR of each.
        view: Name of the view with the crop.
        crop: Where it is: (top, left, side) in pixels.
        crop_psnr: PSNR of each within the crop.
        pictures: (target, this, the other) of the crop, RGB.
        caveat: In what the runs were scored differently, a sentence; empty where they were scored alike.
    """

    names: tuple[str, str]
    psnr: tuple[float, float]
    view: str
    crop: tuple[int, int, int]
    crop_psnr: tuple[float, float]
    pictures: tuple[Tensor, Tensor, Tensor]
    caveat: str = ""


def compare(names: tuple[str, str], here: list[ScoredView], there: list[ScoredView]) -> Comparison:
    """Compares two runs on the views that both have; the crop is the square where their squared errors differ the most.

    Raises:
        RunError: The runs have no held-out view in common.
    """
    others = {view.name: view for view in there}
    pairs = [(view, others[view.name]) for view in here if view.name in others]
    pairs = [(a, b) for a, b in pairs if torch.equal(a.target, b.target) and _same_pixels_count(a, b)]
    if not pairs:
        raise RunError(
            f"The runs {names[0]} and {names[1]} have no held-out view in common; "
            "compare runs on the same photos, of the same size, with the same masks and over the same background."
        )
    _, a, b, crop = max((_strongest_crop(a, b) for a, b in pairs), key=lambda found: found[0])
    top, left, side = crop
    window = (slice(top, top + side), slice(left, left + side))
    target, mine, other = a.target[window], a.render[window], b.render[window]
    kept = None if a.kept is None or not bool(a.kept[window].any()) else a.kept[window]
    count = len(pairs)
    return Comparison(
        names,
        (sum(a.scores["psnr"] for a, _ in pairs) / count, sum(b.scores["psnr"] for _, b in pairs) / count),
        a.name,
        crop,
        (psnr(mine, target, kept), psnr(other, target, kept)),
        (target, mine, other),
    )


def _same_pixels_count(a: ScoredView, b: ScoredView) -> bool:
    if a.kept is None or b.kept is None:
        return a.kept is b.kept
    return torch.equal(a.kept, b.kept)


def _strongest_crop(a: ScoredView, b: ScoredView) -> tuple[float, ScoredView, ScoredView, tuple[int, int, int]]:
    height, width = a.target.shape[:2]
    side = max(8, min(height, width) // 4)
    difference = (b.render - b.target).square().mean(dim=2) - (a.render - a.target).square().mean(dim=2)
    if a.kept is not None:
        difference = difference * a.kept
    step = max(1, side // 4)
    pooled = torch.nn.functional.avg_pool2d(difference[None, None], side, stride=step)[0, 0].abs()
    best = int(pooled.argmax())
    top, left = best // pooled.shape[1] * step, best % pooled.shape[1] * step
    return float(pooled.flatten()[best]), a, b, (top, left, side)
