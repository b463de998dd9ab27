"""Exponentials and logarithms of the march, emitted for vectors, beside numpy's."""

from typing import Any

import numpy as np
from numba import njit
from numba.core import types
from numba.extending import intrinsic

from neufield.fields.kernels.vector_code import LANES, integer
from neufield.render.kernels.vector_march import _Vectors


def emitted(name: str) -> Any:
    """A compiled function that applies one of the emitter's functions to LANES values."""

    def emit_function(typing_context, x, y):
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            emit = _Vectors(context, builder, signature, arguments)
            x, y = emit.arguments
            emit.store(getattr(emit, name)(emit.load(x, integer(0))), y, integer(0))
            return context.get_dummy_value()

        return types.void(x, y), generate

    function = intrinsic(emit_function)

    @njit
    def run(x, y):
        function(x, y)

    return run


def test_exponentials_are_right_to_the_last_bits():
    run, y = emitted("exp"), np.empty(LANES, np.float32)
    for x in np.linspace(0.0, 60.0, 50 * LANES).astype(np.float32).reshape(-1, LANES):
        run(x, y)
        np.testing.assert_allclose(y, np.exp(x.astype(np.float64)), rtol=3e-7)


def test_logarithms_have_small_errors():
    run, y = emitted("log"), np.empty(LANES, np.float32)
    for x in np.geomspace(1e-30, 1e30, 50 * LANES).astype(np.float32).reshape(-1, LANES):
        run(x, y)
        np.testing.assert_allclose(y, np.log(x.astype(np.float64)), rtol=2e-7, atol=2e-7)
