"""Grids of features stored as wavelets: the biorthogonal 9/7 pair, by lifting.

A row of numbers is split into even ones s and odd ones d, and each half is corrected by its neighbours in the other:

    d_i += a (s_i + s_{i+1}),    s_i += b (d_{i-1} + d_i),    d_i += c (s_i + s_{i+1}),    s_i += e (d_{i-1} + d_i)

and then scaled to s K and d / K, which makes the transform nearly orthonormal: an error of a coefficient is one of the
grid of about the same size. Beyond its ends a row is mirrored. Cohen, Daubechies and Feauveau 1992; Daubechies and
Sweldens 1998, "Factoring Wavelet Transforms into Lifting Steps", section 7.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

LIFTING = (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971)
"""a, b, c and e."""
NORM = 1.149604398860241
"""K."""


@dataclass(frozen=True)
class Wavelets:
    """Coefficients of a grid.

    Attributes:
        low: Means, (h, w, channels).
        details: From the coarsest level to the finest, each (across, down, both): odd columns of even rows, even
            columns of odd rows, and odd columns of odd rows.
    """

    low: Tensor
    details: tuple[tuple[Tensor, Tensor, Tensor], ...]


def analysis(grid: Float[Tensor, "height width channels"], levels: int) -> Wavelets:
    """The coefficients of a grid; `synthesis` is the inverse."""
    return _split(grid, levels, _apart)


def synthesis(wavelets: Wavelets) -> Float[Tensor, "height width channels"]:
    """The grid of some coefficients. Not differentiable by autograd; `synthesis_gradient` is its transpose."""
    low = wavelets.low
    for across, down, both in wavelets.details:
        even = _turned(_together(_turned(low), _turned(across)))
        odd = _turned(_together(_turned(down), _turned(both)))
        low = _together(even, odd)
    return low


def synthesis_gradient(grid_gradient: Float[Tensor, "height width channels"], levels: int) -> Wavelets:
    """The gradient by the coefficients, of that by the grid."""
    return _split(grid_gradient, levels, _together_transposed)


def _split(grid: Tensor, levels: int, apart: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Wavelets:
    details: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(levels):
        (low, across), (down, both) = ((_turned(part) for part in apart(_turned(half))) for half in apart(grid))
        details.append((across, down, both))
        grid = low
    return Wavelets(grid, tuple(reversed(details)))


def _turned(grid: Tensor) -> Tensor:
    return grid.transpose(0, 1).contiguous()


def _apart(rows: Tensor) -> tuple[Tensor, Tensor]:
    even, odd = rows[0::2].clone(), rows[1::2].clone()
    if len(odd) == 0:
        return even, odd
    for step, factor in enumerate(LIFTING):
        (_lift_even if step % 2 else _lift_odd)(even, odd, factor)
    return even * NORM, odd / NORM


def _together(even: Tensor, odd: Tensor) -> Tensor:
    if len(odd) == 0:
        return even
    even, odd = even / NORM, odd * NORM
    for step in (3, 2, 1, 0):
        (_lift_even if step % 2 else _lift_odd)(even, odd, -LIFTING[step])
    rows = even.new_empty(len(even) + len(odd), *even.shape[1:])
    rows[0::2], rows[1::2] = even, odd
    return rows


def _together_transposed(rows: Tensor) -> tuple[Tensor, Tensor]:
    even, odd = rows[0::2].clone(), rows[1::2].clone()
    if len(odd) == 0:
        return even, odd
    for step, factor in enumerate(LIFTING):
        (_lift_even_transposed if step % 2 else _lift_odd_transposed)(even, odd, -factor)
    return even / NORM, odd * NORM


def _lift_odd(even: Tensor, odd: Tensor, factor: float) -> None:
    inner = len(even) - 1
    odd.add_(even[: len(odd)], alpha=factor)
    odd[:inner].add_(even[1:], alpha=factor)
    odd[inner:].add_(even[inner : len(odd)], alpha=factor)


def _lift_even(even: Tensor, odd: Tensor, factor: float) -> None:
    even[: len(odd)].add_(odd, alpha=factor)
    even[1 : len(odd) + 1].add_(odd[: len(even) - 1], alpha=factor)
    even[:1].add_(odd[:1], alpha=factor)
    even[len(odd) :].add_(odd[len(odd) - 1 :][: len(even) - len(odd)], alpha=factor)


def _lift_odd_transposed(even: Tensor, odd: Tensor, factor: float) -> None:
    inner = len(even) - 1
    even[: len(odd)].add_(odd, alpha=factor)
    even[1:].add_(odd[:inner], alpha=factor)
    even[inner : len(odd)].add_(odd[inner:], alpha=factor)


def _lift_even_transposed(even: Tensor, odd: Tensor, factor: float) -> None:
    odd.add_(even[: len(odd)], alpha=factor)
    odd[: len(even) - 1].add_(even[1 : len(odd) + 1], alpha=factor)
    odd[:1].add_(even[:1], alpha=factor)
    odd[len(odd) - 1 :][: len(even) - len(odd)].add_(even[len(odd) :], alpha=factor)
