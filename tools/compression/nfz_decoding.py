"""Pictures of quantised fields, drawn in whole numbers alone, so that they are the same on all machines.

Every sum and product stays below 2^53: 64-bit integers and double precision agree on all of them, in any order.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Num

from .coefficient_coding import ACROSS, BOTH, DOWN, LOW
from .nfz_file import NfzContent

FRACTION = 22
"""Bits behind the point of the numbers on the grid, of which 1 is the largest value of a picture."""
MEAN_FRACTION = 15
"""Bits behind the point of a channel's mean."""
MIXING_FRACTION = 14
"""Bits behind the point of what channels have of components."""

_LIFTING = (-103949, -3472, 57862, 29066)  # as `fields.wavelets.LIFTING`, in 2^-16
_LIFTING_FRACTION = 16
_NORM = 1_419_046_751  # K^2 in 2^-30, of which the steps take what scaling would do
_NORM_FRACTION = 30
_LARGEST = 1 << 31  # on the grid
_STEP_FRACTION = 16
_PLACE_FRACTION = 10
_TAP_FRACTION = 14


@dataclass(frozen=True)
class Span:
    """Pixels along an axis of a drawing, over a part of a picture.

    Attributes:
        start, stop: The part, in 65536ths of the picture's pixels.
        count: Pixels drawn.
    """

    start: int
    stop: int
    count: int


def component_grid(content: NfzContent, numbers: type = np.int64) -> Num[np.ndarray, "height width components"]:
    """The grid of a field's components, in 2^-22, as 64-bit integers or, the same, in double precision."""
    planes = dict(zip(((p.kind, p.channel, p.level) for p in content.planes), content.coefficients, strict=True))

    def stacked(kind: int, level: int, step: int) -> np.ndarray:
        plane = np.stack([planes[kind, channel, level] for channel in range(content.channels)], axis=2)
        most = (_LARGEST << _STEP_FRACTION) // step
        return _rounded((plane.clip(-most, most) * step).astype(numbers), _STEP_FRACTION)

    steps = [content.step << _STEP_FRACTION]
    for _ in range(content.levels):
        steps.append((steps[-1] << _NORM_FRACTION) // _NORM)
    low = stacked(LOW, content.levels - 1, steps[-1])
    for level in reversed(range(content.levels)):
        across, down = (stacked(kind, level, steps[level]) for kind in (ACROSS, DOWN))
        both = stacked(BOTH, level, steps[level] * _NORM >> _NORM_FRACTION)
        even, odd = _joined(low, across, axis=1), _joined(down, both, axis=1)
        low = _joined(even, odd, axis=0).clip(-_LARGEST, _LARGEST)
    return low


@dataclass(frozen=True)
class Taps:
    """Which vertices of a grid's axis the pixels of a drawing are made of.

    Attributes:
        first: The first vertex of each pixel, (pixels,).
        weights: How much of it and of those that follow, (pixels, taps), in 2^-14; each pixel's add up to 1.
    """

    first: Int[np.ndarray, " pixels"]
    weights: Int[np.ndarray, "pixels taps"]


def taps_of(span: Span, vertices: int) -> Taps:
    """The taps of all pixels along an axis.

    Between the grid's vertices, the middles of the picture's pixels, values are interpolated cubically (Keys 1981, a =
    -1/2); a pixel that covers more than one of them is the mean of as many places.
    """
    width = span.stop - span.start
    inner = max(1, -(-width // (span.count << 16)))
    pieces = 2 * span.count * inner
    # Middles of the pieces of pixels, counted from the middle of the grid's first vertex, rounded down to 2^-10.
    middles = span.start * pieces + width * (2 * np.arange(span.count * inner, dtype=np.int64) + 1)
    place = middles // (pieces << 16 - _PLACE_FRACTION) - (1 << _PLACE_FRACTION - 1)
    whole, f = place >> _PLACE_FRACTION, place & ((1 << _PLACE_FRACTION) - 1)
    one = 1 << _PLACE_FRACTION
    cubic = np.stack(
        [
            -f * (one - f) ** 2,
            3 * f**3 - 5 * f**2 * one + 2 * one**3,
            f * (one**2 + 4 * f * one - 3 * f**2),
            -(one - f) * f**2,
        ],
        axis=1,
    )
    places = (whole[:, None] + np.arange(-1, 3)).clip(0, vertices - 1).reshape(span.count, 4 * inner)
    first = places.min(axis=1)
    # What all places of a pixel have of a vertex is added up before it is rounded, and rounded so that no sum of the
    # weights from the first one on is off by more than half a unit.
    exact = np.zeros((span.count, int((places.max(axis=1) - first).max()) + 1), np.int64)
    np.add.at(exact, (np.arange(span.count)[:, None], places - first[:, None]), cubic.reshape(places.shape))
    unit = inner << 3 * _PLACE_FRACTION + 1 - _TAP_FRACTION
    sums = (exact.cumsum(axis=1) + unit // 2) // unit
    return Taps(first, np.diff(sums, axis=1, prepend=0))


def drawn_rows(
    content: NfzContent, grid: Num[np.ndarray, "height width components"], rows: Taps, columns: Taps, band: range
) -> Int[np.ndarray, "rows columns channels"]:
    """Some rows of pixels of a drawing, as whole numbers of the picture's type.

    Args:
        content: The picture.
        grid: See `component_grid`.
        rows, columns: Of the whole drawing.
        band: The rows.
    """
    first, weights = rows.first[band.start : band.stop], rows.weights[band.start : band.stop]
    start, stop = int(first.min()), int(first.max()) + weights.shape[1]
    part = _weighted(grid[start:stop].swapaxes(0, 1), columns.first, columns.weights).swapaxes(0, 1)
    components = _weighted(part, first - start, weights)
    mixing = content.mixing.astype(grid.dtype)
    products = np.stack([components * row for row in mixing], axis=2)
    values = _rounded(products.sum(axis=3), MIXING_FRACTION)
    means = np.array(content.means, grid.dtype) * (1 << FRACTION - MEAN_FRACTION)
    largest = (1 << content.bits) - 1
    return _rounded((values + means).clip(0, 1 << FRACTION) * largest, FRACTION).astype(np.int64)


def drawn_bands(
    content: NfzContent, rows: Span, columns: Span, *, most_pixels: int = 1 << 18
) -> Iterator[Int[np.ndarray, "rows columns channels"]]:
    """A drawing from top to bottom."""
    grid = component_grid(content)
    down, across = taps_of(rows, content.height), taps_of(columns, content.width)
    high = max(1, most_pixels // columns.count)
    for start in range(0, rows.count, high):
        yield drawn_rows(content, grid, down, across, range(start, min(start + high, rows.count)))


def decoded(content: NfzContent) -> Int[np.ndarray, "height width channels"]:
    """The picture at its own size."""
    rows, columns = (Span(0, side << 16, side) for side in (content.height, content.width))
    return np.concatenate(list(drawn_bands(content, rows, columns)))


def _rounded(values: np.ndarray, bits: int) -> np.ndarray:
    """values / 2^bits, to the nearest whole number."""
    if values.dtype == np.int64:
        return (values + (1 << bits - 1)) >> bits
    return np.floor((values + float(1 << bits - 1)) * 0.5**bits)


def _joined(even: np.ndarray, odd: np.ndarray, *, axis: int) -> np.ndarray:
    """Undoes a level along an axis, see `fields.wavelets`."""
    even, odd = np.moveaxis(even, axis, 0).copy(), np.moveaxis(odd, axis, 0).copy()
    if len(odd):
        behind, before = np.arange(1, len(odd) + 1).clip(max=len(even) - 1), np.arange(-1, len(even) - 1).clip(min=0)
        same = np.arange(len(even)).clip(max=len(odd) - 1)
        for step in (3, 2, 1, 0):
            if step % 2:
                even -= _rounded((odd[before] + odd[same]) * _LIFTING[step], _LIFTING_FRACTION)
            else:
                odd -= _rounded((even[: len(odd)] + even[behind]) * _LIFTING[step], _LIFTING_FRACTION)
    joined = np.empty((len(even) + len(odd), *even.shape[1:]), even.dtype)
    joined[0::2], joined[1::2] = even, odd
    return np.moveaxis(joined, 0, axis)


def _weighted(values: np.ndarray, first: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """sum_k weights[i, k] values[first[i] + k], in 2^-14 as a whole; weights behind the last value are 0."""
    total = np.zeros((len(first), *values.shape[1:]), values.dtype)
    for k in range(weights.shape[1]):
        if weights[:, k].any():
            places = (first + k).clip(max=len(values) - 1)
            total += values[places] * weights[:, k].astype(values.dtype)[:, None, None]
    return _rounded(total, _TAP_FRACTION)
