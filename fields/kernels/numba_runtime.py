"""What every numba kernel shares: the thread pool that is asked for, the compiler's flags, and the dtypes that run."""

import numba
import torch

# OpenMP first: its threads stay awake between two kernels, where `workqueue` pays a millisecond to wake them.
numba.config.THREADING_LAYER_PRIORITY = ["omp", "tbb", "workqueue"]  # pyright: ignore[reportAttributeAccessIssue]

# Fast arithmetic that still treats NaN and infinity as IEEE does: a bad coordinate must not index outside a table.
FASTMATH = {"contract", "reassoc", "nsz", "arcp", "afn"}

# Work is cut into this many pieces whatever the number of threads, so that sums are always taken in the same order.
CHUNKS = 16


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Says why a numba kernel cannot run on tensors of this device and dtype; None if it can."""
    if device != "cpu":
        return f"it runs on the CPU, the tensors are on {device}"
    if dtype != torch.float32:
        return f"it computes in float32, the tensors are {dtype}"
    return None
