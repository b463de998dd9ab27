"""Scores of a picture against its target: PSNR and SSIM, as the literature computes them for values in [0, 1]."""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

HIGHEST_PSNR = 100.0
"""Decibels given to pictures that agree to 1e-10 in mean squared error or better, identical ones among them."""

SSIM_WINDOW = 11
"""Pixels; smaller pictures have no SSIM."""

_SSIM_REACH = 5
_SSIM_PIXELS = 1 << 18  # at a time: similarity takes six hundred bytes for each


def decibels(squared_error: float) -> float:
    """PSNR of a mean squared error of values in [0, 1], cut off at `HIGHEST_PSNR`."""
    return min(-10 * math.log10(squared_error), HIGHEST_PSNR) if squared_error > 0 else HIGHEST_PSNR


def psnr(
    predicted: Float[Tensor, "height width channels"],
    target: Float[Tensor, "_ _ _"],
    kept: Bool[Tensor, "_ _"] | None = None,
) -> float:
    """Peak signal-to-noise ratio in decibels.

        psnr = -10 log10(mean over the pixels that count and their channels of (predicted - target)²)

    Identical pictures would give infinity, which JSON cannot say and which would swallow every mean; the value is
    therefore cut off at `HIGHEST_PSNR`, far above what 8-bit pictures can show (58.9 dB is rounding noise alone).

    Args:
        predicted, target: Values in [0, 1].
        kept: Which pixels count; None: all.

    Raises:
        ValueError: The shapes differ, a value is NaN or infinite, or no pixel counts.
    """
    _check(predicted, target, kept)
    errors = (predicted.double() - target.double()) ** 2
    return decibels(float(torch.mean(errors if kept is None else errors[kept])))


def exposed_psnr(
    predicted: Float[Tensor, "height width 3"],
    target: Float[Tensor, "_ _ 3"],
    kept: Bool[Tensor, "_ _"] | None = None,
) -> float | None:
    """PSNR of the right half, after every channel was multiplied by what fits the left half best.

    For scenes whose photos are exposed differently: nothing tells how a new one will be. After Martin-Brualla et al.
    2021 ("NeRF in the Wild"), section 4.1, with a gain in place of their code.

    Returns:
        Decibels; None where a half has no pixel that counts.

    Raises:
        ValueError: As `psnr`.
    """
    _check(predicted, target, kept)
    middle = predicted.shape[1] // 2
    counts = torch.ones(predicted.shape[:2], dtype=torch.bool) if kept is None else kept
    left, right = counts.clone(), counts.clone()
    left[:, middle:], right[:, :middle] = False, False
    if not bool(left.any() and right.any()):
        return None
    seen, photo = predicted[left].double(), target[left].double()
    gains = (seen * photo).sum(dim=0) / seen.square().sum(dim=0).clamp(min=1e-12)
    return psnr((predicted * gains.to(predicted.dtype)).clamp(0.0, 1.0), target, right)


def ssim(
    predicted: Float[Tensor, "height width 3"],
    target: Float[Tensor, "_ _ 3"],
    kept: Bool[Tensor, "_ _"] | None = None,
) -> float:
    """Structural similarity in [-1, 1], 1 for identical pictures: Gaussian window 11, sigma 1.5, data range 1.

    Where some pixels do not count, it is the mean over the windows around those that do, and the others have the
    target's values in both pictures: what is to be ignored is no error in a window that reaches into it.

    Args:
        predicted, target: Values in [0, 1], at least 11 pixels high and wide.
        kept: Which pixels count; None: all.

    Raises:
        ValueError: The shapes differ, a picture is smaller than the window, a value is NaN or infinite, or no pixel
            counts.

    Wang et al. 2004.
    """
    _check(predicted, target, kept)
    if min(predicted.shape[:2]) < SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs pictures of at least {SSIM_WINDOW} x {SSIM_WINDOW} pixels, found {_size(predicted)}"
        )
    if kept is None:
        kept = torch.ones(predicted.shape[:2], dtype=torch.bool)
    else:
        predicted = torch.where(kept[..., None], predicted, target)
    rows = max(SSIM_WINDOW, _SSIM_PIXELS // predicted.shape[1])
    total = 0.0
    for first in range(0, len(predicted), rows):
        above, last = max(first - _SSIM_REACH, 0), min(first + rows, len(predicted))
        # At least a window high, and with all that its rows' windows reach.
        above = max(min(above, len(predicted) - SSIM_WINDOW), 0)
        found = _ssim_map(*(image[above : last + _SSIM_REACH] for image in (predicted, target)))
        total += float(found[first - above : last - above][kept[first:last]].double().sum())
    return total / int(kept.sum())


def _ssim_map(predicted: Tensor, target: Tensor) -> Float[Tensor, "height width"]:
    """Similarity of the windows around all pixels, mean over the channels."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    first, second = (image.detach().float().permute(2, 0, 1)[None] for image in (predicted, target))
    _, found = structural_similarity_index_measure(
        first, second, kernel_size=SSIM_WINDOW, sigma=1.5, data_range=1.0, return_full_image=True
    )
    return found[0].mean(dim=0)


def score(
    predicted: Float[Tensor, "height width 3"],
    target: Float[Tensor, "_ _ 3"],
    kept: Bool[Tensor, "_ _"] | None = None,
) -> dict[str, float]:
    """Every score of a picture by name, finite and ready for JSON: `{"psnr": ..., "ssim": ...}`.

    Args:
        predicted, target: Values in [0, 1], at least 11 pixels high and wide.
        kept: Which pixels count; None: all.

    Raises:
        ValueError: As `psnr` and `ssim`.
    """
    return {"psnr": psnr(predicted, target, kept), "ssim": ssim(predicted, target, kept)}


def _check(predicted: Tensor, target: Tensor, kept: Tensor | None) -> None:
    if predicted.shape != target.shape:
        raise ValueError(f"pictures to compare need one size, found {_size(predicted)} against {_size(target)}")
    for name, image in (("predicted", predicted), ("target", target)):
        if not bool(torch.isfinite(image).all()):
            raise ValueError(f"the {name} picture has NaN or infinite values")
    if kept is not None and not (kept.shape == target.shape[:2] and bool(kept.any())):
        raise ValueError("pictures to compare need a mask of their size that leaves at least one pixel")


def _size(image: Tensor) -> str:
    return f"{image.shape[1]} x {image.shape[0]} pixels"
