"""The life of a run with --compress: begun, interrupted, scored again, and what it refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neufield.tools.compression import run as compression
from neufield.tools.compression.fit import CompressionFit
from neufield.tools.compression.nfz_file import MOST_PIXELS, read_nfz
from neufield.tools.picture_files import write_picture

Cli = Callable[..., Any]


def waves(height: int = 40, width: int = 60) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / 40
    return np.stack([0.5 + 0.4 * np.sin(9 * x + c) * np.cos(7 * y * x) for c in range(3)], axis=2).astype(np.float32)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "waves.png"
    write_picture(path, waves(), "uint8")
    return path


@pytest.fixture
def start(cli: Cli, picture: Path) -> Callable[..., Any]:
    return lambda *options: cli("image", picture, "--compress", "on", "--runs", picture.parent / "runs", *options)


@pytest.fixture
def run(start: Callable[..., Any], picture: Path) -> Path:
    """A finished run."""
    assert start("--steps", 1, "--quiet").code == 0
    return picture.parent / "runs" / "waves"


def test_an_interrupted_run_has_its_best_file_and_is_scored_by_eval(
    cli: Cli, start: Callable[..., Any], picture: Path, monkeypatch: pytest.MonkeyPatch
):
    improve, files = CompressionFit.improve, list[bytes]()

    def interrupted(fit: CompressionFit) -> float:
        assert (run / "outputs" / "waves.nfz").read_bytes() == fit.best.data
        if len(files) == 2:
            raise KeyboardInterrupt
        gain = improve(fit)
        files.append(fit.best.data)
        return gain

    run = picture.parent / "runs" / "waves"
    monkeypatch.setattr(CompressionFit, "improve", interrupted)
    monkeypatch.setattr(compression, "_LEAST_GAIN", -1.0)
    said = start("--steps", 9)
    assert said.code == 0
    assert f"Stopped after 2 steps; {run / 'outputs' / 'waves.nfz'} is the best file so far." in said.out
    assert f"`neufield eval {run}`" in said.out
    assert not (run / "report.html").exists()
    assert read_nfz(run / "outputs" / "waves.nfz").width == 60
    assert cli("eval", run, "--quiet").code == 0
    assert json.loads((run / "evaluation.json").read_text())["bytes"] == len(files[-1])
    assert (run / "report.html").exists()


def test_another_picture_in_the_place_of_the_fitted_one_is_named(cli: Cli, run: Path, picture: Path):
    write_picture(picture, waves(30, 60), "uint8")
    said = cli("eval", run)
    assert said.code == 2
    assert f"{picture} is not the picture that {run} was fitted to: it has height 30, not 40." in said.err


@pytest.mark.parametrize(
    ("command", "options", "told"),
    [
        ("eval", ["--device", "cuda"], "--device"),
        ("eval", ["--device", "cuda", "--backend", "triton"], "--device and --backend"),
        ("render", ["--backend", "numba"], "--backend"),
    ],
)
def test_options_of_other_runs_are_refused(cli: Cli, run: Path, command: str, options: list[str], told: str):
    said = cli(command, run, *options)
    assert said.code == 2
    assert f"{run} is a compressed picture, which {told} means nothing to" in said.err


@pytest.mark.parametrize(("option", "value"), [("--time", 3), ("--fps", 3), ("--device", "cpu")])
def test_options_of_other_runs_are_refused_for_a_file(cli: Cli, run: Path, option: str, value: object):
    file = run / "outputs" / "waves.nfz"
    said = cli("render", file, option, value)
    assert said.code == 2
    assert f"{file} is a compressed picture, which {option} means nothing to" in said.err


def test_a_jpeg_with_sides_that_are_too_long_is_refused(cli: Cli, run: Path):
    said = cli("render", run, "--size", 70000, 1, "--output", run / "a.jpg")
    assert "A JPEG has at most 65500 pixels along each side" in said.err


def test_pictures_that_are_too_large_are_refused_before_they_are_fitted(
    start: Callable[..., Any], picture: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("neufield.tools.compression.nfz_file.MOST_PIXELS", 40 * 60 - 1)
    monkeypatch.setattr(compression, "CompressionFit", None)
    said = start("--steps", 1)
    assert said.code == 2
    assert "waves.png: a compressed picture has at most" in said.err
    assert MOST_PIXELS > 100_000_000
    assert not (picture.parent / "runs").exists()


def test_the_config_of_another_field_is_compressed(cli: Cli, picture: Path):
    runs = picture.parent / "runs"
    assert cli("image", picture, "--runs", runs, "--steps", 2, "--quiet").code == 0
    config = runs / "waves" / "config.yaml"
    assert "field: hash" in config.read_text()
    said = cli("image", "--config", config, "--compress", "on", "--name", "small", "--steps", 1, "--quiet")
    assert said.code == 0, said
    assert (runs / "small" / "outputs" / "small.nfz").is_file()
