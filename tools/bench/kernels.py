"""`neufield bench kernels`: every kernel beside the reference and beside what the machine can do."""

import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ...fields import MLP, HashGrid, Siren
from ..progress import Progress
from .machine_limits import Work, addition_work, copy_work, median_ratio, multiply_add_work, rates, read_work
from .rows import Row

TABLE_SIZES = (15, 17, 19)
_POINTS = 1 << 16
_LEVELS, _CORNERS = 16, 8
_FEATURES = 2 * _LEVELS
_PIXELS = 1 << 14


def bench_kernels(*, repeats: int = 7, progress: Progress) -> list[Row]:
    """Times the hash grid and the networks of the default NeRF, and a SIREN, forward and backward, on uniform points.

    Each kernel, its reference and the limit it runs into are timed in turn, so that all see the same machine.

    Args:
        repeats: Turns per measurement, of which the median counts.
        progress: Told what happens.
    """
    rows: list[Row] = []
    for size in TABLE_SIZES:
        progress.say(f"Hash grid, {_LEVELS} levels of 2 features, tables of 2^{size} entries.")
        rows += _grid_rows(size, repeats)
    progress.say("Networks.")
    arithmetic = multiply_add_work()
    for name, outputs, hidden_layers in (("density", 16, 1), ("colour", 3, 2)):
        rows += _network_rows(name, outputs, hidden_layers, arithmetic, repeats)
    rows += _siren_rows(arithmetic, repeats)
    (copied,) = rates([copy_work()], repeats)
    rows.append(Row("limit: copy, read and written", statistics.median(copied) / 1e9, "GB/s"))
    return rows


def _grid_rows(size: int, repeats: int) -> list[Row]:
    def work(backend: str, *, backward: bool) -> Work:
        grid = HashGrid(levels=_LEVELS, features=2, log2_table_size=size, coarsest=16, finest=2048.0, backend=backend)
        x = torch.rand(_POINTS, 3, generator=torch.Generator().manual_seed(0))
        return Work(_POINTS, _call(grid, x, backward=backward))

    accesses = _LEVELS * _CORNERS
    rows: list[Row] = []
    for name, limit, backward in (("reads", read_work(size), False), ("additions", addition_work(size), True)):
        way = "backward" if backward else "forward"
        compared = work("numba", backward=backward), work("reference", backward=backward)
        rows += _rows(f"hash grid {way}, 2^{size}", *compared, accesses, f"random {name}, 2^{size}", limit, repeats)
    return rows


def _network_rows(name: str, outputs: int, hidden_layers: int, arithmetic: Work, repeats: int) -> list[Row]:
    def network(backend: str) -> MLP:
        return MLP(_FEATURES, outputs, hidden_layers=hidden_layers, backend=backend)

    def work(backend: str, *, backward: bool) -> Work:
        x = torch.rand(_FEATURES, _POINTS, generator=torch.Generator().manual_seed(0)).T.requires_grad_()
        return Work(_POINTS, _call(network(backend), x, backward=backward))

    multiply_adds = network("auto").geometry.parameters  # per point; backward does twice as many
    rows: list[Row] = []
    for way, backward, count in (("forward", False, multiply_adds), ("backward", True, 2 * multiply_adds)):
        compared = work("numba", backward=backward), work("reference", backward=backward)
        rows += _rows(f"{name} network {way}", *compared, count, "multiply-adds", arithmetic, repeats)
    return rows


def _siren_rows(arithmetic: Work, repeats: int) -> list[Row]:
    def work(backend: str, *, backward: bool) -> Work:
        x = torch.rand(_PIXELS, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1
        return Work(_PIXELS, _call(Siren(2, 3, backend=backend), x, backward=backward))

    (first, *others), rows = [outputs * inputs for outputs, inputs in Siren(2, 3).geometry.shapes], list[Row]()
    # Nobody asks for the gradient by coordinates, so that the first layer's product is taken once.
    for way, backward, count in (("forward", False, first + sum(others)), ("backward", True, first + 2 * sum(others))):
        compared = work("numba", backward=backward), work("reference", backward=backward)
        rows += _rows(f"SIREN {way}", *compared, count, "multiply-adds", arithmetic, repeats)
    return rows


def _rows(name: str, fast: Work, slow: Work, operations: int, limit_name: str, limit: Work, repeats: int) -> list[Row]:
    """A kernel's row, below the limit it runs into, which it uses up so many operations of at each point."""
    kernel, reference, most = rates([fast, slow, limit], repeats)
    share = operations * median_ratio(kernel, most)
    return [
        Row(f"limit: {limit_name}", statistics.median(most) / 1e9, "G/s"),
        Row(name, statistics.median(kernel) / 1e6, "M pt/s", "reference", median_ratio(kernel, reference), share),
    ]


def _call(module: nn.Module, x: Tensor, *, backward: bool) -> Callable[[], Any]:
    """A module's forward without gradients, or its backward alone."""
    if backward:
        out = module(x)
        wanted = [*module.parameters(), *([x] if x.requires_grad else [])]
        return lambda: torch.autograd.grad(out, wanted, torch.ones_like(out), retain_graph=True)

    def forward() -> Any:
        with torch.no_grad():
            return module(x)

    return forward
