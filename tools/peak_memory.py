"""The most memory that a run has taken."""

import json
import sys
from contextlib import suppress

from .run_folder import RunFolder


def peak_of_run(run: RunFolder) -> int | None:
    """The peak of this process, or what an earlier evaluation of the run says if that is more; None if nothing does."""
    return max((peak for peak in (peak_memory_bytes(), _peak_so_far(run)) if peak), default=None)


def peak_memory_bytes() -> int | None:
    """The most memory this process has held so far; None on systems that do not say."""
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _peak_so_far(run: RunFolder) -> int | None:
    with suppress(OSError, ValueError, KeyError, TypeError):
        return int(json.loads(run.evaluation.read_text(encoding="utf-8"))["peak_memory_bytes"])
    return None
