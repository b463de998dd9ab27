"""What a benchmark found, as a table on the terminal and as JSON."""

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from ...datasets.whole_output import whole_file
from ..report_parts import versions


@dataclass(frozen=True)
class Row:
    """One measurement, and how it compares with others of the same run.

    Attributes:
        name: What was measured.
        value, unit: The median.
        against: What it is compared with.
        ratio: How many times as fast as that it is.
        share: Which share of the machine's limit it reaches.
    """

    name: str
    value: float
    unit: str
    against: str = ""
    ratio: float | None = None
    share: float | None = None


def table(rows: list[Row]) -> str:
    """The rows as lines of text."""
    lines = [f"{'what':<40}{'median':>12}  {'':<7}{'against':<12}{'times as fast':>14}{'of the limit':>14}"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.1f}"
        share = "" if row.share is None else f"{row.share:.0%}"
        lines.append(f"{row.name:<40}{row.value:>12.2f}  {row.unit:<7}{row.against:<12}{ratio:>14}{share:>14}")
    return "\n".join(lines)


def summary(rows: list[Row]) -> str:
    """The most telling ratio, in one line."""
    row = next(row for row in rows if row.ratio is not None)
    return f"{row.name}: {row.value:.1f} {row.unit}, {row.ratio:.1f} times as fast as {row.against}."


def write_json(path: Path, rows: list[Row]) -> None:
    """Writes the rows with the machine they were measured on."""
    machine = {"processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), **versions()}
    content = {"machine": machine, "rows": [row.__dict__ for row in rows]}
    with whole_file(path) as aside:
        aside.write_text(json.dumps(content, indent=1), encoding="utf-8")
