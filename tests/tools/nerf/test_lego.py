"""A real scene, for a minute: quality and memory of the main job."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.mark.slow
def test_lego_in_a_minute(spawn: Callable[..., subprocess.Popen[str]], real_data: Path, tmp_path: Path):
    """Peak memory is that of the run's own process."""
    if not (real_data / "lego400").is_dir():
        pytest.skip(f"needs {real_data / 'lego400'}")
    line = (
        "nerf",
        real_data / "lego400",
        "--background",
        "white",
        "--seconds",
        60,
        "--runs",
        tmp_path,
        "--name",
        "lego",
    )
    process = spawn(*line)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    found = json.loads((tmp_path / "lego" / "evaluation.json").read_text())
    assert len(found["views"]) == 25
    assert found["protocol"]["resolution"] == "400x400"
    assert found["mean"]["psnr"] > 24.0
    assert found["peak_memory_bytes"] < 3 << 30
    assert 60.0 <= found["seconds"] < 70.0
