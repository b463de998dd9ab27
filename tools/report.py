"""A run's result as one self-contained web page: pictures inside, curves drawn as SVG, nothing fetched."""

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8

from ..datasets.whole_output import whole_file
from .charts import line_chart
from .pictures import LARGEST_ERROR
from .report_style import SCRIPT, STYLE

Picture: TypeAlias = UInt8[np.ndarray, "height width 3"]
Table: TypeAlias = Sequence[Sequence[str]]

_LEAD_CARDS = 4  # the video and sliders
_SLIDER_SIDE = 640
_THUMBNAIL_SIDE = 200
_THUMBNAILS_AT_FULL_SIZE = 30  # with more views they shrink, so that the page stays within a few megabytes


@dataclass(frozen=True)
class ReportView:
    """One view."""

    name: str
    scores: Mapping[str, float]
    """By name, e.g. `{"psnr": 31.2, "ssim": 0.95}`."""
    target: Picture
    render: Picture
    error: Picture


@dataclass(frozen=True)
class ReportSeries:
    """A quantity that was logged during training."""

    title: str
    points: Sequence[tuple[float, float]]
    """(seconds of training, value)."""


@dataclass(frozen=True)
class ReportSection:
    """A part of the page of its own, e.g. a comparison of two runs."""

    title: str
    text: str
    """Paragraphs are separated by empty lines."""
    images: Sequence[tuple[str, Picture]] = ()
    """Captions and pictures, shown next to each other."""
    table: Table = ()
    """Rows of cells; the first row is the header."""
    chart: str = ""
    """An `<svg>` element, see `charts`."""


@dataclass(frozen=True)
class ReportContent:
    """What the page says; every text is plain and gets escaped."""

    title: str
    headline: str
    """The result, e.g. "31.4 dB"."""
    explanation: str
    """What the headline is, e.g. "PSNR, mean of 10 held-out views"."""
    protocol: Mapping[str, str]
    """How it was measured: background, resolution, split, crop."""
    figures: Mapping[str, str] = field(default_factory=dict[str, str])
    """A few more numbers to stand beside the headline, by label."""
    views: Sequence[ReportView] = ()
    scored: str = "held-out photos"
    """What the views and the curve are of."""
    target: str = "photo"
    """What a view's target is called."""
    curve: Sequence[tuple[float, float]] = ()
    """PSNR in dB against seconds of training."""
    series: Sequence[ReportSeries] = ()
    sections: Sequence[ReportSection] = ()
    video: bytes | None = None
    """A short mp4 to embed, at most a megabyte or two."""
    timings: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: str = ""
    """The resolved settings as YAML text."""
    versions: Mapping[str, str] = field(default_factory=dict[str, str])
    notes: Sequence[str] = ()
    """What the user should know about the data."""
    next_commands: Sequence[tuple[str, str]] = ()
    """(what it does, command line)."""


def write_report(path: Path, content: ReportContent) -> None:
    """Writes the page as one HTML file, which appears complete or not at all.

    Photos are JPEG of quality 90; the first views get a slider between target and render, all get a row with small
    pictures.
    """
    page = report_page(content)
    with whole_file(path) as aside:
        aside.write_text(page, encoding="utf-8")


def report_page(content: ReportContent) -> str:
    """The page's HTML text."""
    parts = [
        f"<header><h1>{escape(content.title)}</h1>",
        f'<div class="headline">{escape(content.headline)}</div>',
        f'<p class="soft">{escape(content.explanation)}</p>{_figures(content.figures)}</header>',
        _lead(content),
        _facts("How it was measured", content.protocol),
        _bullets("About the data", content.notes),
        _curve(content.curve, content.scored),
        *(_section(section) for section in content.sections),
        _all_views(content),
        _series(content.series),
        _facts("Timings", content.timings),
        _commands(content.next_commands),
        _settings(content),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(content.title)}</title><style>{STYLE}</style></head>\n<body><main>"
        + "\n".join(part for part in parts if part)
        + f"\n<footer>Written by neufield.</footer></main><script>{SCRIPT}</script></body></html>\n"
    )


def _figures(figures: Mapping[str, str]) -> str:
    cells = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in figures.items())
    return f'<dl class="figures">{cells}</dl>' if cells else ""


def _lead(content: ReportContent) -> str:
    """The video and the views with sliders."""
    cards: list[str] = []
    if content.video:
        source = f"data:video/mp4;base64,{base64.b64encode(content.video).decode()}"
        video = f'<video src="{source}" autoplay muted loop playsinline controls></video>'
        cards.append(f'<figure class="card">{video}<figcaption>Rendered by the trained field</figcaption></figure>')
    cards.extend(_slider(view, escape(content.target)) for view in content.views[: _LEAD_CARDS - len(cards)])
    heading = f"<h2>{_capitalized(content.scored)}: {escape(content.target)} against render</h2>"
    heading = heading if content.views else "<h2>Result</h2>"
    return f'{heading}<div class="grid lead">{"".join(cards)}</div>' if cards else ""


def _capitalized(text: str) -> str:
    return escape(text[:1].upper() + text[1:])


def _slider(view: ReportView, kind: str) -> str:
    target, render = (_data_url(image, _SLIDER_SIDE) for image in (view.target, view.render))
    name = escape(view.name)
    scores = ", ".join(f"{_score(key, value)}" for key, value in view.scores.items())
    return (
        f'<figure class="card"><div class="compare"><img src="{target}" alt="{kind} of {name}">'
        f'<img class="over" src="{render}" alt="render of {name}"><span class="bar"></span>'
        f'<span class="chip left">{kind}</span><span class="chip right">render</span>'
        f'<input type="range" min="0" max="100" value="50" step="0.5" aria-label="{name}: {kind} or render"></div>'
        f"<figcaption>{name}: {escape(scores)}</figcaption></figure>"
    )


def _all_views(content: ReportContent) -> str:
    views, target = content.views, escape(content.target)
    if not views:
        return ""
    side = round(_THUMBNAIL_SIDE * min(1.0, math.sqrt(_THUMBNAILS_AT_FULL_SIZE / len(views))))
    names = list(dict.fromkeys(name for view in views for name in view.scores))
    head = "".join(
        f"<th>{escape(name)}</th>" for name in ("view", *map(_score_name, names), content.target, "render", "error")
    )
    rows = [
        f"<tr><td>{escape(view.name)}</td>{_score_cells(view, names)}{_pictures(view, side, target)}</tr>"
        for view in views
    ]
    means = [_mean([view.scores[name] for view in views if name in view.scores]) for name in names]
    cells = "".join(f'<td class="number">{_value(name, mean)}</td>' for name, mean in zip(names, means, strict=True))
    if len(views) > 1:
        rows.append(f'<tr class="mean"><td>mean of {len(views)}</td>{cells}<td></td><td></td><td></td></tr>')
    legend = f"Error: absolute difference, mean of the channels; dark is 0, pale is {LARGEST_ERROR:g} or more."
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"
    return f'<h2>View by view</h2><p class="soft">{legend}</p><div class="scroll">{table}</div>'


def _score_cells(view: ReportView, names: Sequence[str]) -> str:
    values = [_value(name, view.scores[name]) if name in view.scores else "" for name in names]
    return "".join(f'<td class="number">{value}</td>' for value in values)


def _pictures(view: ReportView, side: int, target: str) -> str:
    images = ((target, view.target), ("render", view.render), ("error", view.error))
    return "".join(
        f'<td class="picture"><img src="{_data_url(image, side)}" alt="{kind} of {escape(view.name)}"></td>'
        for kind, image in images
    )


def _curve(curve: Sequence[tuple[float, float]], scored: str) -> str:
    if not curve:
        return ""
    label = f"PSNR of {scored}, dB"
    rows = [("seconds", "PSNR, dB"), *((f"{seconds:.4g}", f"{psnr:.2f}") for seconds, psnr in curve)]
    chart = line_chart(curve, x_label="seconds of training", y_label=label, markers=True)
    drawn = f'<figure class="card">{chart}<figcaption>{escape(label)}</figcaption></figure>' if chart else ""
    return f'<h2>Quality against training time</h2><div class="grid">{drawn}<div>{_table(rows)}</div></div>'


def _series(series: Sequence[ReportSeries]) -> str:
    charts = ((one.title, line_chart(one.points, x_label="seconds of training", y_label=one.title)) for one in series)
    cards = "".join(
        f'<figure class="card">{chart}<figcaption>{escape(title)}</figcaption></figure>'
        for title, chart in charts
        if chart
    )
    return f'<h2>Training</h2><div class="grid">{cards}</div>' if cards else ""


def _section(section: ReportSection) -> str:
    paragraphs = "".join(f"<p>{escape(text)}</p>" for text in section.text.split("\n\n") if text.strip())
    cards = "".join(
        f'<figure class="card"><img src="{_data_url(image, _SLIDER_SIDE)}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for caption, image in section.images
    )
    cards += f'<figure class="card">{section.chart}</figure>' if section.chart else ""
    pictures = f'<div class="grid">{cards}</div>' if cards else ""
    return f"<h2>{escape(section.title)}</h2>{paragraphs}{_table(section.table)}{pictures}"


def _table(rows: Table) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in rows[0])
    body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows[1:])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _facts(title: str, facts: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in facts.items())
    return f'<h2>{title}</h2><table class="facts">{rows}</table>' if rows else ""


def _bullets(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f"<h2>{title}</h2><ul>{items}</ul>" if items else ""


def _commands(commands: Sequence[tuple[str, str]]) -> str:
    blocks = "".join(f"<p>{escape(purpose)}</p><pre>{escape(command)}</pre>" for purpose, command in commands)
    return f"<h2>What to try next</h2>{blocks}" if blocks else ""


def _settings(content: ReportContent) -> str:
    settings = f"<details><summary>All settings</summary><pre>{escape(content.settings)}</pre></details>"
    versions = "".join(f"<tr><th>{escape(k)}</th><td>{escape(v)}</td></tr>" for k, v in content.versions.items())
    table = f'<details><summary>Versions</summary><table class="facts">{versions}</table></details>'
    parts = (settings if content.settings else "") + (table if versions else "")
    return f"<h2>Settings and versions</h2>{parts}" if parts else ""


_SCORES = {
    "psnr": "PSNR, dB",
    "ssim": "SSIM",
    "exposed_psnr": "PSNR with fitted exposure, dB",
    "depth_error": "depth error",
    "blending_psnr": "PSNR of blending, dB",
    "blending_ssim": "SSIM of blending",
}


def _score_name(name: str) -> str:
    return _SCORES.get(name, name)


def _value(name: str, value: float) -> str:
    return f"{value:.2f}" if name.endswith("psnr") else f"{value:.4f}"


def _score(name: str, value: float) -> str:
    return f"{_value(name, value)} dB PSNR" if name == "psnr" else f"{_value(name, value)} {_score_name(name)}"


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _data_url(image: np.ndarray, longest_side: int) -> str:
    """The picture as JPEG inside a URL, made smaller where it is larger than asked for."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((longest_side, longest_side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="JPEG", quality=90, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"
