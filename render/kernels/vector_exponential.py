"""The exponential to base 2 as plain arithmetic: LLVM vectorises it inside a loop, libm's is called value by value."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.core.errors import TypingError
from numba.extending import intrinsic

_DEGREE = 7
_LIMIT = 126.0  # beyond it the result stays at 2**±126, which is a normal number
_FLOAT, _INTEGER = ir.FloatType(), ir.IntType(32)


def _coefficients() -> list[float]:
    """2**r on [-1, 1] as a polynomial through the Chebyshev nodes, constant first: 2e-8 off at most."""
    polynomial = np.polynomial.Chebyshev.interpolate(np.exp2, _DEGREE)
    return [float(value) for value in polynomial.convert(kind=np.polynomial.Polynomial).coef]


def _emit_power_of_two(_, exponent):
    """2**exponent in float32, relative error below 3e-7; exponents are clamped to ±126."""
    if exponent != types.float32:
        raise TypingError(f"power_of_two takes a float32, got {exponent}.")

    def generate(context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> Any:
        (t,) = arguments
        low, high = ir.Constant(_FLOAT, -_LIMIT), ir.Constant(_FLOAT, _LIMIT)
        t = builder.select(builder.fcmp_ordered(">", t, low), t, low)  # NaN becomes the lower limit
        t = builder.select(builder.fcmp_ordered("<", t, high), t, high)
        whole = builder.fptosi(t, _INTEGER)
        rest = builder.fsub(t, builder.sitofp(whole, _FLOAT))
        *lower, total = [ir.Constant(_FLOAT, float(np.float32(value))) for value in _coefficients()]
        for coefficient in reversed(lower):
            total = builder.fadd(builder.fmul(total, rest, flags=["contract"]), coefficient, flags=["contract"])  # pyright: ignore[reportCallIssue]
        shifted = builder.shl(builder.add(whole, ir.Constant(_INTEGER, 127)), ir.Constant(_INTEGER, 23))
        return builder.fmul(total, builder.bitcast(shifted, _FLOAT))

    return types.float32(types.float32), generate


power_of_two: Any = intrinsic(_emit_power_of_two)
