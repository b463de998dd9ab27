"""Line charts as inline SVG that takes its colours from the page around it."""

import math
from collections.abc import Mapping, Sequence
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
    kept = _thinned(_finite(points))
    if len(kept) < 2:
        return ""
    chart = _Axes([kept], x_label, y_label)
    return chart.drawn(chart.curve(kept, markers=markers))


def line_charts(curves: Mapping[str, Sequence[tuple[float, float]]], *, x_label: str, y_label: str) -> str:
    """Several curves in one chart, each with its name at its end and a dot at every point; see `line_chart`."""
    kept = {name: points for name, points in ((name, _finite(curve)) for name, curve in curves.items()) if points}
    if not any(len(points) > 1 for points in kept.values()):
        return ""
    chart = _Axes(list(kept.values()), x_label, y_label)
    parts = [
        chart.curve(points, markers=True, name=name, hue=round(360 * index / len(kept)))
        for index, (name, points) in enumerate(kept.items())
    ]
    return chart.drawn("".join(parts))


class _Axes:
    """Where points lie between the axes of a chart."""

    def __init__(self, curves: Sequence[Sequence[tuple[float, float]]], x_label: str, y_label: str) -> None:
        xs, ys = ([point[axis] for curve in curves for point in curve] for axis in (0, 1))
        self._x_ticks, self._y_ticks = _ticks(xs, 6), _ticks(ys, 5)
        self._x = min(*xs, self._x_ticks[0]), max(*xs, self._x_ticks[-1])
        self._y = self._y_ticks[0], self._y_ticks[-1]
        self._labels = x_label, y_label

    def _across(self, x: float) -> float:
        low, high = self._x
        return round(_LEFT + (x - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    def _down(self, y: float) -> float:
        low, high = self._y
        return round(_HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM), 1)

    def curve(
        self, points: Sequence[tuple[float, float]], *, markers: bool, name: str = "", hue: int | None = None
    ) -> str:
        """A curve, in a colour of its own if a hue (degrees) is given, with its name at its last point."""
        color = "" if hue is None else f' style="stroke:hsl({hue} 65% 50%)"'
        line = " ".join(f"{self._across(x)},{self._down(y)}" for x, y in points)
        parts = [f'<polyline class="curve" points="{line}"{color}/>']
        if markers:
            parts.extend(
                f'<circle class="dot" cx="{self._across(x)}" cy="{self._down(y)}" r="4"{color}/>' for x, y in points
            )
        if name:
            x, y = points[-1]
            place = f'x="{self._across(x) - 8}" y="{self._down(y) - 8}"'
            parts.append(f'<text class="tick" text-anchor="end" {place}>{escape(name)}</text>')
        return "".join(parts)

    def drawn(self, curves: str) -> str:
        """The whole chart around its curves."""
        x_label, y_label = self._labels
        label = f"{y_label} against {x_label}"
        parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">']
        for y in self._y_ticks:
            at = self._down(y)
            parts.append(f'<line class="rule" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at}" y2="{at}"/>')
            parts.append(f'<text class="tick" text-anchor="end" x="{_LEFT - 8}" y="{at + 5}">{_number(y)}</text>')
        for x in self._x_ticks:
            place = f'x="{self._across(x)}" y="{_HEIGHT - _BOTTOM + 20}"'
            parts.append(f'<text class="tick" text-anchor="middle" {place}>{_number(x)}</text>')
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        parts += [
            curves,
            f'<text class="axis" text-anchor="middle" x="{middle}" y="{_HEIGHT - 6}">{escape(x_label)}</text>',
        ]
        return "".join([*parts, "</svg>"])


def _finite(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]


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
