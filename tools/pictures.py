"""Pictures for people: 8-bit conversion, error and depth in colour, strips side by side.

Pictures are (height, width, 3) tensors of screen values in [0, 1]; `to_uint8` makes the arrays that files are made of.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

LARGEST_ERROR = 0.25
"""Error shown in the brightest colour of error pictures, unless told otherwise."""

# Lightness rises in equal steps of OKLab from 0.16 to 0.96 while the hue turns from violet over red to yellow.
_HEAT = (
    (0.053, 0.000, 0.197),
    (0.220, 0.000, 0.313),
    (0.416, 0.006, 0.363),
    (0.627, 0.013, 0.348),
    (0.799, 0.192, 0.275),
    (0.916, 0.384, 0.183),
    (0.973, 0.588, 0.212),
    (0.983, 0.785, 0.434),
    (0.992, 0.956, 0.730),
)


def to_uint8(image: Float[Tensor, "height width channels"]) -> UInt8[np.ndarray, "height width channels"]:
    """Rounds values in [0, 1] to 0..255; what lies outside is cut off, NaN becomes 0."""
    values = image.detach().cpu().float().nan_to_num(0.0).clamp(0, 1)
    return (values * 255).round().to(torch.uint8).numpy()


def heat_colors(values: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape 3"]:
    """Colours for numbers: dark violet at 0 over red to pale yellow at 1, evenly spaced to the eye.

    Values outside [0, 1] take the end colours.
    """
    table = torch.tensor(_HEAT, dtype=values.dtype, device=values.device)
    place = values.nan_to_num(0.0).clamp(0, 1) * (len(_HEAT) - 1)
    left = place.floor().long().clamp(max=len(_HEAT) - 2)
    return torch.lerp(table[left], table[left + 1], (place - left)[..., None])


def error_image(
    predicted: Float[Tensor, "height width 3"],
    target: Float[Tensor, "_ _ 3"],
    *,
    largest: float = LARGEST_ERROR,
) -> Float[Tensor, "height width 3"]:
    """The absolute error, mean of the channels, in heat colours.

    Args:
        predicted, target: Values in [0, 1].
        largest: Error shown in the brightest colour, > 0; one value for all views keeps them comparable.
    """
    if predicted.shape != target.shape:
        raise ValueError(f"pictures to compare need one size, found {tuple(predicted.shape)} and {tuple(target.shape)}")
    return heat_colors((predicted - target).abs().mean(dim=-1) / largest)


def striped(
    image: Float[Tensor, "height width 3"], kept: Bool[Tensor, "height width"] | None
) -> Float[Tensor, "height width 3"]:
    """The picture under grey stripes where a mask has it ignored; as it is without a mask."""
    if kept is None:
        return image
    rows, columns = (torch.arange(side, device=image.device) for side in image.shape[:2])
    width = max(2, image.shape[0] // 50)
    stripes = 0.45 + 0.2 * ((rows[:, None] + columns) // width % 2)[..., None]
    return torch.where(kept[..., None], image, torch.lerp(image, stripes.expand_as(image), 0.8))


def depth_image(
    depth: Float[Tensor, "height width"], opacity: Float[Tensor, "height width"]
) -> Float[Tensor, "height width 3"]:
    """Depth in heat colours, near bright and far dark, fading to white where nothing is.

    The range is that of the 2nd to the 98th percentile of what is more than half opaque.

    Args:
        depth: Distance of the surface from the camera where there is one, scene units.
        opacity: In [0, 1].
    """
    solid = depth[(opacity > 0.5) & depth.isfinite()]
    if solid.numel() == 0:
        return torch.ones(*depth.shape, 3, dtype=depth.dtype, device=depth.device)
    ordered = solid.sort().values
    last = len(ordered) - 1
    near, far = ordered[round(0.02 * last)], ordered[round(0.98 * last)]
    nearness = (far - depth) / (far - near).clamp(min=1e-9)
    # The darkest tenth is left out: it would look like a hole.
    colors = heat_colors(0.1 + 0.9 * nearness.clamp(0, 1))
    return torch.lerp(torch.ones_like(colors), colors, opacity.clamp(0, 1)[..., None])


def side_by_side(*images: Float[Tensor, "_ _ 3"], gap: int = 6, between: float = 1.0) -> Float[Tensor, "_ _ 3"]:
    """Puts pictures of one height next to each other.

    Args:
        images: At least one.
        gap: Pixels between neighbours, >= 0.
        between: Grey value of the gaps, in [0, 1].
    """
    heights = sorted({image.shape[0] for image in images})
    if len(heights) != 1:
        raise ValueError(f"pictures side by side need one height, found {heights or 'no pictures'}")
    strip = images[0].new_full((heights[0], gap, 3), between)
    parts = [part for image in images for part in (strip, image)]
    return torch.cat(parts[1:], dim=1)
