"""The benchmark measures both backends in one run, from one state."""

import json
from pathlib import Path

import pytest

from neufield.configs.nerf_config import NerfConfig
from neufield.datasets import write_synthetic_folder
from neufield.tools.bench_kernels import bench_kernels
from neufield.tools.bench_nerf import bench_nerf
from neufield.tools.bench_rows import summary, table, write_json
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
def test_kernels_stay_below_the_machine_s_limits_and_above_the_reference():
    """A share above 1 would mean that a limit, or what is counted, is wrong."""
    rows = bench_kernels(repeats=3, progress=Progress(quiet=True))
    print(table(rows))
    assert {row.name for row in rows if row.name.startswith("limit")} >= {"limit: multiply-adds"}
    for row in rows:
        assert row.value > 0.0
        if row.ratio is not None:
            assert row.ratio > 2.0, row
        if row.share is not None:
            assert 0.05 < row.share < 1.3, row
