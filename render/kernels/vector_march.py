"""One look along a vector of rays, written as LLVM vector code for numba.

A ray's next candidate depends on what was found at the last one, so that a ray by itself waits at every step; here
LANES rays step together. Which cell holds a candidate is decided in the reference's very arithmetic; how far a ray may
leap is not, and has a margin.
"""

import math
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ...fields.kernels.vector_code import F32_VECTOR, I32, I32_VECTOR, I64, LANES, Emitter, integer

HIT, END = -1, -2  # outcomes of a look; others are the next candidate to look at
ORIGIN, DIRECTION, PLACE, T_END = 0, 3, 6, 7  # rows of a state: where candidates begin, and the ray ends
STATE_ROWS = 8

_ROUNDING = 2.0**-21  # of a position, relative to its distances
_MARGIN, _RELATIVE_MARGIN = 0.01, 4e-7  # of a leap, in candidates, and of the place it leads to
_FARTHEST = float(1 << 30)  # candidate
_BYTES = ir.VectorType(ir.IntType(8), LANES)


class _Vectors(Emitter):
    """Arithmetic on vectors, a little shorter to write."""

    def minimum(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def maximum(self, a: Any, b: Any) -> Any:
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def to_integers(self, value: Any) -> Any:
        """Rounded towards zero; what is too large ends at the largest integer, and NaN becomes 0."""
        kind = ir.FunctionType(I32_VECTOR, [F32_VECTOR])
        name = f"llvm.fptosi.sat.v{LANES}i32.v{LANES}f32"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), [value])

    def integers(self, value: int) -> ir.Constant:
        """An integer in all lanes."""
        return ir.Constant(I32_VECTOR, [value] * LANES)

    def polynomial(self, x: Any, coefficients: list[float]) -> Any:
        """Of x, highest power first."""
        total = self.constant(coefficients[0])
        for coefficient in coefficients[1:]:
            total = self.fma(total, x, self.constant(coefficient))
        return total

    def exp(self, x: Any) -> Any:
        """e^x for x in [0, 80]: 2^n times a series around 0, to the last bit or two."""
        n = self.call("rint", self.builder.fmul(x, self.constant(1.0 / math.log(2.0))))
        high = float.fromhex("0x1.62e4p-1")  # of log 2, so short that n times it is exact
        rest = self.fma(n, self.constant(-high), x)
        rest = self.fma(n, self.constant(high - math.log(2.0)), rest)
        series = self.polynomial(rest, [1.0 / math.factorial(k) for k in range(7, -1, -1)])
        exponent = self.builder.shl(self.to_integers(n), self.integers(23))
        bits = self.builder.add(self.builder.bitcast(series, I32_VECTOR), exponent)
        return self.builder.bitcast(bits, F32_VECTOR)

    def log(self, x: Any) -> Any:
        """Of positive, normal numbers, to 1e-7 of the larger of 1 and the result."""
        builder = self.builder
        # The exponent is taken such that what is left lies in [sqrt(1/2), sqrt(2)).
        bits = builder.sub(builder.bitcast(x, I32_VECTOR), self.integers(0x3F3504F3))
        exponent = builder.ashr(bits, self.integers(23))
        left = builder.add(builder.and_(bits, self.integers(0x007FFFFF)), self.integers(0x3F3504F3))
        mantissa = builder.bitcast(left, F32_VECTOR)
        one = self.constant(1.0)
        z = builder.fdiv(builder.fsub(mantissa, one), builder.fadd(mantissa, one))
        series = self.polynomial(builder.fmul(z, z), [2.0 / 9.0, 2.0 / 7.0, 2.0 / 5.0, 2.0 / 3.0, 2.0])
        return self.fma(builder.sitofp(exponent, F32_VECTOR), self.constant(math.log(2.0)), builder.fmul(z, series))

    def pick_bytes(self, data: Any, index: Any) -> Any:
        """One byte per lane, as integers."""
        picked = ir.Constant(_BYTES, ir.Undefined)
        for lane in range(LANES):
            at = self.builder.zext(self.lane(index, lane), I64)
            byte = self.builder.load(self.builder.gep(data, [at]))
            picked = self.builder.insert_element(picked, byte, ir.Constant(I32, lane))
        return self.builder.zext(picked, I32_VECTOR)


class _Curve:
    """`Stepping` for vectors; `growing` is decided when the code is emitted."""

    def __init__(self, emit: _Vectors, curve: Any, *, growing: bool) -> None:
        self.emit, self.growing = emit, growing
        names = ("smallest", "cone", "s_near", "s_far", "near", "far", "largest")
        builder = emit.builder
        self.values = {
            name: emit.broadcast(builder.load(builder.gep(curve, [integer(k)]))) for k, name in enumerate(names)
        }

    def distance(self, s: Any) -> Any:
        """As `Stepping.distance`; bit for bit where samples do not grow."""
        emit, builder, values = self.emit, self.emit.builder, self.values
        linear = builder.fmul(s, values["smallest"])
        if not self.growing:
            return linear
        along = builder.fmul(builder.fsub(emit.minimum(s, values["s_far"]), values["s_near"]), values["cone"])
        grown = builder.fmul(values["near"], emit.exp(emit.maximum(along, emit.constant(0.0))))
        beyond = emit.maximum(builder.fsub(s, values["s_far"]), emit.constant(0.0))
        grown = builder.fadd(grown, builder.fmul(beyond, values["largest"]))
        return builder.select(builder.fcmp_ordered("<", s, values["s_near"]), linear, grown)

    def place(self, t: Any) -> Any:
        """As `Stepping.place`, nearly."""
        emit, builder, values = self.emit, self.emit.builder, self.values
        linear = builder.fdiv(t, values["smallest"])
        if not self.growing:
            return linear
        ratio = builder.fdiv(emit.maximum(emit.minimum(t, values["far"]), values["near"]), values["near"])
        grown = builder.fadd(values["s_near"], builder.fdiv(emit.log(ratio), values["cone"]))
        beyond = emit.maximum(builder.fsub(t, values["far"]), emit.constant(0.0))
        grown = builder.fadd(grown, builder.fdiv(beyond, values["largest"]))
        return builder.select(builder.fcmp_ordered("<", t, values["near"]), linear, grown)


class _Cells:
    """The cells that hold positions, of the smallest cascade that does."""

    def __init__(self, emit: _Vectors, position: list[Any], resolution: Any, cascades: Any) -> None:
        builder = emit.builder
        half = emit.constant(0.5)
        centered = [builder.fsub(axis, half) for axis in position]
        away = [emit.call("fabs", axis) for axis in centered]
        reach = emit.maximum(emit.maximum(away[0], away[1]), away[2])

        def larger(level: Any, state: list[Any]) -> list[Any]:
            """state: how many cascades are too small, and half the side of this one."""
            del level
            cascade, limit = state
            outside = builder.fcmp_ordered(">=", reach, limit)
            return [builder.add(cascade, builder.zext(outside, I32_VECTOR)), builder.fadd(limit, limit)]

        self.cascade, _ = emit.reduce_loop(cascades, [emit.integers(0), half], larger)  # `cascades` outside all
        last = emit.broadcast(builder.sub(builder.trunc(cascades, I32), ir.Constant(I32, 1)))
        numbers = builder.and_(
            builder.fcmp_ordered("ord", away[0], away[1]), builder.fcmp_ordered("ord", away[2], away[2])
        )
        self.inside = builder.and_(builder.icmp_signed("<=", self.cascade, last), numbers)
        self.cascade = builder.select(self.inside, self.cascade, emit.integers(0))
        exponent = builder.shl(builder.sub(emit.integers(127), self.cascade), emit.integers(23))
        shrink = builder.bitcast(exponent, F32_VECTOR)
        self.side = builder.fdiv(emit.constant(1.0), shrink)
        self.resolution = emit.broadcast(builder.trunc(resolution, I32))
        self.across = builder.sitofp(self.resolution, F32_VECTOR)
        self.axes = [self._axis(emit, axis, shrink) for axis in centered]
        self._builder = builder

    def _axis(self, emit: _Vectors, centered: Any, shrink: Any) -> Any:
        builder = emit.builder
        scaled = builder.fmul(builder.fadd(builder.fmul(centered, shrink), emit.constant(0.5)), self.across)
        cell = emit.to_integers(emit.call("floor", scaled))
        cell = builder.select(builder.icmp_signed("<", cell, emit.integers(0)), emit.integers(0), cell)
        last = builder.sub(self.resolution, emit.integers(1))
        return builder.select(builder.icmp_signed(">", cell, last), last, cell)

    def index(self, emit: _Vectors, shifts: tuple[int, int, int]) -> Any:
        """Of the blocks of 2^shift cells per axis, in a flat array of all cascades' blocks."""
        total = self.cascade
        for axis, shift in zip(self.axes, shifts):
            blocks = self._builder.lshr(self.resolution, emit.integers(shift))
            total = self._builder.add(self._builder.mul(total, blocks), self._builder.lshr(axis, emit.integers(shift)))
        return total


_BLOCK_SHIFTS = (2, 2, 3)  # `survey` looks at blocks of 4 x 4 x 8 cells


def _emit_look(typing_context, state, candidate, bits, room, surveyed, resolution, cascades, curve, outcome):
    """Looks at the next candidate of LANES rays.

    Args:
        state: Rows ORIGIN (3), DIRECTION (3), PLACE, T_END of LANES values each.
        candidate: Of each ray.
        bits: Occupancy.
        room: What `survey` says of it, if `surveyed`; else at least one byte.
        resolution, cascades: The grid's.
        curve: smallest, cone angle, s_near, s_far, near, far, largest: see `march_numba._curve_of`.
        outcome: HIT where the candidate lies in an occupied cell, END where the ray has left the scene before it, else
            the next candidate that may lie in one.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        emit = _Vectors(context, builder, signature, arguments)
        state, candidate, bits, room, surveyed, resolution, cascades, curve, outcome = emit.arguments

        def rows(first: int, count: int) -> list[Any]:
            return [emit.load(state, integer((first + k) * LANES)) for k in range(count)]

        def look(*, growing: bool) -> None:
            stepping = _Curve(emit, curve, growing=growing)
            origin, direction = rows(ORIGIN, 3), rows(DIRECTION, 3)
            (place,), (t_end,) = rows(PLACE, 1), rows(T_END, 1)
            number = emit.load(candidate, integer(0), I32_VECTOR)
            half = emit.constant(0.5)
            t = stepping.distance(builder.fadd(place, builder.fadd(builder.sitofp(number, F32_VECTOR), half)))
            position = [builder.fadd(o, builder.fmul(d, t)) for o, d in zip(origin, direction)]
            cells = _Cells(emit, position, resolution, cascades)
            cell = cells.index(emit, (0, 0, 0))
            byte = emit.pick_bytes(bits, builder.lshr(cell, emit.integers(3)))
            bit = builder.and_(builder.lshr(byte, builder.and_(cell, emit.integers(7))), emit.integers(1))
            occupied = builder.and_(builder.icmp_signed("!=", bit, emit.integers(0)), cells.inside)

            block = builder.select(emit.broadcast(surveyed), cells.index(emit, _BLOCK_SHIFTS), emit.integers(0))
            near = emit.pick_bytes(room, block)
            leave = _way_out(emit, cells, near, position, direction, t)
            target = stepping.place(emit.minimum(builder.fadd(t, leave), t_end))
            margin = emit.fma(target, emit.constant(_RELATIVE_MARGIN), emit.constant(_MARGIN))
            leap = builder.fsub(builder.fsub(builder.fsub(target, place), half), margin)
            leap = emit.to_integers(emit.call("ceil", emit.minimum(leap, emit.constant(_FARTHEST))))
            following = builder.add(number, emit.integers(1))
            leap = builder.select(builder.icmp_signed(">", leap, following), leap, following)
            leap = builder.select(cells.inside, leap, following)
            result = builder.select(occupied, emit.integers(HIT), leap)
            ahead = builder.fcmp_ordered("<", t, t_end)
            emit.store(builder.select(ahead, result, emit.integers(END)), outcome, integer(0))

        cone = builder.load(builder.gep(curve, [integer(1)]))
        with builder.if_else(builder.fcmp_ordered(">", cone, ir.Constant(cone.type, 0.0))) as (then, otherwise):
            with then:
                look(growing=True)
            with otherwise:
                look(growing=False)
        return context.get_dummy_value()

    kinds = (state, candidate, bits, room, types.boolean, types.int64, types.int64, curve, outcome)
    return types.void(*kinds), generate


def _way_out(emit: _Vectors, cells: _Cells, near: Any, position: list[Any], direction: list[Any], t: Any) -> Any:
    """How far along the ray one surely stays in emptiness, if the cell there is empty."""
    builder = emit.builder
    width = builder.fdiv(cells.side, cells.across)
    corner = emit.fma(cells.side, emit.constant(-0.5), emit.constant(0.5))
    # So close to a face, rounding decides in which cell a candidate lies: it is left earlier by as much.
    slack = builder.fmul(emit.constant(_ROUNDING), builder.fadd(t, cells.side))
    wide = builder.icmp_signed("!=", near, emit.integers(0))
    infinity, zero = emit.constant(math.inf), emit.constant(0.0)
    leave = infinity
    for axis, shift, at, along in zip(cells.axes, _BLOCK_SHIFTS, position, direction):
        by = emit.integers(shift)
        block = builder.lshr(axis, by)
        low = builder.shl(builder.add(builder.sub(block, near), emit.integers(1)), by)
        high = builder.shl(builder.add(block, near), by)
        low = builder.select(wide, low, axis)
        high = builder.select(wide, high, builder.add(axis, emit.integers(1)))
        low_face = builder.fadd(emit.fma(width, builder.sitofp(low, F32_VECTOR), corner), slack)
        high_face = builder.fsub(emit.fma(width, builder.sitofp(high, F32_VECTOR), corner), slack)
        forward = builder.fcmp_ordered(">", along, zero)
        way = builder.fdiv(builder.fsub(builder.select(forward, high_face, low_face), at), along)
        way = builder.select(builder.fcmp_ordered("==", along, zero), infinity, way)
        leave = emit.minimum(way, leave)
    return leave


look: Any = intrinsic(_emit_look)
