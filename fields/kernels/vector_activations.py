"""Activations over one block of samples, forward and backward, written as LLVM vector code for numba.

Blocks are matrices [sample, feature] as in `vector_dense`. To be called from functions that are `exact`, see
`vector_sine`. `activate_loops` and `retrace_loops` are the portable twins that tests hold the others to.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from .vector_code import LANES, Emitter, integer
from .vector_dense import BLOCK
from .vector_sine import cosine, sine

SINE, FINER, RELU = 0, 1, 2

_Function = Callable[[Emitter, Any, Any], Any]


def _sine(emit: Emitter, z: Any, omega: Any) -> Any:
    return sine(emit, emit.builder.fmul(omega, z))


def _sine_slope(emit: Emitter, z: Any, omega: Any) -> Any:
    return emit.builder.fmul(omega, cosine(emit, emit.builder.fmul(omega, z)))


def _finer_argument(emit: Emitter, z: Any, omega: Any) -> Any:
    """omega (|z| + 1) z."""
    return emit.builder.fmul(omega, emit.fma(emit.call("fabs", z), z, z))


def _finer(emit: Emitter, z: Any, omega: Any) -> Any:
    return sine(emit, _finer_argument(emit, z, omega))


def _finer_slope(emit: Emitter, z: Any, omega: Any) -> Any:
    inner = emit.fma(emit.call("fabs", z), emit.constant(2.0), emit.constant(1.0))
    return emit.builder.fmul(emit.builder.fmul(omega, inner), cosine(emit, _finer_argument(emit, z, omega)))


def _relu(emit: Emitter, z: Any, omega: Any) -> Any:
    """NaN stays NaN."""
    del omega
    zero = emit.constant(0.0)
    return emit.builder.select(emit.builder.fcmp_ordered("<", z, zero), zero, z)


def _relu_slope(emit: Emitter, z: Any, omega: Any) -> Any:
    del omega
    zero = emit.constant(0.0)
    return emit.builder.select(emit.builder.fcmp_ordered("<=", z, zero), zero, emit.constant(1.0))


def _for_vectors(emit: Emitter, width: Any, pitches: list[Any], body: Callable[[Any, list[Any]], None]) -> None:
    """Emits `body(column, places)` for all vectors of a block, row by row; places are by each of the row pitches."""
    builder = emit.builder
    with (
        cgutils.for_range(builder, integer(BLOCK)) as down,
        cgutils.for_range(builder, builder.udiv(width, integer(LANES))) as along,
    ):
        column = builder.mul(along.index, integer(LANES))
        body(column, [builder.add(builder.mul(down.index, pitch), column) for pitch in pitches])


def _activate(function: _Function, name: str) -> Any:
    """An intrinsic: z[s, c] += biases[first + c], h[s, c] = function(z[s, c]) for c < width."""

    def emit_activate(typing_context, z, biases, first, omega, width, h):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit = Emitter(context, builder, signature, arguments)
            z, biases, first, omega, width, h = emit.arguments
            frequency = emit.broadcast(omega)

            def body(column: Any, places: list[Any]) -> None:
                bias = emit.load(biases, builder.add(first, column))
                value = builder.fadd(emit.load(z, places[0]), bias)
                emit.store(value, z, places[0])
                emit.store(function(emit, value, frequency), h, places[1])

            _for_vectors(emit, width, [emit.pitches[0], emit.pitches[-1]], body)
            return context.get_dummy_value()

        return types.void(z, biases, types.int64, types.float32, types.int64, h), generate

    emit_activate.__name__ = emit_activate.__qualname__ = name
    return intrinsic(emit_activate)


def _retrace(function: _Function, slope: _Function, name: str) -> Any:
    """An intrinsic: h = function(z), gradient *= slope(z), and total[first + c] += sum_s gradient[s, c]."""

    def emit_retrace(typing_context, z, omega, width, h, gradient, total, first):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit = Emitter(context, builder, signature, arguments)
            z, omega, width, h, gradient, total, first = emit.arguments
            frequency = emit.broadcast(omega)

            def body(column: Any, places: list[Any]) -> None:
                value = emit.load(z, places[0])
                emit.store(function(emit, value, frequency), h, places[1])
                product = builder.fmul(emit.load(gradient, places[2]), slope(emit, value, frequency))
                emit.store(product, gradient, places[2])
                sums = builder.add(first, column)
                emit.store(builder.fadd(emit.load(total, sums), product), total, sums)

            _for_vectors(emit, width, [emit.pitches[k] for k in (0, 3, 4)], body)
            return context.get_dummy_value()

        return types.void(z, types.float32, types.int64, h, gradient, total, types.int64), generate

    emit_retrace.__name__ = emit_retrace.__qualname__ = name
    return intrinsic(emit_retrace)


activate_sine, retrace_sine = _activate(_sine, "activate_sine"), _retrace(_sine, _sine_slope, "retrace_sine")
activate_finer, retrace_finer = _activate(_finer, "activate_finer"), _retrace(_finer, _finer_slope, "retrace_finer")
activate_relu, retrace_relu = _activate(_relu, "activate_relu"), _retrace(_relu, _relu_slope, "retrace_relu")


def _curve(derivatives: Callable[[Emitter, Any, Any], list[Any]], name: str) -> Any:
    """An intrinsic: curve[n, c] = the activation's n-th derivative at z[s, c], n = 0 to 3, for c < width."""

    def emit_curve(typing_context, z, s, omega, width, curve):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit = Emitter(context, builder, signature, arguments)
            z, s, omega, width, curve = emit.arguments
            frequency, row = emit.broadcast(omega), builder.mul(s, emit.pitches[0])
            with cgutils.for_range(builder, builder.udiv(width, integer(LANES))) as along:
                column = builder.mul(along.index, integer(LANES))
                value = emit.load(z, builder.add(row, column))
                for n, derivative in enumerate(derivatives(emit, value, frequency)):
                    emit.store(derivative, curve, builder.add(builder.mul(integer(n), emit.pitches[-1]), column))
            return context.get_dummy_value()

        return types.void(z, types.int64, types.float32, types.int64, curve), generate

    emit_curve.__name__ = emit_curve.__qualname__ = name
    return intrinsic(emit_curve)


def _sine_curve(emit: Emitter, z: Any, omega: Any) -> list[Any]:
    builder, phase = emit.builder, emit.builder.fmul(omega, z)
    value, slope = sine(emit, phase), builder.fmul(omega, cosine(emit, phase))
    turn = builder.fneg(builder.fmul(omega, omega))
    return [value, slope, builder.fmul(turn, value), builder.fmul(turn, slope)]


def _finer_curve(emit: Emitter, z: Any, omega: Any) -> list[Any]:
    """With p the argument of the sine, whose third derivative is zero."""
    builder, zero, two = emit.builder, emit.constant(0.0), emit.constant(2.0)
    phase = _finer_argument(emit, z, omega)
    s, c = sine(emit, phase), cosine(emit, phase)
    p1 = builder.fmul(omega, emit.fma(emit.call("fabs", z), two, emit.constant(1.0)))
    p2 = builder.fmul(two, omega)
    p2 = builder.select(builder.fcmp_ordered("<", z, zero), builder.fneg(p2), p2)
    p2 = builder.select(builder.fcmp_ordered("==", z, zero), zero, p2)
    square = builder.fmul(p1, p1)
    second = builder.fsub(builder.fmul(p2, c), builder.fmul(square, s))
    bend = emit.fma(square, c, builder.fmul(builder.fmul(emit.constant(3.0), p2), s))
    return [s, builder.fmul(p1, c), second, builder.fneg(builder.fmul(p1, bend))]


def _relu_curve(emit: Emitter, z: Any, omega: Any) -> list[Any]:
    return [_relu(emit, z, omega), _relu_slope(emit, z, omega), emit.constant(0.0), emit.constant(0.0)]


curve_sine, curve_finer = _curve(_sine_curve, "curve_sine"), _curve(_finer_curve, "curve_finer")
curve_relu = _curve(_relu_curve, "curve_relu")


@njit
def activate_loops(activation, z, biases, first, omega, width, h):
    """The portable twin of `activate_sine`, `activate_finer` and `activate_relu`, in double precision."""
    for s in range(BLOCK):
        for c in range(width):
            z[s, c] += biases[first + c]
            value = np.float64(z[s, c])
            if activation == RELU:
                h[s, c] = max(value, 0.0)
            else:
                h[s, c] = np.sin(omega * (value if activation == SINE else (abs(value) + 1.0) * value))


@njit
def retrace_loops(activation, z, omega, width, h, gradient, total, first):
    """The portable twin of `retrace_sine`, `retrace_finer` and `retrace_relu`, in double precision."""
    for s in range(BLOCK):
        for c in range(width):
            value = np.float64(z[s, c])
            if activation == RELU:
                h[s, c], slope = max(value, 0.0), 1.0 if value > 0.0 else 0.0
            elif activation == SINE:
                h[s, c], slope = np.sin(omega * value), omega * np.cos(omega * value)
            else:
                argument = omega * (abs(value) + 1.0) * value
                h[s, c], slope = np.sin(argument), omega * (2.0 * abs(value) + 1.0) * np.cos(argument)
            gradient[s, c] *= slope
            total[first + c] += gradient[s, c]
