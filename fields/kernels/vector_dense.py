"""Dense-layer products over one block of samples, written as LLVM vector code for numba.

numba compiles plain loops well but cannot keep a tile of sums in registers. The two intrinsics here emit loops whose
sums are phi nodes of vector type: with 32 vector registers, 16 fused multiply-adds for 10 (`dense`) or 8 (`outer`)
loads. Everything is float32 and C-contiguous; a block is a matrix [feature, BLOCK] that stays in cache. `dense_loops`
and `outer_loops` are the portable twins that tests hold them to.
"""

import functools
from typing import Any

from llvmlite import binding, ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic


def _host_features() -> Any:
    try:
        return binding.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know this processor: the narrowest vectors run everywhere
        return {}


_FEATURES = _host_features()
LANES = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx2") else 4
_WIDE_REGISTER_FILE = LANES != 8  # AVX-512 and NEON have 32 vector registers, AVX2 has 16
REGISTER_SUMS = 16 if _WIDE_REGISTER_FILE else 8  # vectors of sums that fit into registers
BLOCK = 256  # samples: a layer's activations, 64 KiB at width 64, stay in the second-level cache

_INTEGER = ir.IntType(64)
_VECTOR = ir.VectorType(ir.FloatType(), LANES)
_MASK = ir.IntType(32)


def _integer(value: int) -> ir.Constant:
    return ir.Constant(_INTEGER, value)


class _Emitter:
    """The few instructions that both products are made of."""

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> None:
        self.builder = builder
        self.arguments = [
            context.make_array(kind)(context, builder, value).data if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments)
        ]
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        self.fma = functools.partial(
            builder.call, cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
        )
        self.zero = ir.Constant(_VECTOR, [0.0] * LANES)

    def load(self, data: Any, offset: Any) -> Any:
        """LANES neighbouring floats."""
        address = self.builder.bitcast(self.builder.gep(data, [offset]), _VECTOR.as_pointer())
        loaded = self.builder.load(address)
        loaded.align = 4  # pyright: ignore[reportAttributeAccessIssue]
        return loaded

    def store(self, value: Any, data: Any, offset: Any) -> None:
        """The opposite of `load`."""
        address = self.builder.bitcast(self.builder.gep(data, [offset]), _VECTOR.as_pointer())
        self.builder.store(value, address).align = 4  # pyright: ignore[reportAttributeAccessIssue]

    def spread(self, data: Any, offset: Any) -> Any:
        """One float in all lanes."""
        undefined = ir.Constant(_VECTOR, ir.Undefined)
        lane = self.builder.insert_element(
            undefined, self.builder.load(self.builder.gep(data, [offset])), ir.Constant(_MASK, 0)
        )
        return self.builder.shuffle_vector(lane, undefined, ir.Constant(ir.VectorType(_MASK, LANES), [0] * LANES))

    def reduce_loop(self, count: Any, sums: int, step: Any) -> list[Any]:
        """Runs `step(i, sums) -> sums` for i in range(count), count >= 1, sums in registers; returns the last ones."""
        before, body = self.builder.block, self.builder.append_basic_block("reduce")
        after = self.builder.append_basic_block("reduced")
        self.builder.branch(body)
        self.builder.position_at_end(body)
        i = self.builder.phi(_INTEGER)
        i.add_incoming(_integer(0), before)
        totals = [self.builder.phi(_VECTOR) for _ in range(sums)]
        updated = step(i, totals)
        following = self.builder.add(i, _integer(1))
        i.add_incoming(following, self.builder.block)
        for total, value in zip(totals, updated):
            total.add_incoming(self.zero, before)
            total.add_incoming(value, self.builder.block)
        self.builder.cbranch(self.builder.icmp_unsigned("<", following, count), body, after)
        self.builder.position_at_end(after)
        return updated

    def fold(self, vectors: list[Any]) -> Any:
        """One vector whose lane k is the sum over the lanes of vectors[k], for LANES vectors: a tree of additions."""
        width = 1
        while len(vectors) > 1:
            low = [lane if not lane & width else lane - width + LANES for lane in range(LANES)]
            high = [lane + width if not lane & width else lane + LANES for lane in range(LANES)]
            vectors = [
                self.builder.fadd(self._shuffle(a, b, low), self._shuffle(a, b, high))
                for a, b in zip(vectors[::2], vectors[1::2])
            ]
            width *= 2
        return vectors[0]

    def _shuffle(self, a: Any, b: Any, lanes: list[int]) -> Any:
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_MASK, LANES), lanes))


def _emit_dense(typing_context, weights, first, outputs, inputs, x, y):
    """y[o, s] = sum_i weights[first + o inputs + i] x[i, s] for a block of samples; outputs is a multiple of 8."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder, signature, arguments)
        weights, first, outputs, inputs, x, y = emit.arguments
        vectors = 2
        tile = 8 if _WIDE_REGISTER_FILE else 4

        with (
            cgutils.for_range(builder, _integer(BLOCK // (LANES * vectors))) as part,
            cgutils.for_range(builder, builder.udiv(outputs, _integer(tile))) as row,
        ):
            column = builder.mul(part.index, _integer(LANES * vectors))
            output = builder.mul(row.index, _integer(tile))
            row_start = builder.add(first, builder.mul(output, inputs))

            def step(i: Any, sums: list[Any]) -> list[Any]:
                at = builder.add(builder.mul(i, _integer(BLOCK)), column)
                loaded = [emit.load(x, builder.add(at, _integer(v * LANES))) for v in range(vectors)]
                updated: list[Any] = []
                for o in range(tile):
                    offset = builder.add(builder.add(row_start, builder.mul(inputs, _integer(o))), i)
                    weight = emit.spread(weights, offset)
                    updated += [emit.fma([weight, loaded[v], sums[o * vectors + v]]) for v in range(vectors)]
                return updated

            sums = emit.reduce_loop(inputs, tile * vectors, step)
            for o in range(tile):
                at = builder.add(builder.mul(builder.add(output, _integer(o)), _integer(BLOCK)), column)
                for v in range(vectors):
                    emit.store(sums[o * vectors + v], y, builder.add(at, _integer(v * LANES)))
        return context.get_dummy_value()

    return types.void(weights, types.int64, types.int64, types.int64, x, y), generate


dense: Any = intrinsic(_emit_dense)


def _emit_outer(typing_context, gradient, outputs, x, inputs, total, first):
    """total[first + o inputs + i] += sum_s gradient[o, s] x[i, s] for a block of samples.

    Outputs and inputs are multiples of 16.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Emitter(context, builder, signature, arguments)
        gradient, outputs, x, inputs, total, first = emit.arguments
        rows, columns = {16: (4, 4), 8: (2, 4), 4: (4, 4)}[LANES]

        with (
            cgutils.for_range(builder, builder.udiv(outputs, _integer(rows))) as row,
            cgutils.for_range(builder, builder.udiv(inputs, _integer(columns))) as column,
        ):
            output, source = builder.mul(row.index, _integer(rows)), builder.mul(column.index, _integer(columns))

            def step(i: Any, sums: list[Any]) -> list[Any]:
                at = builder.mul(i, _integer(LANES))

                def line(data: Any, feature: Any, k: int) -> Any:
                    start = builder.mul(builder.add(feature, _integer(k)), _integer(BLOCK))
                    return emit.load(data, builder.add(start, at))

                lefts = [line(gradient, output, k) for k in range(rows)]
                rights = [line(x, source, k) for k in range(columns)]
                return [
                    emit.fma([lefts[r], rights[c], sums[r * columns + c]]) for r in range(rows) for c in range(columns)
                ]

            sums = emit.reduce_loop(_integer(BLOCK // LANES), rows * columns, step)
            for group in range(0, rows * columns, LANES):
                folded = emit.fold(sums[group : group + LANES])
                for lane in range(LANES):
                    r, c = divmod(group + lane, columns)
                    offset = builder.add(builder.mul(builder.add(output, _integer(r)), inputs), source)
                    address = builder.gep(total, [builder.add(first, builder.add(offset, _integer(c)))])
                    value = builder.extract_element(folded, ir.Constant(_MASK, lane))
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
        emit = _Emitter(context, builder, signature, arguments)
        out, rounds = emit.arguments
        factors = [emit.load(out, _integer(k * LANES)) for k in range(4 + REGISTER_SUMS // 4)]

        def step(i: Any, sums: list[Any]) -> list[Any]:
            del i
            return [emit.fma([factors[k % 4], factors[4 + k // 4], total]) for k, total in enumerate(sums)]

        for k, total in enumerate(emit.reduce_loop(rounds, REGISTER_SUMS, step)):
            at = _integer(k * LANES)
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
