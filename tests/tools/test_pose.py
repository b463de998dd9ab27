"""`neufield data pose`: what it prints, writes and refuses."""

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from neufield.tools.video_files import write_video

Cli = Callable[..., Any]
NEEDS_PYCOLMAP = "needs pycolmap: pip install -c constraints.txt -e '.[sfm]'"


def assert_refused(said: Any, *texts: str, out: str = "") -> None:
    """Exit code 2 and, on stderr alone, one line with all the texts."""
    assert said.code == 2, said
    assert said.out == out
    assert said.err.startswith("neufield: ")
    assert said.err.count("\n") == 1
    for text in texts:
        assert text in said.err


@pytest.fixture
def pycolmap() -> Any:
    return pytest.importorskip("pycolmap", reason=NEEDS_PYCOLMAP)


@pytest.fixture
def blank(tmp_path: Path) -> Callable[..., Path]:
    """Writes a folder of photos on which there is nothing to see, and takes their names."""

    def write(*names: str) -> Path:
        folder = tmp_path / "blank"
        folder.mkdir()
        for name in names:
            Image.new("RGB", (64, 48), (90, 90, 90)).save(folder / name)
        return folder

    return write


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_photos_become_a_folder_to_train_on(cli: Cli, pycolmap: Any, snapshots: Any, tmp_path: Path):
    photos = tmp_path / "my photos"
    shutil.copytree(snapshots.folder, photos)
    (photos / "notes.txt").write_text("taken on Sunday")
    (photos / "IMG_9999.jpg").write_bytes((photos / "IMG_0000.jpg").read_bytes()[:3000])
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), dtype=np.uint8)
    Image.fromarray(noise).save(photos / "IMG_0100 elsewhere.jpg")
    before = content(photos)
    said = cli("data", "pose", photos, "--threads", "1")
    posed = tmp_path / "my photos-posed"
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[-1].startswith("14 of 16 photos registered, median reprojection error 0.")
    assert lines[-1].endswith(f" px. Next: neufield nerf '{posed}'")
    assert "Left out, no photos: notes.txt." in lines
    assert "1 of 16 photos unreadable and left out:" in lines
    assert any(line.startswith("  IMG_9999.jpg: cannot be read as an image (") for line in lines)
    assert "1 of 16 photos not registered and left out: IMG_0100 elsewhere.jpg." in lines
    assert any(line.startswith("To get them in: take more photos") for line in lines)
    assert content(photos) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["my photos", "my photos-posed"]
    report = json.loads((posed / "pose_report.json").read_text())
    assert (report["photos"], report["registered"]) == (16, 14)
    assert report["unregistered"] == ["IMG_0100 elsewhere.jpg"]
    assert len(report["unreadable"]) == 1
    assert sorted(path.name for path in posed.iterdir()) == ["images", "pose_report.json", "sparse"]
    assert cli("data", "check", posed).out.splitlines()[-1] == "ready to train"
    assert_refused(cli("data", "pose", photos), f"{posed} exists; replace it with --force", "--output")


def test_a_video_becomes_a_folder_to_train_on(cli: Cli, pycolmap: Any, snapshots: Any, tmp_path: Path):
    frames = []
    for path in sorted(snapshots.folder.iterdir()):
        with Image.open(path) as image:
            frames += [np.asarray(image.filter(ImageFilter.GaussianBlur(3))), np.asarray(image)]
    write_video(tmp_path / "clip.mp4", frames, fps=10)
    said = cli(
        "data", "pose", tmp_path / "clip.mp4", "--frames", "14", "--matching", "sequential", "--undistort", "off",
        "--output", tmp_path / "out" / "posed", "--quiet",
    )  # fmt: skip
    assert (said.code, said.err) == (0, "")
    assert said.out.count("\n") == 1
    posed = tmp_path / "out" / "posed"
    report = json.loads((posed / "pose_report.json").read_text())
    assert (report["photos"], report["matching"], report["undistorted"]) == (14, "sequential", False)
    assert report["registered"] >= 12
    assert {path.name for path in (posed / "images").iterdir()} <= {f"frame_{2 * i + 1:06d}.jpg" for i in range(14)}
    assert "OPENCV" in cli("data", "check", posed).out
    assert not any(path.is_symlink() for path in posed.rglob("*"))


def test_photos_without_overlap(cli: Cli, pycolmap: Any, tmp_path: Path, blank: Callable[..., Path]):
    folder = blank("a.jpg", "b.jpg", "c.jpg")
    assert_refused(cli("data", "pose", folder, "--quiet"), "expected photos that overlap, found no two of 3 photos")
    for i, name in enumerate(("a.jpg", "b.jpg", "c.jpg")):
        noise = np.random.default_rng(i).integers(0, 256, (24, 32, 3), dtype=np.uint8)
        Image.fromarray(noise).resize((320, 240), Image.Resampling.BICUBIC).save(folder / name)
    said = cli("data", "pose", folder, "--quiet")
    assert_refused(said, "expected photos that overlap", "each one showing most of what the one before shows")
    assert [path.name for path in tmp_path.iterdir()] == ["blank"]


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), "found no photos that can be read"),
        (("a.jpg",), "found 1 photo that can be read"),
        (("a.jpg", "b.png"), "found 2"),
    ],
)
def test_too_few_photos(
    cli: Cli, pycolmap: Any, tmp_path: Path, blank: Callable[..., Path], names: tuple[str, ...], text: str
):
    said = cli("data", "pose", blank(*names))
    assert_refused(said, "blank: expected a video or at least 3 photos that overlap", text, "take 30 or more")
    assert [path.name for path in tmp_path.iterdir()] == ["blank"]


def test_sources_that_are_no_photos(cli: Cli, pycolmap: Any, tmp_path: Path, blank: Callable[..., Path]):
    folder = blank("a.jpg")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "clip.mp4").write_bytes(bytes(1000))
    assert_refused(cli("data", "pose", tmp_path / "nowhere"), "nowhere: expected a folder of photos or a video, found")
    assert_refused(cli("data", "pose", folder / "a.jpg"), "a.jpg: expected a video or a folder", "found one photo")
    for name in ("notes.txt", "clip.mp4"):
        said = cli("data", "pose", tmp_path / name, "--quiet")
        assert_refused(said, f"{name}: cannot be decoded as a video (", "give a folder of pictures")
    write_video(tmp_path / "short.mp4", [np.zeros((48, 64, 3), np.uint8)] * 2)
    said = cli("data", "pose", tmp_path / "short.mp4", "--quiet")
    assert_refused(said, "short.mp4: expected a video of at least 3 frames, found 2; film for")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blank", "clip.mp4", "notes.txt", "short.mp4"]


def test_outputs_that_are_in_the_way(cli: Cli, pycolmap: Any, tmp_path: Path, blank: Callable[..., Path]):
    folder = blank("a.jpg", "b.jpg", "c.jpg")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("all of it")
    for output in (mine, mine / "thesis.txt"):
        said = cli("data", "pose", folder, "--output", output, "--force")
        assert_refused(said, f"{output} exists and was not written by `neufield data pose`", "--output")
    for output in (folder, tmp_path, folder / "posed"):
        said = cli("data", "pose", folder, "--output", output, "--force")
        assert_refused(said, f"{output}: expected an output folder apart from {folder}")
    link = tmp_path / "link"
    link.symlink_to(folder, target_is_directory=True)
    assert_refused(cli("data", "pose", folder, "--output", link, "--force"), "expected an output folder apart from")
    (mine / "pose_report.json").write_text("{}")
    (tmp_path / "other").symlink_to(mine, target_is_directory=True)
    assert_refused(cli("data", "pose", folder, "--output", tmp_path / "other", "--force"), "other exists and was not")
    said = cli("data", "pose", folder, "--output", tmp_path / "mine" / "thesis.txt" / "posed")
    assert_refused(said, "posed: cannot be written (", "name another place")
    assert (mine / "thesis.txt").read_text() == "all of it"
    assert len(list(folder.iterdir())) == 3


def test_a_failed_run_keeps_what_it_was_to_replace(cli: Cli, pycolmap: Any, tmp_path: Path, blank: Callable[..., Path]):
    folder, output = blank("a.jpg", "b.jpg", "c.jpg"), tmp_path / "blank-posed"
    output.mkdir()
    (output / "pose_report.json").write_text("earlier")
    assert_refused(cli("data", "pose", folder, "--force", "--quiet"), "expected photos that overlap")
    assert content(output) == {"pose_report.json": b"earlier"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["blank", "blank-posed"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_a_folder_that_cannot_be_written(cli: Cli, pycolmap: Any, tmp_path: Path, blank: Callable[..., Path]):
    folder = blank("a.jpg", "b.jpg", "c.jpg")
    tmp_path.chmod(0o500)
    try:
        said = cli("data", "pose", folder)
    finally:
        tmp_path.chmod(0o700)
    assert_refused(said, "blank-posed: cannot be written (Permission denied)")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("--frames 2", "--frames must be at least 3, got 2."),
        ("--threads 0", "--threads must be at least 1, got 0."),
        ("--seed -1", "--seed must be at least 0, got -1."),
        ("--seed 3000000000", "--seed takes 0 to 2147483647, got 3000000000."),
    ],
)
def test_bad_options(cli: Cli, tmp_path: Path, options: str, text: str):
    assert_refused(cli("data", "pose", tmp_path, *options.split()), text)


def test_without_pycolmap(cli: Cli, tmp_path: Path, blank: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pycolmap", None)
    said = cli("data", "pose", blank("a.jpg", "b.jpg", "c.jpg"))
    assert_refused(said, "pycolmap, which is not installed: pip install -c constraints.txt -e '.[sfm]'")
    assert [path.name for path in tmp_path.iterdir()] == ["blank"]


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_interrupted(spawn: Callable[..., Any], pycolmap: Any, snapshots: Any, tmp_path: Path):
    photos = tmp_path / "photos"
    shutil.copytree(snapshots.folder, photos)
    process = spawn("data", "pose", photos, "--threads", "1")
    deadline = time.monotonic() + 120.0
    while not list(tmp_path.glob(".photos-posed.*.partial/work/database.db")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 130, out
    assert out.splitlines()[-1] == "neufield: interrupted."
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]
