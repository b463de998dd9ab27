"""Frames that are read between their pixels: sharp for drawing, blurred for finding out what moved where."""

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor


class KeyFrames:
    """Frames of one size, and smaller copies of them, each half as large as the one before.

    Places lie to the right and downwards from the top left, in lengths of the frames' longer side; beside the frame it
    is as at its border.

    Args:
        frames: RGB.
        levels: How many sizes there are, the full one included; fewer where a side would be less than four pixels.
    """

    def __init__(self, frames: UInt8[Tensor, "frames height width 3"], *, levels: int = 1) -> None:
        self.longest = max(frames.shape[1:3])
        self._levels = [frames]
        while len(self._levels) < levels and min(self._levels[-1].shape[1:3]) >= 8:
            self._levels.append(_halved(self._levels[-1]))

    def __len__(self) -> int:
        return len(self._levels)

    def __call__(self, frames: Int[Tensor, " n"], places: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
        """Colours in [0, 1] or a little beside it, by cubic convolution: exact at the middles of pixels.

        Keys 1981, "Cubic Convolution Interpolation for Digital Image Processing", a = -1/2. Not differentiable.

        Args:
            frames: Which frame.
            places: Where in it.
        """
        pixels = self._levels[0]
        height, width = pixels.shape[1:3]
        at = places.detach() * self.longest - 0.5
        corner = at.floor()
        across, down = (_cubic_weights(fraction) for fraction in (at - corner).unbind(dim=1))
        column, row = corner.long().unbind(dim=1)
        flat, total = pixels.reshape(-1, 3), places.new_zeros(len(places), 3)
        for i, of_row in enumerate(down):
            start = (frames * height + (row + i - 1).clamp(0, height - 1)) * width
            for j, of_column in enumerate(across):
                total += (of_row * of_column)[:, None] * flat[start + (column + j - 1).clamp(0, width - 1)]
        return total / 255.0

    def blurred(self, level: int, frames: Int[Tensor, " n"], places: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
        """Colours in [0, 1], bilinear between the middles of pixels of a smaller copy.

        Differentiable in `places`; the derivative is zero beside the frame.

        Args:
            level: 0 is the full size, level l has 2^-l of it along each side.
            frames: Which frame.
            places: Where in it.
        """
        pixels = self._levels[level]
        height, width = pixels.shape[1:3]
        last = places.new_tensor([width - 1, height - 1])
        at = (places * (self.longest / 2**level) - 0.5).clamp(min=torch.zeros_like(last), max=last)
        corner = at.detach().floor().minimum(last - 1).clamp(min=0)
        across, down = (at - corner).split(1, dim=1)
        column, row = corner.long().unbind(dim=1)
        flat = pixels.reshape(-1, 3)
        first = (frames * height + row) * width + column
        right, below = int(width > 1), width * int(height > 1)
        top = torch.lerp(flat[first].float(), flat[first + right].float(), across)
        bottom = torch.lerp(flat[first + below].float(), flat[first + below + right].float(), across)
        return torch.lerp(top, bottom, down) / 255.0


def _cubic_weights(fraction: Float[Tensor, " n"]) -> tuple[Float[Tensor, " n"], ...]:
    """Weights of the four pixels around a place that lies a fraction of a pixel behind the second of them."""
    t = fraction
    return (
        -0.5 * t + t**2 - 0.5 * t**3,
        1.0 - 2.5 * t**2 + 1.5 * t**3,
        0.5 * t + 2.0 * t**2 - 1.5 * t**3,
        -0.5 * t**2 + 0.5 * t**3,
    )


def _halved(frames: UInt8[Tensor, "frames height width 3"]) -> UInt8[Tensor, "frames rows columns 3"]:
    """Means of two by two pixels, of fewer at the right and the bottom of odd sizes."""
    halves = [
        torch.nn.functional.avg_pool2d(
            frame.permute(2, 0, 1).float(), 2, ceil_mode=True, count_include_pad=False
        ).round()
        for frame in frames
    ]
    return torch.stack(halves).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
