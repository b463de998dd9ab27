"""Adam's step for vectors of values, written as LLVM vector code for numba.

numba's loops cannot leave a vector alone: where no lane has a gradient, nothing but the gradient is read here, which
saves a third of the memory traffic of a hash table's step. `update_loops` is the portable twin that tests hold this to;
it also takes the values that do not fill a vector.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .adam_reference import COUNT_LIMIT
from .numba_runtime import compiled
from .vector_code import FLOAT, I32, I32_VECTOR, LANES, Emitter, integer

_COUNTS = ir.VectorType(ir.IntType(16), LANES)
_MASK = ir.IntType(LANES)


def _emit_update(
    typing_context, parameters, gradient, mean, square, count, start, vectors, settings, corrections, sparse
):
    """Updates `vectors` times LANES values from `start` on, in place.

    Args:
        parameters, gradient, mean, square, count: As in the reference; counts are unsigned.
        settings: rate, 1 - beta1, 1 - beta2, epsilon, weight decay.
        corrections: 1 / (1 - beta1^n) and 1 / sqrt(1 - beta2^n) by n, pair after pair.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = Emitter(context, builder, signature, arguments)
        parameters, gradient, mean, square, count, start, vectors, settings, corrections, sparse = emit.arguments
        rate, gain1, gain2, epsilon, decay = (
            emit.broadcast(builder.load(builder.gep(settings, [integer(k)]))) for k in range(5)
        )
        zero = emit.constant(0.0)

        def corrected(counts: Any) -> tuple[Any, Any]:
            """Both corrections for each lane's count."""
            firsts, seconds = zero, zero
            for lane in range(LANES):
                at = builder.mul(builder.zext(emit.lane(counts, lane), start.type), integer(2))
                pair = emit.load(corrections, at, ir.VectorType(FLOAT, 2))
                firsts = builder.insert_element(firsts, emit.lane(pair, 0), ir.Constant(I32, lane))
                seconds = builder.insert_element(seconds, emit.lane(pair, 1), ir.Constant(I32, lane))
            return firsts, seconds

        with cgutils.for_range(builder, vectors) as part:
            at = builder.add(start, builder.mul(part.index, integer(LANES)))
            slope = emit.load(gradient, at)
            everywhere = emit.broadcast(builder.not_(sparse))
            touched = builder.or_(builder.fcmp_unordered("!=", slope, zero), everywhere)
            any_touched = builder.icmp_unsigned("!=", builder.bitcast(touched, _MASK), ir.Constant(_MASK, 0))
            with builder.if_then(any_touched):
                value, first, second = (emit.load(data, at) for data in (parameters, mean, square))
                counts = builder.zext(emit.load(count, at, _COUNTS), I32_VECTOR)
                counts = builder.add(counts, builder.zext(touched, I32_VECTOR))
                limit = ir.Constant(I32_VECTOR, [COUNT_LIMIT] * LANES)
                counts = builder.select(builder.icmp_unsigned(">", counts, limit), limit, counts)
                slope = emit.fma(decay, value, slope)
                moved = emit.fma(gain1, builder.fsub(slope, first), first)
                spread = emit.fma(gain2, builder.fsub(builder.fmul(slope, slope), second), second)
                unbias1, unbias2 = corrected(counts)
                size = builder.fadd(builder.fmul(emit.call("sqrt", spread), unbias2), epsilon)
                step = builder.fdiv(builder.fmul(builder.fmul(rate, unbias1), moved), size)
                for data, new, old in (
                    (parameters, builder.fsub(value, step), value),
                    (mean, moved, first),
                    (square, spread, second),
                ):
                    emit.store(builder.select(touched, new, old), data, at)
                emit.store(builder.trunc(counts, _COUNTS), count, at)
        return context.get_dummy_value()

    arrays, numbers = (parameters, gradient, mean, square, count), (types.int64, types.int64)
    return types.void(*arrays, *numbers, settings, corrections, types.boolean), generate


update: Any = intrinsic(_emit_update)


@compiled
def update_loops(parameters, gradient, mean, square, count, start, stop, settings, corrections, sparse):
    """The portable twin of `update`, for values start..stop."""
    rate, gain1, gain2, epsilon, decay = settings
    for i in range(start, stop):
        if gradient[i] != np.float32(0.0) or not sparse:
            count[i] = min(np.uint16(count[i] + np.uint16(1)), np.uint16(COUNT_LIMIT))
            slope = gradient[i] + decay * parameters[i]
            mean[i] += gain1 * (slope - mean[i])
            square[i] += gain2 * (slope * slope - square[i])
            size = np.sqrt(square[i]) * corrections[count[i], 1] + epsilon
            parameters[i] -= rate * corrections[count[i], 0] * mean[i] / size
