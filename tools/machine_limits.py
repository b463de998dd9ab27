"""What this machine can do at most, measured: multiply-adds, random reads and additions, copies.

Every thread has tables of its own, as in the kernels that are compared with this.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import get_num_threads, prange

from ..fields.kernels.numba_runtime import compiled_parallel
from ..fields.kernels.vector_code import LANES
from ..fields.kernels.vector_dense import REGISTER_SUMS, multiply_adds

_ROUNDS = 1 << 20
_READS = 1 << 20
_COPIED = 1 << 24  # floats, far more than any cache holds


@dataclass(frozen=True)
class MachineLimits:
    """The most that all threads together reach, per second.

    Attributes:
        multiply_adds: In float32 vectors, operands in registers.
        copied_bytes: Read and written, from memory to memory.
        reads: Random reads of two neighbouring floats (8 bytes), by the log2 of a thread's table's entries.
        additions: Random additions to two neighbouring floats, likewise.
    """

    multiply_adds: float
    copied_bytes: float
    reads: dict[int, float]
    additions: dict[int, float]


def measure_limits(log2_table_sizes: Sequence[int], *, repeats: int = 7) -> MachineLimits:
    """Measures all of them; takes a few seconds.

    Args:
        log2_table_sizes: Tables to read from and add to, as powers of two of entries of two floats.
        repeats: Runs per measurement, of which the median counts.
    """
    threads = get_num_threads()
    out = np.zeros((threads, LANES * REGISTER_SUMS), np.float32)
    multiplied = threads * _ROUNDS * LANES * REGISTER_SUMS
    source, target = np.ones(_COPIED, np.float32), np.zeros(_COPIED, np.float32)
    reads: dict[int, float] = {}
    additions: dict[int, float] = {}
    for size in log2_table_sizes:
        tables = np.ones((threads, 1 << size, 2), np.float32)
        places = np.random.default_rng(0).integers(0, 1 << size, (threads, _READS), dtype=np.uint32)
        total = threads * _READS
        reads[size] = total / median_seconds(lambda t=tables, p=places: _read(t, p, out), repeats)
        additions[size] = total / median_seconds(lambda t=tables, p=places: _add(t, p), repeats)
    return MachineLimits(
        multiplied / median_seconds(lambda: _multiply(out, _ROUNDS), repeats),
        2.0 * source.nbytes / median_seconds(lambda: _copy(source, target), repeats),
        reads,
        additions,
    )


def median_seconds(call: Callable[[], Any], repeats: int) -> float:
    """The median time of a call, after one that does not count."""
    call()
    times: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


@compiled_parallel
def _multiply(out, rounds):
    for thread in prange(out.shape[0]):
        multiply_adds(out[thread], rounds)


@compiled_parallel
def _copy(source, target):
    for i in prange(len(source)):
        target[i] = source[i]


@compiled_parallel
def _read(tables, places, out):
    for thread in prange(len(tables)):
        table, order = tables[thread], places[thread]
        first = np.float32(0.0)
        second = np.float32(0.0)
        for place in order:
            first += table[place, 0]
            second += table[place, 1]
        out[thread, 0] = first
        out[thread, 1] = second


@compiled_parallel
def _add(tables, places):
    for thread in prange(len(tables)):
        table, order = tables[thread], places[thread]
        for place in order:
            table[place, 0] += np.float32(1.0)
            table[place, 1] += np.float32(2.0)
