"""`neufield bench kernels`: every kernel beside the reference and beside what the machine can do."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..fields import MLP, HashGrid
from .bench_rows import Row
from .machine_limits import MachineLimits, measure_limits, median_seconds
from .progress import Progress

TABLE_SIZES = (15, 17, 19)
_POINTS, _REFERENCE_POINTS = 1 << 16, 1 << 13
_CORNERS = 8


def bench_kernels(*, repeats: int = 7, progress: Progress) -> list[Row]:
    """Times the hash grid and the networks of the default NeRF, forward and backward, on points drawn uniformly.

    Args:
        repeats: Runs per measurement, of which the median counts.
        progress: Told what happens.
    """
    progress.say("Measuring what the machine can do.")
    limits = measure_limits(TABLE_SIZES, repeats=repeats)
    rows = _limit_rows(limits)
    for size in TABLE_SIZES:
        progress.say(f"Hash grid, 16 levels of 2 features, tables of 2^{size} entries.")
        rows += _grid_rows(size, limits, repeats)
    progress.say("Networks.")
    for name, network in (("density", MLP(32, 16, hidden_layers=1)), ("colour", MLP(32, 3, hidden_layers=2))):
        rows += _network_rows(name, network, limits, repeats)
    return rows


def _limit_rows(limits: MachineLimits) -> list[Row]:
    rows = [
        Row("limit: multiply-adds", limits.multiply_adds / 1e9, "G/s"),
        Row("limit: copy, read and written", limits.copied_bytes / 1e9, "GB/s"),
    ]
    for size in TABLE_SIZES:
        rows.append(Row(f"limit: random reads of 8 bytes, 2^{size}", limits.reads[size] / 1e9, "G/s"))
        rows.append(Row(f"limit: random additions, 2^{size}", limits.additions[size] / 1e9, "G/s"))
    return rows


def _grid_rows(size: int, limits: MachineLimits, repeats: int) -> list[Row]:
    def rate(backend: str, points: int, *, backward: bool) -> float:
        grid = HashGrid(levels=16, features=2, log2_table_size=size, coarsest=16, finest=2048.0, backend=backend)
        x = torch.rand(points, 3, generator=torch.Generator().manual_seed(0))
        return points / _seconds(grid, x, backward=backward, repeats=repeats)

    rows: list[Row] = []
    for name, backward, limit in (("forward", False, limits.reads), ("backward", True, limits.additions)):
        fast = rate("numba", _POINTS, backward=backward)
        slow = rate("reference", _REFERENCE_POINTS, backward=backward)
        share = fast * 16 * _CORNERS / limit[size]
        rows.append(Row(f"hash grid {name}, 2^{size}", fast / 1e6, "M pt/s", "reference", fast / slow, share))
    return rows


def _network_rows(name: str, network: MLP, limits: MachineLimits, repeats: int) -> list[Row]:
    multiply_adds = network.geometry.parameters  # per point; backward does twice as many

    def rate(backend: str, points: int, *, backward: bool) -> float:
        network.backend = backend
        x = torch.rand(network.in_features, points, generator=torch.Generator().manual_seed(0)).T
        return points / _seconds(network, x.requires_grad_(), backward=backward, repeats=repeats)

    rows: list[Row] = []
    for way, backward, work in (("forward", False, multiply_adds), ("backward", True, 2 * multiply_adds)):
        fast = rate("numba", _POINTS, backward=backward)
        slow = rate("reference", _REFERENCE_POINTS, backward=backward)
        share = fast * work / limits.multiply_adds
        rows.append(Row(f"{name} network {way}", fast / 1e6, "M pt/s", "reference", fast / slow, share))
    return rows


def _seconds(module: Callable[[Tensor], Tensor], x: Tensor, *, backward: bool, repeats: int) -> float:
    """Median time of a module's forward without gradients, or of its backward alone."""

    def forward() -> Any:
        with torch.no_grad():
            return module(x)

    if not backward:
        return median_seconds(forward, repeats)
    out = module(x)
    slope = torch.ones_like(out)
    return median_seconds(lambda: torch.autograd.backward(out, slope, retain_graph=True), repeats)
