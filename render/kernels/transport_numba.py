"""Entropic transport on the CPU: a pair of clouds is solved from the first ε to the last while it stays in the cache.

Distances are computed anew wherever they are needed, which is cheaper than fetching them. Exponents are taken relative
to the potential of the iteration before, so that no pass for the largest one is needed; where that is too far off to be
of use (at the very start), a pass for the largest is made.
"""

import numpy as np
import torch
from numba import prange
from torch import Tensor

from ...fields.kernels.numba_runtime import compiled, compiled_parallel
from ...fields.kernels.numba_runtime import supports as supports
from .transport_reference import PER_LEVEL, RELAXATION
from .vector_exponential import power_of_two

_LOG2E = np.float32(1.4426950408889634)
_LOG2 = np.float32(0.6931471805599453)
_SAFE = np.float32(1e25)  # sums of exponentials beyond it, or below its inverse, are taken again with their largest


def solve(
    x: Tensor,
    y: Tensor,
    x_mask: Tensor,
    y_mask: Tensor,
    epsilon: Tensor,
    first_epsilon: Tensor,
    *,
    squared: bool,
    scaling: float,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, ...]:
    """See `transport_reference.solve`."""
    batch, n, m = len(x), x.shape[1], y.shape[1]
    x_potential, y_potential = np.zeros((batch, n), np.float32), np.zeros((batch, m), np.float32)
    x_gradient, y_gradient = np.zeros((batch, n, 3), np.float32), np.zeros((batch, m, 3), np.float32)
    barycenters = np.zeros((batch, n, 3), np.float32)
    cost, regularized = np.zeros(batch, np.float32), np.zeros(batch, np.float32)
    arrays = [tensor.detach().contiguous().numpy() for tensor in (x, y, x_mask, y_mask, epsilon, first_epsilon)]
    found = x_potential, y_potential, x_gradient, y_gradient, barycenters, cost, regularized
    if batch and n and m:
        _solve(*arrays, squared, np.float32(scaling), iterations, np.float32(tolerance), *found)
    tensors = map(torch.from_numpy, (cost, regularized, x_potential, y_potential, barycenters, x_gradient, y_gradient))
    return tuple(tensors)


def assign(
    x: Tensor, y: Tensor, x_mask: Tensor, y_mask: Tensor, y_potential: Tensor, epsilon: Tensor, *, squared: bool
) -> Tensor:
    """See `transport_reference.assign`."""
    arrays = [tensor.detach().contiguous().numpy() for tensor in (x, y, x_mask, y_mask, y_potential, epsilon)]
    found = np.full((len(x), x.shape[1]), -1, np.int64)
    if found.size:
        _assign(*arrays, squared, found)
    return torch.from_numpy(found)


@compiled
def _packed(points, mask):
    """Columns of the points that take part, and where they stand."""
    rows = np.empty(len(mask), np.int64)
    count = 0
    for i in range(len(mask)):
        if mask[i]:
            rows[count] = i
            count += 1
    columns = np.empty((3, count), np.float32)
    for k in range(count):
        for axis in range(3):
            columns[axis, k] = points[rows[k], axis]
    return columns, rows[:count]


@compiled
def _sum(a, b, c, y, heights, shift, scale, squared):
    """sum_j 2**(heights_j + shift - scale * cost(point, y_j)) for the point (a, b, c)."""
    total = np.float32(0)
    if squared:
        for j in range(y.shape[1]):
            dx, dy, dz = y[0, j] - a, y[1, j] - b, y[2, j] - c
            total += power_of_two(heights[j] + shift - scale * (dx * dx + dy * dy + dz * dz))
    else:
        for j in range(y.shape[1]):
            dx, dy, dz = y[0, j] - a, y[1, j] - b, y[2, j] - c
            total += power_of_two(heights[j] + shift - scale * np.sqrt(dx * dx + dy * dy + dz * dz))
    return total


@compiled
def _largest(a, b, c, y, heights, scale, squared):
    best = np.float32(-np.inf)
    for j in range(y.shape[1]):
        dx, dy, dz = y[0, j] - a, y[1, j] - b, y[2, j] - c
        far = dx * dx + dy * dy + dz * dz
        best = max(best, heights[j] - scale * (far if squared else np.sqrt(far)))
    return best


@compiled
def _update(x, f, y, g, heights, epsilon, squared, relaxation):
    """Moves f towards f_i = -ε log mean_j exp((g_j - cost_ij) / ε).

    A relaxation of 1 goes there, one of up to 2 beyond. Returns how far the rows of the plan were off, in the mean.
    """
    scale = _LOG2E / epsilon
    logarithm = np.log2(np.float32(y.shape[1]))
    for j in range(y.shape[1]):
        heights[j] = g[j] * scale - logarithm
    off = np.float32(0)
    for i in range(x.shape[1]):
        a, b, c = x[0, i], x[1, i], x[2, i]
        total = _sum(a, b, c, y, heights, f[i] * scale, scale, squared)
        off += min(abs(total - np.float32(1)), np.float32(1))
        if not (1 / _SAFE < total < _SAFE):
            shift = -_largest(a, b, c, y, heights, scale, squared)
            f[i] = shift / scale
            total = _sum(a, b, c, y, heights, shift, scale, squared)
        f[i] -= relaxation * np.log2(total) / scale
    return off / x.shape[1]


@compiled
def _finish(x, f, y, g, epsilon, squared, target, x_slope, y_slope):
    """Cost of the plan, its rows' barycentres, and the slopes of the cost at a fixed plan."""
    scale = _LOG2E / epsilon
    n, m = x.shape[1], y.shape[1]
    logarithm = np.log2(np.float32(n)) + np.log2(np.float32(m))
    cost = np.float32(0)
    for i in range(n):
        a, b, c = x[0, i], x[1, i], x[2, i]
        total, paid = np.float32(0), np.float32(0)
        tx, ty, tz = np.float32(0), np.float32(0), np.float32(0)
        sx, sy, sz = np.float32(0), np.float32(0), np.float32(0)
        for j in range(m):
            dx, dy, dz = y[0, j] - a, y[1, j] - b, y[2, j] - c
            far = dx * dx + dy * dy + dz * dz
            price = far if squared else np.sqrt(far)
            share = power_of_two((f[i] + g[j] - price) * scale - logarithm)
            steep = np.float32(2) * share if squared else share / max(price, np.float32(1e-30))
            total += share
            paid += share * price
            tx += share * y[0, j]
            ty += share * y[1, j]
            tz += share * y[2, j]
            sx -= steep * dx
            sy -= steep * dy
            sz -= steep * dz
            y_slope[0, j] += steep * dx
            y_slope[1, j] += steep * dy
            y_slope[2, j] += steep * dz
        x_slope[0, i], x_slope[1, i], x_slope[2, i] = sx, sy, sz
        inverse = np.float32(1) / max(total, np.float32(1e-30))
        target[0, i], target[1, i], target[2, i] = tx * inverse, ty * inverse, tz * inverse
        cost += paid
    return cost


@compiled
def _scatter(columns, rows, found):
    for k in range(len(rows)):
        for axis in range(3):
            found[rows[k], axis] = columns[axis, k]


@compiled
def _one(x, y, epsilon, first, squared, scaling, iterations, tolerance, f, g):
    """Potentials of one pair: ε shrinks from `first` to `epsilon`, then iterations until the rows are right."""
    heights = np.empty(max(x.shape[1], y.shape[1]), np.float32)
    now, plain = max(first, epsilon), np.float32(1)
    while now > epsilon:
        for _ in range(PER_LEVEL):
            _update(x, f, y, g, heights, now, squared, plain)
            _update(y, g, x, f, heights, now, squared, plain)
        now = max(now * scaling, epsilon)
    for k in range(iterations):
        relaxation = RELAXATION if k > 1 else plain
        off = _update(x, f, y, g, heights, epsilon, squared, relaxation)
        _update(y, g, x, f, heights, epsilon, squared, relaxation)
        if off < tolerance:
            break
    _update(x, f, y, g, heights, epsilon, squared, plain)
    _update(y, g, x, f, heights, epsilon, squared, plain)


@compiled
def _best_two(a, b, c, y, heights, squared):
    """The place of the largest heights_j - cost(point, y_j), that value, and the next one."""
    place, best, second = 0, np.float32(-np.inf), np.float32(-np.inf)
    for j in range(y.shape[1]):
        dx, dy, dz = y[0, j] - a, y[1, j] - b, y[2, j] - c
        far = dx * dx + dy * dy + dz * dz
        value = heights[j] - (far if squared else np.sqrt(far))
        if value > best:
            place, second, best = j, best, value
        elif value > second:
            second = value
    return place, best, second


@compiled
def _auction(x, y, heights, epsilon, squared, taken):
    """Whoever has nothing bids for what suits it best, and whoever is outbid has nothing again: Bertsekas 1988."""
    n = x.shape[1]
    owner, waiting = np.full(n, -1, np.int64), np.arange(n)
    count = n
    while count > 0:
        count -= 1
        i = waiting[count]
        place, best, second = _best_two(x[0, i], x[1, i], x[2, i], y, heights, squared)
        heights[place] -= (best - second if n > 1 else np.float32(0)) + epsilon
        if owner[place] >= 0:
            waiting[count] = owner[place]
            count += 1
        owner[place] = i
        taken[i] = place


@compiled_parallel
def _assign(x, y, x_mask, y_mask, y_potential, epsilon, squared, found):
    for pair in prange(len(x)):
        px, rows = _packed(x[pair], x_mask[pair])
        py, columns = _packed(y[pair], y_mask[pair])
        heights = y_potential[pair][columns]
        taken = np.zeros(len(rows), np.int64)
        if len(rows) == len(columns):
            _auction(px, py, heights, epsilon[pair], squared, taken)
        elif len(columns) > 0:
            for i in range(len(rows)):
                taken[i] = _best_two(px[0, i], px[1, i], px[2, i], py, heights, squared)[0]
        for k in range(len(rows)):
            found[pair, rows[k]] = columns[taken[k]]


@compiled_parallel
def _solve(
    x, y, x_mask, y_mask, epsilon, first, squared, scaling, iterations, tolerance,
    x_potential, y_potential, x_gradient, y_gradient, barycenters, cost, regularized,
):  # fmt: skip
    for pair in prange(len(x)):
        px, rows = _packed(x[pair], x_mask[pair])
        py, columns = _packed(y[pair], y_mask[pair])
        n, m = len(rows), len(columns)
        if n > 0 and m > 0:
            f, g = np.zeros(n, np.float32), np.zeros(m, np.float32)
            _one(px, py, epsilon[pair], first[pair], squared, scaling, iterations, tolerance, f, g)
            target, x_slope, y_slope = (
                np.empty((3, n), np.float32),
                np.empty((3, n), np.float32),
                np.zeros((3, m), np.float32),
            )
            cost[pair] = _finish(px, f, py, g, epsilon[pair], squared, target, x_slope, y_slope)
            regularized[pair] = f.mean() + g.mean()
            for k in range(n):
                x_potential[pair, rows[k]] = f[k]
            for k in range(m):
                y_potential[pair, columns[k]] = g[k]
            _scatter(target, rows, barycenters[pair])
            _scatter(x_slope, rows, x_gradient[pair])
            _scatter(y_slope, columns, y_gradient[pair])
