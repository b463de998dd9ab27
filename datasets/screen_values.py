"""Linear light as the numbers of screens."""

import numpy as np
from jaxtyping import Float32


def srgb_from_linear(values: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Linear light to the values of sRGB; what lies below 0 is mirrored (IEC 61966-2-1)."""
    size = np.abs(values)
    return np.copysign(np.where(size <= 0.0031308, 12.92 * size, 1.055 * size ** (1 / 2.4) - 0.055), values)
