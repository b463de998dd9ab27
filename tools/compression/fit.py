"""Fits a picture as a field of whole numbers that take few bits: wavelet coefficients, chosen for rate and distortion.

    minimise over n:   |picture - field(n)|^2 + bit_cost step^2 bits(n)

by steps along the gradient of the distortion, each followed by the rounding that is best for both together. Bits are
those of two-sided geometric numbers, whose spread follows from what lies around them and is known to the decoder. All
coefficients share one step: the transform is nearly orthonormal, so that an error is worth the same everywhere. Colours
are turned to the principal axes of the picture's own.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import pad

from ...fields.quantization import GeometricBits
from ...fields.wavelets import Wavelets, analysis, synthesis, synthesis_gradient
from .coefficient_coding import ACROSS, DOWN, LOW, Plane
from .nfz_decoding import FRACTION, MEAN_FRACTION, MIXING_FRACTION
from .nfz_file import NfzContent, packed
from .step_search import StepSearch

_BIT_COST = 0.1  # squared steps that a bit is worth; 2 ln 2 / 12 where steps are fine
_SHORTEST_SIDE, _MOST_LEVELS = 8, 6
_ROUNDS = 3  # of rounding and estimating the bits anew
_GRADIENT_SHARE = 0.12  # the transform's largest eigenvalue is about 12, at the borders, where functions are mirrored
_FIRST_STEP = 0.1
_FINEST_STEP, _COARSEST_STEP = 1.0 / (1 << FRACTION), 512.0

Planes = list[Float[Tensor, "_ _"]]


@dataclass(frozen=True)
class Compressed:
    """A field of whole numbers, and the bytes of its file."""

    content: NfzContent
    data: bytes


class CompressionFit:
    """The coefficients of a picture on their way to a file of a given size.

    Args:
        picture: Values in [0, 1], colours multiplied by alpha.
        bits: Of the picture's numbers, 8 or 16.
        size: Bytes that the file may have.
        profile: The ICC profile that it keeps.

    Raises:
        ValueError: Not even a file without details is that small.
    """

    def __init__(
        self, picture: Float[Tensor, "height width channels"], *, bits: int, size: int, profile: bytes | None = None
    ) -> None:
        height, width, channels = picture.shape
        levels = min(max(int(math.log2(min(height, width) / _SHORTEST_SIDE)), 0), _MOST_LEVELS)
        colors = picture.reshape(-1, channels)
        means = [round(float(mean) * (1 << MEAN_FRACTION)) for mean in colors.double().mean(dim=0)]
        means = [min(mean, (1 << MEAN_FRACTION) - 1) for mean in means]
        centered = colors - torch.tensor(means) / (1 << MEAN_FRACTION)
        axes = torch.linalg.eigh((centered.T @ centered).double())[1].flip(1)
        mixing = (axes * (1 << MIXING_FRACTION)).round()
        self.components = (centered @ torch.linalg.inv(mixing.T / (1 << MIXING_FRACTION)).float()).view(picture.shape)
        sizes = width, height, channels, bits, levels, 1, tuple(means), mixing.long().numpy(), profile
        self.empty = NfzContent(*sizes, [])
        self.size = size
        self.values = as_planes(analysis(self.components, levels))
        self._step, self.steps = _FIRST_STEP, 0
        zeros = [torch.zeros_like(plane) for plane in self.values]
        self._plain = self._file(zeros, self._step)
        if (least := len(self._plain.data)) > size:
            raise ValueError(
                f"A file of {size:,} bytes is too small for this picture: without any details it takes {least:,}. Ask "
                "for more --bits-per-pixel."
            )
        self._last = self.best = self._fitting()
        self._missing = self._left_over()
        self.squared_error = float(self._missing.square().mean(dtype=torch.float64))

    def improve(self) -> float:
        """A step towards what every coefficient should be, the others being as they were rounded last.

        Returns:
            By how many decibels the best file so far became better.
        """
        gradient = as_planes(synthesis_gradient(self._missing, self.empty.levels))
        goals = [plane + change for plane, change in zip(self._dequantised(), gradient)]
        self.values = [plane.lerp(goal, _GRADIENT_SHARE) for plane, goal in zip(self.values, goals)]
        self.steps += 1
        self._last = self._fitting()
        self._missing = self._left_over()
        before, error = self.squared_error, float(self._missing.square().mean(dtype=torch.float64))
        if error >= before:
            return 0.0
        self.best, self.squared_error = self._last, error
        return 10.0 * math.log10(before / error) if error > 0.0 else math.inf

    def _dequantised(self) -> Planes:
        """The coefficients that the last file holds."""
        step = self._last.content.step / (1 << FRACTION)
        return [torch.from_numpy(plane).float() * step for plane in self._last.content.coefficients]

    def _left_over(self) -> Tensor:
        """What the last file lacks of the picture, by component."""
        wavelets = _as_wavelets(self._dequantised(), self.empty.levels, self.empty.channels)
        return self.components - synthesis(wavelets)

    def _fitting(self) -> Compressed:
        """The largest file found that is small enough; without details, if there is no other."""
        search = StepSearch(self.size, self._step, finest=_FINEST_STEP, coarsest=_COARSEST_STEP)
        best = self._plain
        while True:
            found = self._file(self._rounded(search.step), search.step)
            if len(best.data) <= len(found.data) <= self.size:
                best = found
            if not search.told(len(found.data)):
                break
        assert len(best.data) <= self.size
        self._step = best.content.step / (1 << FRACTION)
        return best

    def _file(self, numbers: Planes, step: float) -> Compressed:
        """The file of rounded coefficients."""
        planes = [plane.numpy().astype(np.int64) for plane in numbers]
        content = replace(self.empty, step=max(round(step * (1 << FRACTION)), 1), coefficients=planes)
        return Compressed(content, packed(content))

    def _rounded(self, step: float) -> Planes:
        """Whole numbers of steps that are worth their bits."""
        values = [plane / step for plane in self.values]
        numbers = [plane.sign() * (plane.abs() + 0.4).floor() for plane in values]
        for _ in range(_ROUNDS):
            around = surroundings(numbers, self.empty.planes)
            for i, (plane, known) in enumerate(zip(self.empty.planes, around)):
                if plane.kind == LOW or known.numel() == 0:
                    numbers[i] = values[i].round()
                else:
                    numbers[i] = GeometricBits.given(numbers[i], known).rounded(values[i], _BIT_COST)
        return numbers


def surroundings(numbers: Planes, planes: list[Plane]) -> Planes:
    """Weighted sums of the magnitudes around every number that a decoder knows before it: on its plane, on the coarser
    plane of its kind, on other planes of its scale, and in the channel before."""
    places = {(plane.kind, plane.channel, plane.level): i for i, plane in enumerate(planes)}
    magnitudes = [plane.abs() for plane in numbers]
    found: Planes = []
    for plane, own in zip(planes, magnitudes):
        shifted = _shifts(own)
        total = 2.0 * (shifted(0, -1) + shifted(-1, 0)) + shifted(-1, -1) + shifted(-1, 1)
        total = total + 0.5 * (shifted(0, -2) + shifted(-2, 0))
        others = [
            ((plane.kind, plane.channel, plane.level + 1), 0.5),
            ((plane.kind, plane.channel - 1, plane.level), 0.3),
        ]
        others += [((kind, plane.channel, plane.level), 0.3) for kind in (ACROSS, DOWN) if plane.kind > kind]
        for key, weight in others:
            if key in places and key[0] != LOW and magnitudes[places[key]].numel() and own.numel():
                other = _shifts(magnitudes[places[key]])
                sums = 2.0 * other(0, 0) + other(0, 1) + other(0, -1) + other(1, 0) + other(-1, 0)
                total = total + weight * _at_size(sums, own.shape, doubled=key[2] > plane.level)
        found.append(total)
    return found


def _shifts(plane: Tensor) -> Callable[[int, int], Tensor]:
    """The plane moved by rows and columns, up to two, zeros behind it."""
    padded = pad(plane, (2, 2, 2, 2))
    height, width = plane.shape
    return lambda row, column: padded[2 + row : 2 + row + height, 2 + column : 2 + column + width]


def _at_size(plane: Tensor, shape: torch.Size, *, doubled: bool) -> Tensor:
    """A plane repeated along both axes, if it is coarser, and cut or continued to a size."""
    rows, columns = (torch.arange(side) // (2 if doubled else 1) for side in shape)
    return plane[rows.clamp(max=plane.shape[0] - 1)][:, columns.clamp(max=plane.shape[1] - 1)]


def as_planes(wavelets: Wavelets) -> Planes:
    """Coefficients in the order of `nfz_file.planes_of`."""
    channels = range(wavelets.low.shape[2])
    planes = [wavelets.low[..., channel] for channel in channels]
    for details in wavelets.details:
        planes += [part[..., channel] for channel in channels for part in details]
    return planes


def _as_wavelets(planes: Planes, levels: int, channels: int) -> Wavelets:
    """The inverse of `as_planes`."""
    low, rest = torch.stack(planes[:channels], dim=2), planes[channels:]
    details: list[tuple[Tensor, Tensor, Tensor]] = []
    for level in range(levels):
        first = 3 * channels * level
        across, down, both = (torch.stack(rest[first + k : first + 3 * channels : 3], dim=2) for k in range(3))
        details.append((across, down, both))
    return Wavelets(low, tuple(details))
