"""What every numba kernel shares: the thread pool that is asked for, the compiler's flags, and the dtypes that run."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from numba import get_num_threads, njit, set_num_threads
from numba.core import config

# OpenMP first: `workqueue` pays a millisecond to wake its threads, and is not safe under two Python threads.
config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]  # pyright: ignore[reportAttributeAccessIssue]

# Fast arithmetic that still treats NaN and infinity as IEEE does: a bad coordinate must not index outside a table.
_FASTMATH = {"contract", "reassoc", "nsz", "arcp", "afn"}

_Decorator = Callable[[Callable[..., Any]], Any]


def _cache_folder() -> str:
    """Where compiled kernels are kept: a folder named after the text of all kernels.

    numba itself compares a cached function with its own file only, but ours take constants and functions from one
    another.
    """
    kernels = Path(__file__).parent
    sources = sorted([*kernels.glob("*.py"), *(kernels.parents[1] / "render" / "kernels").glob("*.py")])
    digest = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()[:16]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return str(Path(config.CACHE_DIR or home / "neufield" / "kernels") / digest)  # pyright: ignore


_CACHE_FOLDER = _cache_folder()


def _decorator(**options: Any) -> _Decorator:
    # Division by zero gives infinity, as in numpy: a check at every division would keep loops from being vectorised.
    compile_ = njit(cache=True, error_model="numpy", **options)

    def decorate(function: Callable[..., Any]) -> Any:
        others = config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]
        config.CACHE_DIR = _CACHE_FOLDER  # pyright: ignore[reportAttributeAccessIssue]
        try:
            return compile_(function)
        finally:
            config.CACHE_DIR = others  # pyright: ignore[reportAttributeAccessIssue]

    return decorate


compiled = _decorator(fastmath=_FASTMATH)
compiled_parallel = _decorator(fastmath=_FASTMATH, parallel=True)

# Where rounding decides which cell a sample falls into, products and sums must not be fused.
exact = _decorator()
exact_parallel = _decorator(parallel=True)

# Work is cut into this many pieces whatever the number of threads, so that sums are always taken in the same order.
CHUNKS = 16


def start_threads() -> None:
    """Starts numba's threads now rather than at the first parallel kernel.

    On Linux numba and torch share one OpenMP library, and numba's start sets the number of threads for both: whoever
    wants torch to have another number sets it afterwards.
    """
    set_num_threads(get_num_threads())


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Says why a numba kernel cannot run on tensors of this device and dtype; None if it can."""
    if device != "cpu":
        return f"it runs on the CPU, the tensors are on {device}"
    if dtype != torch.float32:
        return f"it computes in float32, the tensors are {dtype}"
    return None
