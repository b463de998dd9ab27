"""Line charts as inline SVG that takes its colours from the page around it."""

import math
from collections.abc import Sequence
from html import escape

_WIDTH, _HEIGHT = 560, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 14, 46
_MOST_POINTS = 400


def line_chart(points: Sequence[tuple[float, float]], *, x_label: str, y_label: str, markers: bool = False) -> str:
    """A curve with axes as an `<svg>` element; its classes are styled by the report's style sheet.

    Args:
        points: (x, y) in rising order of x; those that are not finite are left out. Long curves are thinned by means of
            neighbours.
        x_label, y_label: Plain text, with units.
        markers: Whether to draw a dot at every point.

    Returns:
        The element; an empty string where fewer than two finite points are left.
    """
    kept = _thinned([(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)])
    if len(kept) < 2:
        return ""
    x_ticks, y_ticks = _ticks([x for x, _ in kept], 6), _ticks([y for _, y in kept], 5)
    x_low, x_high = min(kept[0][0], x_ticks[0]), max(kept[-1][0], x_ticks[-1])
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def across(x: float) -> float:
        return round(_LEFT + (x - x_low) / (x_high - x_low) * (_WIDTH - _LEFT - _RIGHT), 1)

    def down(y: float) -> float:
        return round(_HEIGHT - _BOTTOM - (y - y_low) / (y_high - y_low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    label = f"{y_label} against {x_label}"
    parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">']
    for y in y_ticks:
        parts.append(f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{down(y)}" y2="{down(y)}"/>')
        parts.append(f'<text class="tick" text-anchor="end" x="{_LEFT - 8}" y="{down(y) + 5}">{_number(y)}</text>')
    for x in x_ticks:
        parts.append(
            f'<text class="tick" text-anchor="middle" x="{across(x)}" y="{_HEIGHT - _BOTTOM + 20}">{_number(x)}</text>'
        )
    line = " ".join(f"{across(x)},{down(y)}" for x, y in kept)
    parts.append(f'<polyline class="curve" points="{line}"/>')
    if markers:
        parts.extend(f'<circle class="dot" cx="{across(x)}" cy="{down(y)}" r="4"/>' for x, y in kept)
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    parts.append(f'<text class="axis" text-anchor="middle" x="{middle}" y="{_HEIGHT - 6}">{escape(x_label)}</text>')
    parts.append("</svg>")
    return "".join(parts)


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `_MOST_POINTS` points, each the mean of neighbours; the first and last stay."""
    if len(points) <= _MOST_POINTS:
        return points
    group = math.ceil((len(points) - 2) / (_MOST_POINTS - 2))
    inner = points[1:-1]
    groups = [inner[i : i + group] for i in range(0, len(inner), group)]
    means = [(sum(x for x, _ in part) / len(part), sum(y for _, y in part) / len(part)) for part in groups]
    return [points[0], *means, points[-1]]


def _ticks(values: Sequence[float], count: int) -> list[float]:
    """Round numbers, about `count` of them, that reach around all values."""
    low, high = min(values), max(values)
    if high - low < 1e-12 * max(abs(low), abs(high), 1e-12):
        low, high = low - max(abs(low) * 0.5, 0.5), high + max(abs(high) * 0.5, 0.5)
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [i * step for i in range(first, last + 1)]


def _number(value: float) -> str:
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):.4g}{letter}"
    return f"{value:.4g}"
