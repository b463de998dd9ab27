import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neufield.tools.charts import line_chart, line_charts
from neufield.tools.report import ReportContent, ReportSection, ReportSeries, ReportView, report_page, write_report

NASTY = "<script>alert(\"1\")</script> & 'quotes'"


def picture(seed: int = 0, height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def view(name: str = "r_0.png", psnr: float = 30.0, size: int = 40) -> ReportView:
    images = [picture(i, size, size) for i in range(3)]
    return ReportView(name, {"psnr": psnr, "ssim": 0.9}, *images)


def content(**changes) -> ReportContent:
    minimal = {"title": "lego", "headline": "31.4 dB", "explanation": "mean PSNR", "protocol": {"background": "white"}}
    return ReportContent(**{**minimal, **changes})


class Page(HTMLParser):
    """Checks that elements are closed in order, and collects links, texts and tags."""

    VOID = frozenset({"meta", "img", "input", "br"})
    SHAPES = frozenset({"line", "circle", "polyline"})

    def __init__(self, html: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources.extend(value for name, value in attrs if name in ("src", "href"))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in self.SHAPES
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)


def full() -> ReportContent:
    return content(
        figures={"SSIM": "0.95"},
        views=[view("r_0.png", 30.0), view("r_1.png", 32.0)],
        curve=[(15.0, 25.0), (60.0, 29.0), (300.0, 31.4)],
        series=[ReportSeries("rays per second", [(float(i), 1e5 + i) for i in range(1000)])],
        sections=[
            ReportSection("View dependence", "First.\n\nSecond.", [("on", picture())], [("run", "dB"), ("on", "31")])
        ],
        video=b"not really a video",
        timings={"training": "60 s"},
        settings="steps: 100\n",
        versions={"torch": "2.13.0"},
        notes=["17 of 67 frames list files that are not there"],
        next_commands=[("Go on", "neufield resume runs/lego")],
    )


def test_the_page_is_well_formed_and_says_everything_in_order():
    page = Page(report_page(full()))
    before = ["lego", "31.4 dB", "0.95", "white", "17 of 67 frames", "25.00", "View dependence", "Second.", "mean of 2"]
    after = ["31.00", "rays per second", "60 s", "neufield resume runs/lego", "steps: 100", "2.13.0"]
    places = [page.text.index(part) for part in before + after]
    assert places == sorted(places)
    assert page.tags.count("svg") == 2


def test_nothing_is_fetched_from_outside():
    html = report_page(full())
    assert all(source.startswith("data:") for source in Page(html).sources)
    assert "http" not in re.sub(r"base64,[A-Za-z0-9+/=]*", "", html)
    assert "@import" not in html
    assert not re.search(r"url\(", html)


def test_all_texts_are_escaped():
    html = report_page(
        content(
            title=NASTY,
            headline=NASTY,
            explanation=NASTY,
            protocol={NASTY: NASTY},
            figures={NASTY: NASTY},
            views=[ReportView(NASTY, {NASTY: 1.0}, picture(), picture(), picture())],
            series=[ReportSeries(NASTY, [(0.0, 1.0), (1.0, 2.0)])],
            sections=[ReportSection(NASTY, NASTY, [(NASTY, picture())], [(NASTY,), (NASTY,)])],
            timings={NASTY: NASTY},
            settings=NASTY,
            versions={NASTY: NASTY},
            notes=[NASTY],
            next_commands=[(NASTY, NASTY)],
        )
    )
    page = Page(html)
    assert page.tags.count("script") == 1  # the page's own
    assert "alert(" not in re.sub(r"&lt;script&gt;alert\(", "", html)
    assert page.text.count(NASTY) >= 18


def test_a_page_with_only_a_headline_has_no_empty_sections():
    page = Page(report_page(content()))
    assert page.tags.count("h2") == 1
    assert "img" not in page.tags


def test_the_first_views_get_sliders_and_all_get_a_row():
    page = Page(report_page(content(views=[view(f"r_{i}.png") for i in range(7)])))
    assert page.tags.count("input") == 4
    assert page.tags.count("img") == 4 * 2 + 7 * 3
    assert page.tags.count("tr") == 1 + 7 + 1 + 1  # head, views, mean, protocol


def test_the_mean_is_over_the_views_that_have_the_score():
    views = [view(psnr=20.0), view(psnr=30.0), ReportView("x", {"ssim": 0.3}, picture(), picture(), picture())]
    text = Page(report_page(content(views=views))).text
    assert "25.00" in text
    assert "0.7000" in text


@pytest.mark.parametrize(("count", "size"), [(25, 400), (200, 400), (8, 1200)])
def test_the_file_stays_below_five_megabytes(tmp_path: Path, count: int, size: int):
    coarse = Image.fromarray(picture(0, size // 10, size // 10))
    image = np.asarray(coarse.resize((size, size), Image.Resampling.BILINEAR))  # busier than any photo
    path = tmp_path / "report.html"
    write_report(path, content(views=[ReportView(str(i), {"psnr": 30.0}, image, image, image) for i in range(count)]))
    assert path.stat().st_size < 5e6
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]


def test_a_chart_draws_its_points_in_its_frame_with_the_larger_value_higher():
    svg = line_chart([(0.0, 10.0), (5.0, 20.0), (10.0, 15.0)], x_label="s", y_label="dB", markers=True)
    found = re.search(r'<polyline class="curve" points="([^"]*)"', svg)
    assert found
    points = np.array([[float(part) for part in point.split(",")] for point in found[1].split()])
    assert (np.diff(points[:, 0]) > 0).all()
    assert points[1, 1] < points[2, 1] < points[0, 1]
    box = re.search(r'viewBox="0 0 (\d+) (\d+)"', svg)
    assert box
    assert (points >= 0).all()
    assert (points < [float(box[1]), float(box[2])]).all()
    assert svg.count("<circle") == 3


def test_a_long_chart_is_thinned_and_keeps_its_ends_and_mean():
    values = [(float(i), float(i % 2)) for i in range(10_001)]
    svg = line_chart(values, x_label="s", y_label="loss")
    found = re.search(r'points="([^"]*)"', svg)
    assert found
    assert 300 < len(found[1].split()) <= 400


@pytest.mark.parametrize("points", [[], [(1.0, 2.0)], [(1.0, float("nan")), (2.0, float("inf")), (3.0, 1.0)]])
def test_too_few_points_make_no_chart(points):
    assert line_chart(points, x_label="s", y_label="dB") == ""


@pytest.mark.parametrize("level", [0.0, 1.0, -3.5, 1e9, 1e-9])
def test_a_constant_curve_can_be_drawn(level: float):
    svg = line_chart([(0.0, level), (1.0, level)], x_label="s", y_label="dB")
    assert "nan" not in svg
    assert "<polyline" in svg


def test_several_curves_share_their_axes_and_have_names():
    svg = line_charts(
        {"a & b": [(0.0, 1.0), (1.0, 2.0)], "one point": [(3.0, 9.0)], "none": []}, x_label="s", y_label="dB"
    )
    assert svg.count("<polyline") == 2
    assert svg.count("<circle") == 3
    assert "a &amp; b" in svg
    assert "none" not in svg.replace("fill:none", "")
    assert line_charts({"dot": [(1.0, 1.0)]}, x_label="s", y_label="dB") == ""
