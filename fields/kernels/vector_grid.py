"""The inner loops of the hash grid over one block of samples and one level, written as LLVM vector code for numba.

Corners are found for a vector of samples at a time, all in registers. The table is read and written sample by sample,
an entry's features at once: on random addresses that is as fast as the processor's gathers, and works on any processor.
Arrays are C-contiguous; what belongs to a block's corners is a matrix [corner, BLOCK]. `corners_loops`, `gather_loops`
and `scatter_loops` are the portable twins that tests hold them to.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from .vector_code import FLOAT, I32, I32_VECTOR, I64, LANES, Emitter, integer

BLOCK = 128  # samples: entries and weights of their 8 corners, 8 KiB, stay in the first-level cache
_FEATURE_COUNTS = (1, 2, 4, 8)
_DIMENSIONS = (1, 2, 3, 4)


def _for_each(emit: Emitter, value: Any, cases: tuple[int, ...], body: Callable[[int], None]) -> None:
    """Emits `body(case)` for every case; the one that equals the value runs."""
    for case in cases:
        with emit.builder.if_then(emit.builder.icmp_signed("==", value, integer(case))):
            body(case)


def _emit_corners(
    typing_context, x, dimensions, columns, start, scale, factors, size, hashed, derivative_axis, entry, weight
):
    """Entries and interpolation weights of all corners of the cells that hold samples start..start + BLOCK.

    A sample lies at scale x + 1/2, rounded once, in the cell at its floor; corner c is one further along axis d where
    bit d of c is set. `x` is (dimensions, columns); coordinates are clamped to [0, 1] and NaN counts as 0. Vertices are
    hashed, or numbered with the strides `factors` and taken modulo `size`, which they exceed at most once. To the
    weights `derivative_axis` contributes -1 or 1, the derivative of its factor (-1: no axis does).
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        x, dimensions, columns, start, scale, factors, size, hashed, derivative_axis, entry, weight = emit.arguments
        one, zero, half = (emit.constant(value) for value in (1.0, 0.0, 0.5))
        scales = emit.broadcast(scale)
        sizes = emit.broadcast(builder.trunc(size, I32))
        masks = builder.sub(sizes, ir.Constant(I32_VECTOR, [1] * LANES))

        def axis(d: int, at: Any) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
            """Low and high vertex's share of the entry, and of the weight."""
            value = emit.load(x, builder.add(builder.mul(columns, integer(d)), builder.add(start, at)))
            value = builder.select(builder.fcmp_ordered(">", value, zero), value, zero)
            value = builder.select(builder.fcmp_ordered("<", value, one), value, one)
            position = emit.fma(value, scales, half)
            cell = builder.fptosi(position, I32_VECTOR)
            fraction = builder.fsub(position, builder.sitofp(cell, position.type))
            factor = emit.broadcast(builder.load(builder.gep(factors, [integer(d)])))
            low = builder.mul(cell, factor)
            derived = builder.icmp_signed("==", derivative_axis, integer(d))
            weights = (
                builder.select(derived, emit.constant(-1.0), builder.fsub(one, fraction)),
                builder.select(derived, one, fraction),
            )
            return (low, builder.add(low, factor)), weights

        def block(dimensions: int, *, hashed: bool) -> None:
            with cgutils.for_range(builder, integer(BLOCK // LANES)) as part:
                at = builder.mul(part.index, integer(LANES))
                entries, weights = axis(0, at)
                join = builder.xor if hashed else builder.add
                for d in range(1, dimensions):
                    shares, factors = axis(d, at)
                    entries = [join(entry, share) for share in shares for entry in entries]
                    weights = [builder.fmul(weight, factor) for factor in factors for weight in weights]
                for corner, (index, share) in enumerate(zip(entries, weights)):
                    if hashed:
                        index = builder.and_(index, masks)
                    else:
                        beyond = builder.icmp_unsigned(">=", index, sizes)
                        index = builder.select(beyond, builder.sub(index, sizes), index)
                    there = builder.add(at, integer(corner * BLOCK))
                    emit.store(index, entry, there)
                    emit.store(share, weight, there)

        def dispatch(dimensions: int) -> None:
            with builder.if_else(hashed) as (then, otherwise):
                with then:
                    block(dimensions, hashed=True)
                with otherwise:
                    block(dimensions, hashed=False)

        _for_each(emit, dimensions, _DIMENSIONS, dispatch)
        return context.get_dummy_value()

    kinds = (x, *[types.int64] * 3, types.float32, factors, types.int64, types.boolean, types.int64, entry, weight)
    return types.void(*kinds), generate


corners: Any = intrinsic(_emit_corners)


def _emit_gather(typing_context, table, first, features, entry, weight, corners, count, out, columns, place):
    """out[f columns + place + s] = sum over corners of weight table[first + entry, f], for the block's first samples.

    `out` is flat: feature f of sample s lies there.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        table, first, features, entry, weight, corners, count, out, columns, place = emit.arguments

        def sample(s: Any, features: int, row: Any, kind: Any) -> None:
            def step(c: Any, sums: list[Any]) -> list[Any]:
                at, share = _corner(emit, c, s, entry, weight, features)
                return [emit.fma(share, emit.load(row, at, kind), sums[0])]

            (total,) = emit.reduce_loop(corners, [emit.constant(0.0, features)], step)
            for f in range(features):
                at = builder.add(builder.add(place, s), builder.mul(columns, integer(f)))
                builder.store(emit.lane(total, f), builder.gep(out, [at]))

        _for_each_sample(emit, table, first, features, count, sample)
        return context.get_dummy_value()

    numbers = [types.int64] * 2
    return types.void(table, *numbers, entry, weight, *numbers, out, *numbers), generate


gather: Any = intrinsic(_emit_gather)


def _for_each_sample(
    emit: Emitter, table: Any, first: Any, features: Any, count: Any, body: Callable[[Any, int, Any, Any], None]
) -> None:
    """Emits `body(sample, features, table from entry `first` on, an entry's type)` for the block's first samples."""
    builder = emit.builder

    def of_width(features: int) -> None:
        row = builder.gep(table, [builder.mul(first, integer(features))])
        with cgutils.for_range(builder, count) as sample:
            body(sample.index, features, row, ir.VectorType(FLOAT, features))

    _for_each(emit, features, _FEATURE_COUNTS, of_width)


def _corner(emit: Emitter, corner: Any, sample: Any, entry: Any, weight: Any, features: int) -> tuple[Any, Any]:
    """Where the features of one corner of one sample begin, and its weight for each of them."""
    builder = emit.builder
    at = builder.add(builder.mul(corner, integer(BLOCK)), sample)
    index = builder.zext(builder.load(builder.gep(entry, [at])), I64)
    return builder.mul(index, integer(features)), emit.broadcast(builder.load(builder.gep(weight, [at])), features)


def _emit_scatter(typing_context, table, first, features, entry, weight, corners, count, gradient, columns, place):
    """table[first + entry, f] += weight gradient[f columns + place + s], for the block's first samples in turn."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        table, first, features, entry, weight, corners, count, gradient, columns, place = emit.arguments

        def sample(s: Any, features: int, row: Any, kind: Any) -> None:
            slope = ir.Constant(kind, ir.Undefined)
            for f in range(features):
                at = builder.add(builder.add(place, s), builder.mul(columns, integer(f)))
                slope = builder.insert_element(slope, builder.load(builder.gep(gradient, [at])), ir.Constant(I32, f))
            with cgutils.for_range(builder, corners) as corner:
                at, share = _corner(emit, corner.index, s, entry, weight, features)
                emit.store(emit.fma(share, slope, emit.load(row, at, kind)), row, at)

        _for_each_sample(emit, table, first, features, count, sample)
        return context.get_dummy_value()

    numbers = [types.int64] * 2
    return types.void(table, *numbers, entry, weight, *numbers, gradient, *numbers), generate


scatter: Any = intrinsic(_emit_scatter)


_UNROLLED = 8
_PAIR = ir.VectorType(FLOAT, 2)


def _emit_read_pairs(typing_context, table, places, count, out):
    """Adds up the pairs at so many places, a multiple of 8, in 8 sums that do not wait for one another.

    As fast as pairs can be read at random places: what `gather` is measured by.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        table, places, count, out = emit.arguments

        def step(i: Any, sums: list[Any]) -> list[Any]:
            return [
                builder.fadd(total, emit.load(table, at, _PAIR)) for total, at in zip(sums, _places(emit, i, places))
            ]

        start = [emit.constant(0.0, 2)] * _UNROLLED
        sums = emit.reduce_loop(builder.udiv(count, integer(_UNROLLED)), start, step)
        for total in sums[1:]:
            sums[0] = builder.fadd(sums[0], total)
        emit.store(sums[0], out, integer(0))
        return context.get_dummy_value()

    return types.void(table, places, types.int64, out), generate


read_pairs: Any = intrinsic(_emit_read_pairs)


def _emit_add_pairs(typing_context, table, places, count):
    """Adds (1, 1) to the pairs at so many places, a multiple of 8, in turn: what `scatter` is measured by."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        table, places, count = emit.arguments
        with cgutils.for_range(builder, builder.udiv(count, integer(_UNROLLED))) as part:
            for at in _places(emit, part.index, places):
                emit.store(builder.fadd(emit.load(table, at, _PAIR), emit.constant(1.0, 2)), table, at)
        return context.get_dummy_value()

    return types.void(table, places, types.int64), generate


add_pairs: Any = intrinsic(_emit_add_pairs)


def _places(emit: Emitter, part: Any, places: Any) -> list[Any]:
    """Where the pairs of the next 8 places begin."""
    builder = emit.builder
    first = builder.mul(part, integer(_UNROLLED))
    loaded = (builder.load(builder.gep(places, [builder.add(first, integer(k))])) for k in range(_UNROLLED))
    return [builder.mul(builder.zext(place, I64), integer(2)) for place in loaded]


@njit
def corners_loops(x, dimensions, columns, start, scale, factors, size, hashed, derivative_axis, entry, weight):
    """The portable twin of `corners`."""
    for s in range(BLOCK):
        for corner in range(1 << dimensions):
            index, share = np.uint32(0), np.float32(1.0)
            for d in range(dimensions):
                value = x[d, start + s]
                value = min(value if value > 0.0 else np.float32(0.0), np.float32(1.0))
                position = np.float32(np.float64(value) * np.float64(scale) + 0.5)
                bit = (corner >> d) & 1
                vertex = np.uint32(np.uint32(np.uint32(int(position)) + np.uint32(bit)) * factors[d])
                index = np.uint32(index ^ vertex) if hashed else np.uint32(index + vertex)
                fraction = position - np.float32(int(position))
                if d == derivative_axis:
                    share *= np.float32(1.0) if bit else np.float32(-1.0)
                else:
                    share *= fraction if bit else np.float32(1.0) - fraction
            entry[corner, s] = index % np.uint32(size)
            weight[corner, s] = share


@njit
def gather_loops(table, first, features, entry, weight, corners, count, out, columns, place):
    """The portable twin of `gather`."""
    for s in range(count):
        for f in range(features):
            total = np.float32(0.0)
            for c in range(corners):
                total += weight[c, s] * table[first + entry[c, s], f]
            out.reshape(-1)[f * columns + place + s] = total


@njit
def scatter_loops(table, first, features, entry, weight, corners, count, gradient, columns, place):
    """The portable twin of `scatter`."""
    for s in range(count):
        for c in range(corners):
            for f in range(features):
                slope = gradient.reshape(-1)[f * columns + place + s]
                table[first + entry[c, s], f] += weight[c, s] * slope
