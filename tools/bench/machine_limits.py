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

from ...fields.kernels.numba_runtime import compiled_parallel
from ...fields.kernels.vector_code import LANES
from ...fields.kernels.vector_dense import REGISTER_SUMS, multiply_adds
from ...fields.kernels.vector_grid import add_pairs, read_pairs

_ROUNDS = 1 << 18
_ACCESSES = 1 << 19
_TABLES = 16
_COPIED = 1 << 23  # floats, far more than any cache holds


@dataclass(frozen=True)
class Work:
    """Something that a machine does so many times in a call.

    Attributes:
        operations: Per call.
        run: The call.
    """

    operations: float
    run: Callable[[], Any]


def multiply_add_work() -> Work:
    """Multiply-adds of float32 vectors, operands in registers, in all threads."""
    threads = get_num_threads()
    out = np.zeros((threads, LANES * REGISTER_SUMS), np.float32)
    return Work(threads * _ROUNDS * LANES * REGISTER_SUMS, lambda: _multiply(out, _ROUNDS))


def copy_work() -> Work:
    """Bytes read and written, from memory to memory."""
    source, target = np.ones(_COPIED, np.float32), np.zeros(_COPIED, np.float32)
    return Work(2.0 * source.nbytes, lambda: _copy(source, target))


def read_work(log2_table_size: int) -> Work:
    """Random reads of two neighbouring floats (8 bytes), from one table of so many entries after the other.

    There are as many tables as a hash grid has levels, and half a million reads from each: what the kernel reads for
    as many points, and what it evicts from the caches until it comes back.
    """
    tables, places = _tables(log2_table_size)
    out = np.zeros((len(tables), 2 * LANES), np.float32)
    return Work(places.size * tables.shape[1], lambda: _read(tables, places, out))


def addition_work(log2_table_size: int) -> Work:
    """Random additions to two neighbouring floats, likewise."""
    tables, places = _tables(log2_table_size)
    return Work(places.size * tables.shape[1], lambda: _add(tables, places))


def _tables(log2_table_size: int) -> tuple[np.ndarray, np.ndarray]:
    threads = get_num_threads()
    places = np.random.default_rng(0).integers(0, 1 << log2_table_size, (threads, _ACCESSES), dtype=np.uint32)
    # Not zeros: the system backs all pages of those with one page until they are written.
    return np.ones((threads, -(-_TABLES // threads), 1 << log2_table_size, 2), np.float32), places


def rates(works: Sequence[Work], repeats: int) -> list[list[float]]:
    """Operations per second of each work, `repeats` times: all are run in turn, after one turn that does not count.

    What is compared is so measured within the same fraction of a second, for a machine's speed changes. Each runs
    twice in a turn, and the second time counts: with caches as it leaves them, not as the work before does.
    """
    found: list[list[float]] = [[] for _ in works]
    for turn in range(repeats + 1):
        for work, values in zip(works, found):
            work.run()
            start = time.perf_counter()
            work.run()
            seconds = time.perf_counter() - start
            if turn:
                values.append(work.operations / seconds)
    return found


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median over the turns of one rate divided by the other."""
    return statistics.median(one / other for one, other in zip(numerators, denominators))


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
        for table in range(tables.shape[1]):
            read_pairs(tables[thread, table], places[thread], len(places[thread]), out[thread])


@compiled_parallel
def _add(tables, places):
    for thread in prange(len(tables)):
        for table in range(tables.shape[1]):
            add_pairs(tables[thread, table], places[thread], len(places[thread]))
