"""What the kernels that are written as LLVM vector code share: the machine's vectors, and an emitter of instructions.

numba compiles plain loops well, but neither keeps a tile of sums in registers nor reads neighbouring features of a
random table entry at once, nor leaves parts of a vector alone. The intrinsics of the `vector_` modules emit what does.
"""

import platform
from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba.core import cgutils, types
from numba.core.errors import TypingError


def _host_features() -> Any:
    try:
        return binding.get_host_cpu_features()
    except RuntimeError:  # LLVM does not know this processor: the narrowest vectors run everywhere
        return {}


_FEATURES = _host_features()
LANES = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx2") else 4
WIDE_REGISTER_FILE = LANES == 16 or platform.machine().lower() in ("aarch64", "arm64")  # 32 vector registers, not 16

FLOAT = ir.FloatType()
I64 = ir.IntType(64)
I32 = ir.IntType(32)
F32_VECTOR = ir.VectorType(FLOAT, LANES)
I32_VECTOR = ir.VectorType(I32, LANES)


def integer(value: int) -> ir.Constant:
    """A 64-bit constant."""
    return ir.Constant(I64, value)


def _value_bytes(kind: ir.VectorType) -> int:
    """Vectors are aligned as their single values are."""
    return getattr(kind.element, "width", 32) // 8


class Emitter:
    """Emits the body of an intrinsic.

    Args:
        context, builder, signature, arguments: What numba hands to an intrinsic's code generator.

    Attributes:
        builder: Takes single instructions.
        arguments: Arrays as pointers to their first value, the others as they are.
        pitches: How far a row of each array is behind the one before; None for the others.
    """

    def __init__(self, context: Any, builder: ir.IRBuilder, signature: Any, arguments: Any) -> None:
        self.builder = builder
        if any(isinstance(kind, types.Array) and kind.layout != "C" for kind in signature.args):
            raise TypingError(f"Vector code takes C-contiguous arrays, got {signature}.")
        arrays = [
            context.make_array(kind)(context, builder, value) if isinstance(kind, types.Array) else None
            for kind, value in zip(signature.args, arguments)
        ]
        self.arguments = [value if array is None else array.data for array, value in zip(arrays, arguments)]
        self.pitches = [None if array is None else cgutils.unpack_tuple(builder, array.shape)[-1] for array in arrays]

    def fma(self, factor: Any, other: Any, addend: Any) -> Any:
        """factor * other + addend with one rounding; vectors of any length or scalars."""
        kind = addend.type
        name = f"llvm.fma.v{kind.count}f32" if isinstance(kind, ir.VectorType) else "llvm.fma.f32"
        signature = ir.FunctionType(kind, [kind] * 3)
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, signature, name), [factor, other, addend]
        )

    def call(self, name: str, value: Any) -> Any:
        """A function of one vector of LANES floats that LLVM knows."""
        kind = ir.FunctionType(value.type, [value.type])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}.v{LANES}f32")
        return self.builder.call(function, [value])

    def load(self, data: Any, offset: Any, kind: Any = F32_VECTOR) -> Any:
        """Neighbouring values, beginning `offset` values behind `data`."""
        loaded = self.builder.load(self._address(data, offset, kind))
        loaded.align = _value_bytes(kind)  # pyright: ignore[reportAttributeAccessIssue]
        return loaded

    def store(self, value: Any, data: Any, offset: Any) -> None:
        """The opposite of `load`."""
        stored = self.builder.store(value, self._address(data, offset, value.type))
        stored.align = _value_bytes(value.type)  # pyright: ignore[reportAttributeAccessIssue]

    def _address(self, data: Any, offset: Any, kind: Any) -> Any:
        return self.builder.bitcast(self.builder.gep(data, [offset]), kind.as_pointer())

    def broadcast(self, value: Any, lanes: int = LANES) -> Any:
        """One value in all lanes."""
        undefined = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
        lane = self.builder.insert_element(undefined, value, ir.Constant(I32, 0))
        return self.shuffle(lane, lane, [0] * lanes)

    def shuffle(self, a: Any, b: Any, lanes: list[int]) -> Any:
        """A vector of these lanes of a and, counted on, of b."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(I32, len(lanes)), lanes))

    def lane(self, vector: Any, index: int) -> Any:
        """One lane's value."""
        return self.builder.extract_element(vector, ir.Constant(I32, index))

    def constant(self, value: float, lanes: int = LANES) -> ir.Constant:
        """A float in all lanes."""
        return ir.Constant(ir.VectorType(FLOAT, lanes), [value] * lanes)

    def reduce_loop(self, count: Any, start: list[Any], step: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """Runs `step(i, sums) -> sums` for i in range(count), count >= 1, sums in registers; returns the last ones."""
        before, body = self.builder.block, self.builder.append_basic_block("reduce")
        after = self.builder.append_basic_block("reduced")
        self.builder.branch(body)
        self.builder.position_at_end(body)
        i = self.builder.phi(I64)
        i.add_incoming(integer(0), before)
        totals = [self.builder.phi(value.type) for value in start]
        updated = step(i, totals)
        following = self.builder.add(i, integer(1))
        i.add_incoming(following, self.builder.block)
        for total, first, value in zip(totals, start, updated):
            total.add_incoming(first, before)
            total.add_incoming(value, self.builder.block)
        self.builder.cbranch(self.builder.icmp_unsigned("<", following, count), body, after)
        self.builder.position_at_end(after)
        return updated

    def transpose(self, vectors: list[Any]) -> list[Any]:
        """The LANES x LANES matrix whose rows are given, transposed: in each pass one bit of rows and lanes swaps."""
        width = 1
        while width < LANES:
            low = [lane if not lane & width else LANES + lane - width for lane in range(LANES)]
            high = [lane + width if not lane & width else LANES + lane for lane in range(LANES)]
            turned = list(vectors)
            for row in range(LANES):
                if not row & width:
                    pair = vectors[row], vectors[row + width]
                    turned[row], turned[row + width] = self.shuffle(*pair, low), self.shuffle(*pair, high)
            vectors = turned
            width *= 2
        return vectors
