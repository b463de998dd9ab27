"""`neufield video`: clips become runs that follow what moves, resume, and are drawn at any time, rate and size."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from neufield.datasets import load_clip
from neufield.tools.cli import main
from neufield.tools.video.clip_facts import ClipFacts
from neufield.tools.video.evaluation import shown_frames
from neufield.tools.video.rendering import moments_of
from neufield.tools.video_files import write_video

Cli = Callable[..., Any]
FRAMES, HEIGHT, WIDTH = 7, 32, 48
GRID = ["--field", "grid", "--grid.log2-table-size", 12, "--grid.levels", 6, "--grid.width", 16]


def blob(time: float) -> np.ndarray:
    """A bright blob on a ramp, four pixels further to the right with every frame."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    bright = np.exp(-((x - 12.0 - 4.0 * time) ** 2 + (y - 14.0 - time) ** 2) / 32.0)[..., None]
    ramp = np.stack([0.2 + 0.2 * x / WIDTH, np.full_like(x, 0.3), 0.5 - 0.3 * y / HEIGHT], axis=2)
    return ((ramp * (1.0 - bright) + bright * [0.95, 0.8, 0.1]) * 255.0).round().astype(np.uint8)


def write_frames(folder: Path, count: int = FRAMES) -> Path:
    folder.mkdir()
    for i in range(count):
        Image.fromarray(blob(i)).save(folder / f"{i + 8}.png")
    return folder


def options(runs: Path, *more: object) -> list[object]:
    return ["--runs", runs, "--quiet", "--optimizer.batch", 2048, *more]


@pytest.fixture(scope="session")
def blob_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; not to be changed."""
    folder = write_frames(tmp_path_factory.mktemp("clips") / "blob")
    arguments = ["video", folder, *options(folder.parent / "runs", "--steps", 300)]
    assert main([str(argument) for argument in arguments]) == 0
    return folder.parent / "runs" / "blob"


def psnr(found: np.ndarray, wanted: np.ndarray) -> float:
    return -10.0 * np.log10(np.mean((found / 255.0 - wanted / 255.0) ** 2))


def test_what_moves_is_followed_between_the_frames(blob_run: Path):
    found = json.loads((blob_run / "evaluation.json").read_text())
    assert [view["name"] for view in found["views"]] == ["frame 1, 0.04 s", "frame 3, 0.12 s", "frame 5, 0.20 s"]
    mean = found["mean"]
    assert mean["psnr"] > mean["blending_psnr"] + 4.0
    assert mean["ssim"] > mean["blending_ssim"]
    assert "fitted_psnr" not in mean
    frames = [blob(i) / 255.0 for i in (0, 1, 2)]
    blending = -10.0 * np.log10(np.mean(((frames[0] + frames[2]) / 2.0 - frames[1]) ** 2))
    assert found["views"][0]["blending_psnr"] == pytest.approx(blending, abs=1e-3)
    report = (blob_run / "report.html").read_text()
    assert "7 frames of 48x32 pixels, 25 per second. 3 frames are held out" in report
    assert "PSNR of blending, dB" in report
    assert len(load_clip(blob_run / "outputs" / "clip.mp4")) == FRAMES


def test_it_is_drawn_at_another_rate_size_and_time(cli: Cli, blob_run: Path, tmp_path: Path):
    said = cli("render", blob_run, "--fps", 50, "--size", 96, 64, "--output", tmp_path / "smooth.mp4", "--quiet")
    assert said.out.splitlines()[-1] == f"{tmp_path / 'smooth.mp4'}: 13 frames of 96x64 pixels, 50 per second."
    smooth = load_clip(tmp_path / "smooth.mp4")
    assert (len(smooth), smooth.size, smooth.fps) == (13, (96, 64), 50.0)
    assert cli("render", blob_run, "--frames", 3, "--output", tmp_path / "three.gif", "--quiet").code == 0
    assert len(load_clip(tmp_path / "three.gif")) == 3
    (tmp_path / "folder").mkdir()
    said = cli("render", blob_run, "--time", 0.1, "--size", 6, 4, "--output", tmp_path / "folder", "--quiet")
    assert said.code == 0
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["6x4_0.1s.png"]
    assert cli("render", blob_run, "--time", 0.1, "--output", tmp_path / "still.png", "--quiet").code == 0
    still = np.asarray(Image.open(tmp_path / "still.png"), np.float64)
    assert psnr(still, blob(2.5)) > psnr(0.5 * blob(2) + 0.5 * blob(3), blob(2.5))


def test_moments():
    kind = ClipFacts(width=8, height=8, frames=5, fps=10.0)
    assert moments_of(kind, frames=None, fps=10.0) == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert moments_of(kind, frames=None, fps=20.0) == pytest.approx(np.arange(0.0, 4.1, 0.5))
    assert moments_of(kind, frames=None, fps=4.0) == [0.0, 2.5]
    assert moments_of(kind, frames=3, fps=24.0) == [0.0, 2.0, 4.0]
    assert moments_of(kind, frames=1, fps=24.0) == [0.0]


def test_a_run_resumes_to_the_same_weights(cli: Cli, tmp_path: Path):
    clip, runs = write_frames(tmp_path / "blob"), tmp_path / "runs"
    for name in ("once", "twice"):
        assert cli("video", clip, *options(runs, "--steps", 12, "--name", name)).code == 0
    first, second = (load_file(runs / name / "checkpoint" / "latest.safetensors") for name in ("once", "twice"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert "is finished, with 12 steps" in cli("resume", runs / "once").out
    assert cli("resume", runs / "once", "--steps", 20, "--quiet").code == 0
    scored = (runs / "once" / "evaluation.json").read_text()
    assert cli("eval", runs / "once", "--quiet").code == 0
    assert json.loads(scored)["mean"] == json.loads((runs / "once" / "evaluation.json").read_text())["mean"]


def test_all_frames_can_be_fitted(cli: Cli, tmp_path: Path):
    clip = write_frames(tmp_path / "blob", 3)
    said = cli("video", clip, *options(tmp_path, "--steps", 5, "--holdout-every", 0, "--name", "x"))
    assert said.code == 0, said
    found = json.loads((tmp_path / "x" / "evaluation.json").read_text())
    assert len(found["views"]) == 3
    assert found["mean"]["psnr"] > 58.0  # a motion leaves them as they are
    assert "which a motion leaves as they are" in found["protocol"]["frames"]
    assert "blending_psnr" not in found["mean"]


def test_a_step_between_held_out_frames_that_is_too_large_is_told(cli: Cli, tmp_path: Path):
    clip = write_frames(tmp_path / "blob", 4)
    said = cli(
        "video", clip, "--runs", tmp_path, "--steps", 1, "--optimizer.batch", 64, "--holdout-every", 9, "--name", "x"
    )
    assert said.code == 0, said
    note = "--holdout-every 9 holds out none of 4 frames: all are fitted, and scored"
    assert f"Note: blob: {note}" in said.out + said.err
    assert note in (tmp_path / "x" / "report.html").read_text()


def test_pictures_are_kept_of_some_frames_alone(
    cli: Cli, blob_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("neufield.tools.video.evaluation._MOST_SHOWN", 2)
    copy = Path(shutil.copytree(blob_run, tmp_path / "copy"))
    before = json.loads((copy / "evaluation.json").read_text())
    assert cli("eval", copy, "--quiet").code == 0
    after = json.loads((copy / "evaluation.json").read_text())
    assert (after["mean"], after["views"]) == (before["mean"], before["views"])
    page = (copy / "report.html").read_text()
    assert "mean of 3 held-out frames, 2 of which are shown" in page
    assert "frame 1, 0.04 s" in page
    assert "frame 3, 0.12 s" not in page


def test_frames_that_are_shown_are_spread_and_bounded():
    assert shown_frames(3, picture_bytes=100) == {0, 1, 2}
    many = sorted(shown_frames(1000, picture_bytes=100))
    assert (many[0], many[-1], len(many)) == (0, 999, 24)
    assert len(shown_frames(1000, picture_bytes=3 * 3840 * 2160)) == 3
    assert shown_frames(10, picture_bytes=1 << 40) == {0}


def test_a_cut_video_is_told(cli: Cli, tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 32, 48, 3), np.uint8)
    write_video(tmp_path / "whole.mp4", list(noise))
    whole = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: 6 * len(whole) // 10])
    said = cli("video", tmp_path / "cut.mp4", "--runs", tmp_path / "runs", "--steps", 1, "--optimizer.batch", 64)
    assert said.code == 0, said
    assert "Note: cut.mp4: it is damaged or cut short (" in said.out + said.err
    assert "it is damaged or cut short (" in (tmp_path / "runs" / "cut" / "report.html").read_text()


def test_clips_that_cannot_be_fitted_are_refused(cli: Cli, tmp_path: Path):
    def refused(path: Path, *more: object) -> str:
        said = cli("video", path, *options(tmp_path / "runs", "--steps", 2, *more))
        assert (said.code, said.out) == (2, "")
        assert not (tmp_path / "runs").exists()
        return said.err

    assert "gone.mp4: expected a video, a gif or a folder of frames, found nothing" in refused(tmp_path / "gone.mp4")
    (tmp_path / "text.mp4").write_text("hello")
    assert "text.mp4: cannot be decoded as a video" in refused(tmp_path / "text.mp4")
    write_video(tmp_path / "short.mp4", [blob(0), blob(1)])
    assert "short.mp4: expected a clip of at least 3 frames, found 2" in refused(tmp_path / "short.mp4")
    (tmp_path / "none").mkdir()
    assert "none: expected a clip of at least 3 frames, found 0" in refused(tmp_path / "none")
    mixed = write_frames(tmp_path / "mixed")
    Image.fromarray(blob(0)[:20]).save(mixed / "10.png")
    assert "mixed: expected frames of one size, found 48x20 pixels in 10.png and 48x32 in 8.png" in refused(mixed)
    assert "--holdout-every 1 leaves no frame to fit" in refused(mixed, "--holdout-every", 1)
    told = refused(mixed, "--grid.levels", 3)
    assert "--grid.levels is of no use with --field motion; leave it out, or take --field grid" in told
    told = refused(mixed, "--field", "grid", "--motion.sharp-from", 0.5)
    assert "--motion.sharp-from is of no use with --field grid; leave it out, or take --field motion" in told


def test_resuming_refuses_another_clip(cli: Cli, blob_run: Path, tmp_path: Path):
    clip = write_frames(tmp_path / "blob")
    assert cli("video", clip, *options(tmp_path / "runs", "--steps", 2)).code == 0
    (clip / "8.png").unlink()
    said = cli("resume", tmp_path / "runs" / "blob", "--steps", 4)
    assert said.code == 2
    assert "is not the clip that" in said.err
    assert "it has 6 frames of 48x32 pixels, 25 per second, the run's had 7 frames" in said.err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--time", 1.0], "--time takes 0 to 0.24 seconds, the time of the last frame; got 1"),
        (["--time", 0.1, "--fps", 60], "--time draws a single picture, which --frames and --fps mean nothing to"),
        (["--fps", 0], "--fps takes a number above 0 and at most 10000, got 0"),
        (["--fps", "inf"], "--fps takes a number above 0 and at most 10000, got inf"),
        (["--fps", 1e300], "--fps takes a number above 0 and at most 10000, got 1e+300"),
        (["--frames", 0], "A video of 1 to 100000 frames can be drawn, not of 0"),
        (["--size", 0, 5], "--size takes a width and a height of 1 to 16384 pixels, got 0 5"),
        (["--scale", 2.0], "is a run of `neufield video`, which --scale means nothing to"),
    ],
)
def test_drawings_that_cannot_be_are_refused(cli: Cli, blob_run: Path, arguments: list[object], text: str):
    said = cli("render", blob_run, *arguments)
    assert said.code == 2
    assert text in said.err


def test_a_grid_fades_between_the_frames(cli: Cli, tmp_path: Path):
    clip = write_frames(tmp_path / "blob")
    said = cli("video", clip, *options(tmp_path, "--steps", 200, *GRID, "--name", "x"))
    assert said.code == 0, said
    mean = json.loads((tmp_path / "x" / "evaluation.json").read_text())["mean"]
    assert mean["fitted_psnr"] > 30.0
    assert mean["psnr"] < mean["fitted_psnr"] - 5.0
    assert not (tmp_path / "x" / "frames.safetensors").exists()
    assert cli("render", tmp_path / "x", "--frames", 2, "--quiet").code == 0


def test_a_run_without_its_frames_says_so(cli: Cli, blob_run: Path, tmp_path: Path):
    copy = Path(shutil.copytree(blob_run, tmp_path / "copy"))
    (copy / "frames.safetensors").write_bytes(b"cut")
    said = cli("render", copy, "--time", 0)
    assert said.code == 2
    assert "frames.safetensors is missing or damaged" in said.err


@pytest.mark.slow
def test_carphone_gains_over_blending(cli: Cli, real_data: Path, tmp_path: Path):
    clip = real_data / "video" / "carphone_pristine.mp4"
    if not clip.is_file():
        pytest.skip(f"needs {clip}")
    assert cli("video", clip, "--runs", tmp_path, "--name", "car", "--steps", 600, "--quiet").code == 0
    mean = json.loads((tmp_path / "car" / "evaluation.json").read_text())["mean"]
    assert mean["blending_psnr"] == pytest.approx(33.30, abs=0.01)
    assert mean["psnr"] > mean["blending_psnr"] + 1.0
    assert mean["ssim"] > mean["blending_ssim"] + 0.01
