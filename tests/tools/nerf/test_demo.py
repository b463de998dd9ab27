"""`neufield demo`, on a smaller drawing than the built-in one."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neufield.datasets import synthetic_scene

Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def small_drawing(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = synthetic_scene(train_views=6, test_views=2, size=16)
    monkeypatch.setattr("neufield.tools.nerf.run.synthetic_scene", lambda *, seed: scene)


def test_demo_leaves_scores_a_turntable_and_a_report(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("neufield.tools.nerf.path_video._LONGEST_SIDE", 8)
    said = cli("demo", "--steps", 2, "--runs", tmp_path)
    assert said.code == 0, said.err
    run = tmp_path / "demo"
    assert len(json.loads((run / "evaluation.json").read_text())["views"]) == 2
    assert (run / "outputs" / "turntable.mp4").is_file()
    assert "data:video/mp4" in (run / "report.html").read_text()
    for text in ("What to try next:", f"neufield resume {run}", "neufield data check PHOTOS_FOLDER"):
        assert text in said.out
    assert said.out.splitlines()[-1].startswith("demo: held-out PSNR ")
    again = cli("demo", "--steps", 2, "--runs", tmp_path)
    assert again.code == 2
    assert f"The run {run} exists" in again.err


def test_demo_stopped_by_ctrl_c_ends_there(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from neufield.tools.nerf.task import NerfTask

    after_step = NerfTask.after_step

    def press(task: NerfTask, step: int, progress: float) -> None:
        after_step(task, step, progress)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(NerfTask, "after_step", press)
    said = cli("demo", "--steps", 50, "--runs", tmp_path, "--quiet")
    assert (said.code, said.out) == (0, f"Stopped at step 1; go on with `neufield resume {tmp_path / 'demo'}`.\n")
    assert not (tmp_path / "demo" / "outputs" / "turntable.mp4").exists()
