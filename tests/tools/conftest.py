"""A small scene in a folder, a run that was trained on it, and the command line called in this process."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from neufield.datasets import write_synthetic_folder
from neufield.tools import memory_size
from neufield.tools.cli import main

SMALL_FIELD = {
    "--field.levels": "8",
    "--field.log2-table-size": "14",
    "--field.finest": "128",
    "--sampling.samples": "2048",
    "--sampling.steps-per-unit": "128",
    "--sampling.occupancy-resolution": "32",
}
STEPS = 300
SIZE = 48


class Said(NamedTuple):
    """What a command ended with and printed."""

    code: int
    out: str
    err: str


Cli = Callable[..., Said]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs the command line in this process; what child processes print is caught as well."""
    monkeypatch.setenv("COLUMNS", "300")  # messages in one line each
    monkeypatch.delenv("NEUFIELD_TRACEBACK", raising=False)

    def run(*arguments: object) -> Said:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        return Said(code, *capfd.readouterr())

    return run


@pytest.fixture(scope="session")
def small_field() -> list[str]:
    """Options that make a field of a megabyte, whose steps take milliseconds."""
    return [part for pair in SMALL_FIELD.items() for part in pair]


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 photos to train on and 3 held out, in the Blender format; not to be changed."""
    folder = tmp_path_factory.mktemp("data") / "still"
    write_synthetic_folder(folder, train_views=24, test_views=3, size=SIZE)
    return folder


@pytest.fixture(scope="session")
def trained(photos: Path, small_field: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of 300 steps; not to be changed."""
    runs = tmp_path_factory.mktemp("runs")
    assert main(["nerf", str(photos), "--runs", str(runs), "--steps", str(STEPS), "--quiet", *small_field]) == 0
    return runs / "still"


@pytest.fixture
def any_memory(monkeypatch: pytest.MonkeyPatch) -> str:
    """Lets --memory be as small as small photos need it; returns what does so in another process."""
    monkeypatch.setattr(memory_size, "_LEAST", 1)
    return "from neufield.tools import memory_size\nmemory_size._LEAST = 1"


@pytest.fixture
def run_copy(trained: Path, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(trained, tmp_path / "runs" / "still"))


@pytest.fixture
def capture(photos: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes the photos as instant-ngp's `transforms.json`, with changes to some frames or to the whole document."""

    def write(*, frames: dict[int, dict[str, Any]] | None = None, **document: Any) -> Path:
        folder = tmp_path / "capture"
        shutil.copytree(photos / "train", folder / "train")
        listed = json.loads((photos / "transforms_train.json").read_text())["frames"]
        for i, frame in enumerate(listed):
            frame["file_path"] += ".png"
            frame.update((frames or {}).get(i, {}))
        content = {"w": SIZE, "h": SIZE, "fl_x": 1.5 * SIZE, "frames": listed, **document}
        (folder / "transforms.json").write_text(json.dumps(content))
        return folder

    return write


def _hear_ctrl_c() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="session")
def spawn() -> Callable[..., subprocess.Popen[str]]:
    """Starts the command line in a process of its own, with some environment variables set, after some Python.

    It hears Ctrl-C even if the tests do not, as when a shell has put them into the background.
    """

    def start(*arguments: object, after: str = "", **environment: str) -> subprocess.Popen[str]:
        program = f"{after}\nimport runpy\nrunpy.run_module('neufield.tools.cli', run_name='__main__', alter_sys=True)"
        command = [sys.executable, "-c", program, *(str(argument) for argument in arguments)]
        return subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_hear_ctrl_c if os.name == "posix" else None,
        )

    return start
