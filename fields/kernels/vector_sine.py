"""Sine and cosine of vectors of floats, as LLVM vector code, accurate to 2e-7 for arguments up to ten thousand.

The multiple k of pi nearest to x is taken off in two steps, each with one rounding, which leaves r in +-pi/2 or hardly
beyond; sin x = (-1)^k sin r and cos x = (-1)^k cos r are minimax polynomials in r^2. Beyond +-1e7 neighbouring floats
are further apart than r is wide: values stay within +-1 and mean nothing. Infinity and NaN give NaN.

Code that is compiled with fast arithmetic would undo the reduction: call these from functions that are `exact`.
"""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir

from .vector_code import I32_VECTOR, LANES, Emitter

_PI = 3.1415927410125732  # as a float32,
_PI_REST = -8.742277657347586e-08  # and what that lacks
_WIDEST = 1.6  # a little above pi/2: next to odd multiples of it, k may be the other neighbour
_ROUNDER = 1.5 * 2.0**23  # added to a float, it leaves the nearest whole number in the last bits
_SINE = (-0.16666655242443085, 0.008332980796694756, -0.0001980401575565338, 2.5943759283109102e-06)
_COSINE = (-0.5, 0.041666653007268906, -0.001388853183016181, 2.4766877686488442e-05, -2.614391689803597e-07)


def sine(emit: Emitter, x: Any) -> Any:
    """sin x."""
    r, sign = _reduce(emit, x)
    square = emit.builder.fmul(r, r)
    curve = emit.builder.fmul(_polynomial(emit, square, _SINE), square)
    return _signed(emit, emit.fma(curve, r, r), sign)


def cosine(emit: Emitter, x: Any) -> Any:
    """cos x; next to `sine` of the same argument, the reduction is computed once."""
    r, sign = _reduce(emit, x)
    square = emit.builder.fmul(r, r)
    return _signed(emit, emit.fma(_polynomial(emit, square, _COSINE), square, emit.constant(1.0)), sign)


def _reduce(emit: Emitter, x: Any) -> tuple[Any, Any]:
    """r = x - k pi, and the sign bit of (-1)^k."""
    builder, rounder = emit.builder, emit.constant(_ROUNDER)
    shifted = emit.fma(x, emit.constant(1.0 / _PI), rounder)
    minus_k = builder.fsub(rounder, shifted)
    r = emit.fma(minus_k, emit.constant(_PI_REST), emit.fma(minus_k, emit.constant(_PI), x))
    for bound, beyond in ((emit.constant(_WIDEST), ">"), (emit.constant(-_WIDEST), "<")):
        r = builder.select(builder.fcmp_ordered(beyond, r, bound), bound, r)
    return r, builder.shl(builder.bitcast(shifted, I32_VECTOR), ir.Constant(I32_VECTOR, [31] * LANES))


def _polynomial(emit: Emitter, x: Any, coefficients: Sequence[float]) -> Any:
    """coefficients[0] + coefficients[1] x + ..."""
    total = emit.constant(coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = emit.fma(total, x, emit.constant(coefficient))
    return total


def _signed(emit: Emitter, value: Any, sign: Any) -> Any:
    builder = emit.builder
    return builder.bitcast(builder.xor(builder.bitcast(value, I32_VECTOR), sign), value.type)
