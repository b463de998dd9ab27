"""What else a picture can be compressed by, to stand beside our own file: JPEG, and published points of COIN."""

import io
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from ..image.rendering import LONGEST_JPEG_SIDE


@dataclass(frozen=True)
class Rate:
    """A way to compress, its size and its PSNR in decibels."""

    name: str
    bits_per_pixel: float
    psnr: float


COIN_POINTS = (
    Rate("COIN, mean over Kodak", 0.307, 26.41),
    Rate("COIN, mean over Kodak", 0.611, 28.41),
    Rate("COIN, mean over Kodak", 1.209, 30.64),
)
"""Dupont et al. 2021, "COIN: COmpression with Implicit Neural representations"."""


def best_jpeg(picture: Float[Tensor, "height width channels"], size: int) -> Rate | None:
    """The best that Pillow makes of a picture in [0, 1] in so many bytes, colours halved or not.

    Returns:
        None where the picture has alpha or sides that no JPEG has, or none of its files is that small.
    """
    from PIL import Image

    if picture.shape[2] not in (1, 3) or max(picture.shape[:2]) > LONGEST_JPEG_SIDE:
        return None
    values = np.rint(picture.numpy() * 255.0).astype(np.uint8)
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    found: list[Rate] = []
    for subsampling in (2, 0):

        def encoded(quality: int, *, subsampling: int = subsampling) -> bytes:
            file = io.BytesIO()
            image.save(file, "JPEG", quality=quality, subsampling=subsampling, optimize=True)
            return file.getvalue()

        low, high = 0, 101  # small enough if there is one, and too large
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if len(encoded(middle)) <= size else (low, middle)
        if low:
            data = encoded(low)
            drawn = np.asarray(Image.open(io.BytesIO(data)), np.float64).reshape(values.shape)
            error = float(np.mean((drawn - values) ** 2)) / 255.0**2
            decibels = min(-10.0 * np.log10(error), 100.0) if error else 100.0
            found.append(Rate(f"JPEG, quality {low}", 8.0 * len(data) / values[..., 0].size, float(decibels)))
    return max(found, key=lambda rate: rate.psnr, default=None)
