"""Dense-layer products over one block of samples, written as LLVM vector code for numba.

A block is a matrix [sample, feature]. Loops keep a tile of sums in registers, as phi nodes of vector type: with 32
vector registers, 16 fused multiply-adds for 10 loads, of which 8 are spread over a vector by the multiply-add itself.
Everything is float32 and C-contiguous; features come in multiples of 16. The functions that end in `_loops` are the
portable twins that tests hold the others to.
"""

from collections.abc import Callable
from typing import Any

from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from .vector_code import LANES, WIDE_REGISTER_FILE, Emitter, integer

REGISTER_SUMS = 16 if WIDE_REGISTER_FILE else 8  # vectors of sums that fit into registers
BLOCK = 128  # samples: a layer's activations, 32 KiB at width 64, stay close to the processor
_VECTORS = 2  # a tile is so many vectors wide,
_TILE = REGISTER_SUMS // _VECTORS  # and so many rows high


def _for_columns(emit: Emitter, columns: Any, body: Callable[[Any, int], None]) -> None:
    """Emits `body(first column, vectors)` over all columns, a multiple of LANES."""
    builder = emit.builder
    width = LANES * _VECTORS
    with cgutils.for_range(builder, builder.udiv(columns, integer(width))) as part:
        body(builder.mul(part.index, integer(width)), _VECTORS)
    if LANES == 16:  # a network of width 16 is one vector wide
        rest = builder.urem(columns, integer(width))
        with builder.if_then(builder.icmp_unsigned("!=", rest, integer(0))):
            body(builder.sub(columns, rest), 1)


def _tile_sums(
    emit: Emitter, count: Any, start: list[Any], narrow: Callable[[Any, int], Any], wide: Callable[[Any, int], Any]
) -> list[Any]:
    """start[k, v] + sum over n < count of narrow(n, k) in all lanes times wide(n, v), for a tile of k and v."""
    vectors = len(start) // _TILE

    def step(n: Any, sums: list[Any]) -> list[Any]:
        right = [wide(n, v) for v in range(vectors)]
        updated: list[Any] = []
        for k in range(_TILE):
            left = emit.broadcast(narrow(n, k))
            updated += [emit.fma(left, right[v], sums[k * vectors + v]) for v in range(vectors)]
        return updated

    return emit.reduce_loop(count, start, step)


def _dense(finish: Callable[[Emitter, Any, Any, Any], Any], name: str) -> Any:
    """An intrinsic that multiplies a block by a matrix and finishes each vector of the product.

    y[s, o] = finish(sum_i x[s, i] weights[first + i outputs + o]); `finish` may look at gate[s, o], too.
    """

    def emit_dense(typing_context, x, inputs, weights, first, outputs, y, gate):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit = Emitter(context, builder, signature, arguments)
            x, inputs, weights, first, outputs, y, gate = emit.arguments
            x_pitch, *_, y_pitch, _ = emit.pitches

            with cgutils.for_range(builder, integer(BLOCK // _TILE)) as part:
                sample = builder.mul(part.index, integer(_TILE))

                def columns(column: Any, vectors: int) -> None:
                    def row(k: int, pitch: Any) -> Any:
                        return builder.mul(builder.add(sample, integer(k)), pitch)

                    def activation(i: Any, k: int) -> Any:
                        return builder.load(builder.gep(x, [builder.add(row(k, x_pitch), i)]))

                    def weight(i: Any, v: int) -> Any:
                        at = builder.add(first, builder.add(builder.mul(i, outputs), column))
                        return emit.load(weights, builder.add(at, integer(v * LANES)))

                    sums = _tile_sums(emit, inputs, [emit.constant(0.0)] * (_TILE * vectors), activation, weight)
                    for n, total in enumerate(sums):
                        k, v = divmod(n, vectors)
                        at = builder.add(builder.add(row(k, y_pitch), column), integer(v * LANES))
                        emit.store(finish(emit, total, gate, at), y, at)

                _for_columns(emit, outputs, columns)
            return context.get_dummy_value()

        return types.void(x, types.int64, weights, types.int64, types.int64, y, gate), generate

    emit_dense.__name__ = emit_dense.__qualname__ = name
    return intrinsic(emit_dense)


def _plain(emit: Emitter, value: Any, gate: Any, at: Any) -> Any:
    del emit, gate, at
    return value


def _relu(emit: Emitter, value: Any, gate: Any, at: Any) -> Any:
    """NaN stays NaN."""
    del gate, at
    zero = emit.constant(0.0)
    return emit.builder.select(emit.builder.fcmp_ordered("<", value, zero), zero, value)


def _gated(emit: Emitter, value: Any, gate: Any, at: Any) -> Any:
    """The gradient in front of a ReLU, which had the output `gate`."""
    zero = emit.constant(0.0)
    return emit.builder.select(emit.builder.fcmp_ordered("<=", emit.load(gate, at), zero), zero, value)


dense, dense_relu, dense_gated = _dense(_plain, "dense"), _dense(_relu, "dense_relu"), _dense(_gated, "dense_gated")


def _emit_outer(typing_context, x, inputs, gradient, outputs, total, first):
    """total[first + i outputs + o] += sum_s x[s, i] gradient[s, o] for a block of samples."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        x, inputs, gradient, outputs, total, first = emit.arguments
        x_pitch, _, gradient_pitch, *_ = emit.pitches

        def columns(column: Any, vectors: int) -> None:
            with cgutils.for_range(builder, builder.udiv(inputs, integer(_TILE))) as part:
                source = builder.mul(part.index, integer(_TILE))

                def activation(s: Any, k: int) -> Any:
                    at = builder.add(builder.mul(s, x_pitch), builder.add(source, integer(k)))
                    return builder.load(builder.gep(x, [at]))

                def slope(s: Any, v: int) -> Any:
                    return emit.load(
                        gradient, builder.add(builder.add(builder.mul(s, gradient_pitch), column), integer(v * LANES))
                    )

                places = [
                    builder.add(
                        builder.add(first, builder.mul(builder.add(source, integer(k)), outputs)),
                        builder.add(column, integer(v * LANES)),
                    )
                    for k in range(_TILE)
                    for v in range(vectors)
                ]
                before = [emit.load(total, at) for at in places]
                for at, value in zip(places, _tile_sums(emit, integer(BLOCK), before, activation, slope)):
                    emit.store(value, total, at)

        _for_columns(emit, outputs, columns)
        return context.get_dummy_value()

    return types.void(x, types.int64, gradient, types.int64, total, types.int64), generate


outer: Any = intrinsic(_emit_outer)


def _emit_transpose(typing_context, x, x_start, x_pitch, rows, columns, y, y_start, y_pitch):
    """y[y_start + c y_pitch + r] = x[x_start + r x_pitch + c] for so many rows r and columns c, multiples of 16."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        x, x_start, x_pitch, rows, columns, y, y_start, y_pitch = emit.arguments
        with (
            cgutils.for_range(builder, builder.udiv(rows, integer(LANES))) as down,
            cgutils.for_range(builder, builder.udiv(columns, integer(LANES))) as along,
        ):
            row, column = builder.mul(down.index, integer(LANES)), builder.mul(along.index, integer(LANES))

            def line(start: Any, first: Any, pitch: Any, k: int, offset: Any) -> Any:
                return builder.add(builder.add(start, offset), builder.mul(builder.add(first, integer(k)), pitch))

            lines = [emit.load(x, line(x_start, row, x_pitch, k, column)) for k in range(LANES)]
            for k, vector in enumerate(emit.transpose(lines)):
                emit.store(vector, y, line(y_start, column, y_pitch, k, row))
        return context.get_dummy_value()

    numbers = types.int64, types.int64
    return types.void(x, *numbers, *numbers, y, *numbers), generate


transpose: Any = intrinsic(_emit_transpose)


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
def dense_loops(x, inputs, weights, first, outputs, y):
    """The portable twin of `dense`; the others finish what it computes."""
    for o in range(outputs):
        y[:, o] = 0.0
        for i in range(inputs):
            y[:, o] += weights[first + i * outputs + o] * x[:, i]


@njit
def outer_loops(x, inputs, gradient, outputs, total, first):
    """The portable twin of `outer`."""
    for i in range(inputs):
        for o in range(outputs):
            total[first + i * outputs + o] += (x[:, i] * gradient[:, o]).sum()
