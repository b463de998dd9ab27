"""Dense-layer products over one block of samples, written as LLVM vector code for numba.

The two products' loops keep their sums in registers, as phi nodes of vector type: with 32 vector registers, 16 fused
multiply-adds for 10 (`dense`) or 8 (`outer`) loads. Everything is float32 and C-contiguous; a block is a matrix [feature, BLOCK] that stays in
cache. `dense_loops` and `outer_loops` are the portable twins that tests hold them to.
"""

from typing import Any

from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from .vector_code import LANES, WIDE_REGISTER_FILE, Emitter, integer

REGISTER_SUMS = 16 if WIDE_REGISTER_FILE else 8  # vectors of sums that fit into registers
BLOCK = 256  # samples: a layer's activations, 64 KiB at width 64, stay in the second-level cache
PITCH = BLOCK + LANES  # from one feature's row to the next: with a power of two, rows would share few cache sets


def _emit_dense(typing_context, weights, first, outputs, inputs, x, y):
    """y[o, s] = sum_i weights[first + o inputs + i] x[i, s] for a block of samples; outputs is a multiple of 8."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        weights, first, outputs, inputs, x, y = emit.arguments
        vectors = 2
        tile = 8 if WIDE_REGISTER_FILE else 4

        with (
            cgutils.for_range(builder, integer(BLOCK // (LANES * vectors))) as part,
            cgutils.for_range(builder, builder.udiv(outputs, integer(tile))) as row,
        ):
            column = builder.mul(part.index, integer(LANES * vectors))
            output = builder.mul(row.index, integer(tile))
            row_start = builder.add(first, builder.mul(output, inputs))

            def step(i: Any, sums: list[Any]) -> list[Any]:
                at = builder.add(builder.mul(i, integer(PITCH)), column)
                loaded = [emit.load(x, builder.add(at, integer(v * LANES))) for v in range(vectors)]
                updated: list[Any] = []
                for o in range(tile):
                    offset = builder.add(builder.add(row_start, builder.mul(inputs, integer(o))), i)
                    weight = emit.spread(builder.load(builder.gep(weights, [offset])))
                    updated += [emit.fma(weight, loaded[v], sums[o * vectors + v]) for v in range(vectors)]
                return updated

            sums = emit.reduce_loop(inputs, [emit.constant(0.0)] * (tile * vectors), step)
            for o in range(tile):
                at = builder.add(builder.mul(builder.add(output, integer(o)), integer(PITCH)), column)
                for v in range(vectors):
                    emit.store(sums[o * vectors + v], y, builder.add(at, integer(v * LANES)))
        return context.get_dummy_value()

    return types.void(weights, types.int64, types.int64, types.int64, x, y), generate


dense: Any = intrinsic(_emit_dense)


def _emit_outer(typing_context, gradient, outputs, x, inputs, total, first):
    """total[first + o inputs + i] += sum_s gradient[o, s] x[i, s] for a block of samples.

    Outputs and inputs are multiples of 16.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        gradient, outputs, x, inputs, total, first = emit.arguments
        rows, columns = {16: (4, 4), 8: (2, 4), 4: (4, 4)}[LANES]

        with (
            cgutils.for_range(builder, builder.udiv(outputs, integer(rows))) as row,
            cgutils.for_range(builder, builder.udiv(inputs, integer(columns))) as column,
        ):
            output, source = builder.mul(row.index, integer(rows)), builder.mul(column.index, integer(columns))

            def step(i: Any, sums: list[Any]) -> list[Any]:
                at = builder.mul(i, integer(LANES))

                def line(data: Any, feature: Any, k: int) -> Any:
                    start = builder.mul(builder.add(feature, integer(k)), integer(PITCH))
                    return emit.load(data, builder.add(start, at))

                lefts = [line(gradient, output, k) for k in range(rows)]
                rights = [line(x, source, k) for k in range(columns)]
                return [
                    emit.fma(lefts[r], rights[c], sums[r * columns + c]) for r in range(rows) for c in range(columns)
                ]

            sums = emit.reduce_loop(integer(BLOCK // LANES), [emit.constant(0.0)] * (rows * columns), step)
            for group in range(0, rows * columns, LANES):
                folded = emit.fold(sums[group : group + LANES])
                for lane in range(LANES):
                    r, c = divmod(group + lane, columns)
                    offset = builder.add(builder.mul(builder.add(output, integer(r)), inputs), source)
                    address = builder.gep(total, [builder.add(first, builder.add(offset, integer(c)))])
                    value = emit.lane(folded, lane)
                    builder.store(builder.fadd(builder.load(address), value), address)
        return context.get_dummy_value()

    return types.void(gradient, types.int64, x, types.int64, total, types.int64), generate


outer: Any = intrinsic(_emit_outer)


def _emit_multiply_adds(typing_context, out, rounds):
    """Adds rounds times a product of two of its vectors to each vector of out: multiply-adds on registers alone.

    `out` has LANES * REGISTER_SUMS floats, rounds is at least 1. No two products are alike: the compiler would make one
    sum of them, and fewer multiply-adds would run than are counted.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        out, rounds = emit.arguments
        factors = [emit.load(out, integer(k * LANES)) for k in range(4 + REGISTER_SUMS // 4)]

        def step(i: Any, sums: list[Any]) -> list[Any]:
            del i
            return [emit.fma(factors[k % 4], factors[4 + k // 4], total) for k, total in enumerate(sums)]

        for k, total in enumerate(emit.reduce_loop(rounds, [emit.constant(0.0)] * REGISTER_SUMS, step)):
            at = integer(k * LANES)
            emit.store(builder.fadd(emit.load(out, at), total), out, at)
        return context.get_dummy_value()

    return types.void(out, types.int64), generate


multiply_adds: Any = intrinsic(_emit_multiply_adds)


@njit
def dense_loops(weights, first, outputs, inputs, x, y):
    """The portable twin of `dense`."""
    for o in range(outputs):
        y[o] = 0.0
        for i in range(inputs):
            y[o] += weights[first + o * inputs + i] * x[i]


@njit
def outer_loops(gradient, outputs, x, inputs, total, first):
    """The portable twin of `outer`."""
    for o in range(outputs):
        for i in range(inputs):
            total[first + o * inputs + i] += (gradient[o] * x[i]).sum()
