"""The benchmark measures both backends in one run, from one state."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neufield.configs.nerf_config import NerfConfig
from neufield.datasets import write_synthetic_folder
from neufield.tools.bench.fields import bench_fields
from neufield.tools.bench.image import bench_image
from neufield.tools.bench.kernels import bench_kernels
from neufield.tools.bench.machine_limits import Work, median_ratio, rates
from neufield.tools.bench.nerf import bench_nerf
from neufield.tools.bench.rows import summary, table, write_json
from neufield.tools.progress import Progress


@pytest.mark.slow
def test_a_training_step_is_ten_times_as_fast_as_the_reference(tmp_path: Path):
    write_synthetic_folder(tmp_path / "photos", train_views=20, test_views=2, size=100)
    rows = bench_nerf(NerfConfig(data=tmp_path / "photos"), repeats=5, progress=Progress(quiet=True))
    write_json(tmp_path / "bench.json", rows)
    written = json.loads((tmp_path / "bench.json").read_text())
    assert {"machine", "rows"} == written.keys()
    assert set(written["rows"][0]) == {"name", "value", "unit", "against", "ratio", "share"}
    step = next(row for row in rows if row.name == "training step, numba")
    print(table(rows))
    assert step.against == "reference"
    assert step.ratio is not None
    assert step.ratio >= 10.0, summary(rows)


@pytest.mark.slow
def test_a_picture_is_learned_and_faster_than_by_the_reference():
    rows = bench_image(repeats=3, progress=Progress(quiet=True))
    print(table(rows))
    assert (rows[0].ratio or 0.0) > 3.0, summary(rows)
    scores = [row.value for row in rows if row.unit == "dB"]
    assert len(scores) == 3
    assert scores == sorted(scores)
    assert scores[-1] > 25.0
    siren = next(row for row in rows if row.name == "SIREN step, numba")
    assert siren.against == "PyTorch"
    assert (siren.ratio or 0.0) > 1.0


@pytest.mark.slow
def test_a_run_s_curve_parts_and_frames_are_measured(tmp_path: Path):
    write_synthetic_folder(tmp_path / "photos", train_views=10, test_views=2, size=50)
    config = NerfConfig(data=tmp_path / "photos", seconds=2.0)
    rows = bench_nerf(config, warm_up_steps=40, repeats=1, progress=Progress(quiet=True))
    print(table(rows))
    parts = [row.value for row in rows if row.name.startswith("part of a step: ")]
    assert sum(parts) == pytest.approx(100.0)
    assert all(0.0 <= part < 80.0 for part in parts)
    assert [row.unit for row in rows[-4:]] == ["dB", "dB", "s", "s"]
    assert rows[-2].name == "frame of 400x400"
    assert rows[-1].value > rows[-2].value


@pytest.mark.slow
def test_kernels_stay_below_the_machine_s_limits_and_above_the_reference():
    """A share of several times the limit would mean that the limit, or what is counted, is wrong.

    Coarse levels have smaller tables than the one whose reads are the limit, and a neighbour on the machine can halve a
    limit, so that 1 can be exceeded.
    """
    rows = bench_kernels(repeats=5, progress=Progress(quiet=True))
    print(table(rows))
    shares = [row for row in rows if row.share is not None]
    assert len(shares) == 12
    for row in rows:
        assert row.value > 0.0
    for row in shares:
        assert (row.ratio or 0.0) > 1.0, row
        assert 0.02 < (row.share or 0.0) < 4.0, row


@pytest.mark.slow
def test_fields_are_fitted_to_one_picture_and_drawn_as_curves(tmp_path: Path):
    rows, columns = np.mgrid[0:64, 0:64] / 64
    colors = np.stack([rows, columns, 0.5 + 0.5 * np.sin(20 * rows * columns)], axis=2)
    Image.fromarray((255 * colors).astype(np.uint8)).save(tmp_path / "picture.png")
    found = bench_fields(
        tmp_path / "picture.png",
        seconds=5.0,
        page=tmp_path / "page.html",
        progress=Progress(quiet=True),
        fields=("hash", "relu"),
        sizes=(10_000, 30_000),
    )
    print(table(found))
    assert [row.name.split(",")[0] for row in found] == [
        *("hash", "hash", "relu", "relu"),
        *("hash grid of plain PyTorch", "siren of plain PyTorch"),
    ]
    assert found[1].value > found[3].value
    page = (tmp_path / "page.html").read_text()
    assert page.count("<svg") == 2
    assert "hash grid of plain PyTorch" in page


def test_works_are_timed_in_turn():
    order: list[str] = []
    one, other = (Work(2.0, lambda name=name: order.append(name)) for name in ("one", "other"))
    found = rates([one, other], 3)
    assert order == ["one", "one", "other", "other"] * 4
    assert [len(values) for values in found] == [3, 3]
    assert median_ratio([1.0, 4.0, 9.0], [1.0, 2.0, 1.0]) == 2.0
