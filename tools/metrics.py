"""Scores of a picture against its target: PSNR and SSIM, as the literature computes them for values in [0, 1]."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

HIGHEST_PSNR = 100.0
"""Decibels given to pictures that agree to 1e-10 in mean squared error or better, identical ones among them."""

_SSIM_WINDOW = 11


def psnr(predicted: Float[Tensor, "height width 3"], target: Float[Tensor, "_ _ 3"]) -> float:
    """Peak signal-to-noise ratio in decibels.

        psnr = -10 log10(mean over pixels and channels of (predicted - target)²)

    Identical pictures would give infinity, which JSON cannot say and which would swallow every mean; the value is
    therefore cut off at `HIGHEST_PSNR`, far above what 8-bit pictures can show (58.9 dB is rounding noise alone).

    Args:
        predicted, target: Values in [0, 1].

    Raises:
        ValueError: The shapes differ, or a value is NaN or infinite.
    """
    _check(predicted, target)
    squared_error = float(torch.mean((predicted.double() - target.double()) ** 2))
    return min(-10 * math.log10(squared_error), HIGHEST_PSNR) if squared_error > 0 else HIGHEST_PSNR


def ssim(predicted: Float[Tensor, "height width 3"], target: Float[Tensor, "_ _ 3"]) -> float:
    """Structural similarity in [-1, 1], 1 for identical pictures: Gaussian window 11, sigma 1.5, data range 1.

    Args:
        predicted, target: Values in [0, 1], at least 11 pixels high and wide.

    Raises:
        ValueError: The shapes differ, a picture is smaller than the window, or a value is NaN or infinite.

    Wang et al. 2004.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure

    _check(predicted, target)
    if min(predicted.shape[:2]) < _SSIM_WINDOW:
        raise ValueError(
            f"SSIM needs pictures of at least {_SSIM_WINDOW} x {_SSIM_WINDOW} pixels, found {_size(predicted)}"
        )
    first, second = (image.detach().float().permute(2, 0, 1)[None] for image in (predicted, target))
    value = structural_similarity_index_measure(first, second, kernel_size=_SSIM_WINDOW, sigma=1.5, data_range=1.0)
    assert isinstance(value, Tensor)
    return float(value)


def score(predicted: Float[Tensor, "height width 3"], target: Float[Tensor, "_ _ 3"]) -> dict[str, float]:
    """Every score of a picture by name, finite and ready for JSON: `{"psnr": ..., "ssim": ...}`.

    Args:
        predicted, target: Values in [0, 1], at least 11 pixels high and wide.

    Raises:
        ValueError: As `psnr` and `ssim`.
    """
    return {"psnr": psnr(predicted, target), "ssim": ssim(predicted, target)}


def _check(predicted: Tensor, target: Tensor) -> None:
    if predicted.shape != target.shape:
        raise ValueError(f"pictures to compare need one size, found {_size(predicted)} against {_size(target)}")
    for name, image in (("predicted", predicted), ("target", target)):
        if not bool(torch.isfinite(image).all()):
            raise ValueError(f"the {name} picture has NaN or infinite values")


def _size(image: Tensor) -> str:
    return f"{image.shape[1]} x {image.shape[0]} pixels"
