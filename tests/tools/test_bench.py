"""The benchmark measures both backends in one run, from one state."""

import json
from pathlib import Path

import pytest

from neufield.configs.nerf_config import NerfConfig
from neufield.datasets import write_synthetic_folder
from neufield.tools.bench import bench_nerf, summary, table, write_json
from neufield.tools.progress import Progress


@pytest.mark.slow
def test_a_training_step_is_ten_times_as_fast_as_the_reference(tmp_path: Path):
    write_synthetic_folder(tmp_path / "photos", train_views=20, test_views=2, size=100)
    rows = bench_nerf(NerfConfig(data=tmp_path / "photos"), repeats=5, progress=Progress(quiet=True))
    write_json(tmp_path / "bench.json", rows)
    written = json.loads((tmp_path / "bench.json").read_text())
    assert {"machine", "rows"} == written.keys()
    assert set(written["rows"][0]) == {"name", "value", "unit", "against", "ratio"}
    step = next(row for row in rows if row.name == "training step, numba")
    print(table(rows))
    assert step.against == "reference"
    assert step.ratio is not None
    assert step.ratio >= 10.0, summary(rows)
