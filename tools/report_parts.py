"""Parts of a report that every kind of run has: versions, curves, timings."""

from importlib.metadata import version
from itertools import pairwise
from typing import Any

from .report import ReportSeries


def versions() -> dict[str, str]:
    """Versions of what computed a run."""
    return {name: version(name) for name in ("neufield", "torch", "numba", "numpy")}


def curve_of(lines: list[dict[str, Any]]) -> list[tuple[float, float]]:
    """Seconds of training and PSNR, of the metrics' lines that have scores."""
    return [(line["seconds"], line["scores"]["psnr"]) for line in lines if "scores" in line]


def series_of(lines: list[dict[str, Any]]) -> list[ReportSeries]:
    """Losses and rates against seconds of training, of the metrics' lines."""
    steps = [line for line in lines if "losses" in line]
    series = [
        ReportSeries(f"Loss: {name}", [(line["seconds"], line["losses"][name]) for line in steps])
        for name in (steps[0]["losses"] if steps else {})
    ]
    for name in steps[0]["counters"] if steps else {}:
        rates = [
            (b["seconds"], (b["counters"][name] - a["counters"][name]) / (b["seconds"] - a["seconds"]))
            for a, b in pairwise(_spaced(steps))
        ]
        series.append(ReportSeries(f"{name.capitalize()} per second", rates))
    return series


def _spaced(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Lines that are at least a hundredth of the whole apart: a rate over less is noise."""
    spaced = lines[:1]
    for line in lines[1:]:
        if line["seconds"] - spaced[-1]["seconds"] > 0.01 * lines[-1]["seconds"]:
            spaced.append(line)
    return spaced


def timings_of(content: dict[str, Any], drawing: dict[str, str], warm_up_seconds: float | None) -> dict[str, str]:
    """What took how long, and the most memory.

    Args:
        content: What evaluation.json says.
        drawing: What drawing took, in words.
        warm_up_seconds: How long the kernels took to compile or load, where that is known.
    """
    timings = {"training": f"{content['seconds']:.1f} s"}
    if warm_up_seconds is not None:
        timings["compiling or loading kernels, before the clock starts"] = f"{warm_up_seconds:.1f} s"
    timings |= drawing
    if content["peak_memory_bytes"] is not None:
        timings["peak memory"] = f"{content['peak_memory_bytes'] / 2**30:.2f} GiB"
    return timings
