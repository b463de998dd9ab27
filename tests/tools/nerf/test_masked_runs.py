"""A NeRF from photos that something stands in: with masks it learns what stands behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

Cli = Callable[..., Any]
Capture = Callable[..., Path]

HELD_OUT = 8
"""Every such photo of a `transforms.json` by name, from the first on."""


def spoil(paths: list[Path], *, parts: int = 3) -> None:
    """Paints an opaque coloured square somewhere into every photo, and writes masks of them.

    A square's side is that of the photo divided by `parts`.
    """
    random = np.random.default_rng(0)
    for path in paths:
        with Image.open(path) as image:
            pixels = np.array(image)
        side = pixels.shape[0] // parts
        top, left = random.integers(0, pixels.shape[0] - side, 2)
        window = (slice(top, top + side), slice(left, left + side))
        pixels[window] = (*random.integers(0, 256, 3), 255)
        Image.fromarray(pixels).save(path)
        mask = np.zeros(pixels.shape[:2], dtype=np.uint8)
        mask[window] = 255
        Image.fromarray(mask).save(path.with_name(f"dynamic_mask_{path.name}"))


def photos_in(folder: Path) -> list[Path]:
    return sorted(folder.glob("r_*.png"))


def unmask(folder: Path) -> None:
    for path in folder.glob("dynamic_mask_*"):
        path.unlink()


def evaluation_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "evaluation.json").read_text())


def three_scores(
    train: Callable[[str], object], folder: Path, photos: list[Path], runs: Path, *, parts: int = 3
) -> list[float]:
    """Held-out PSNR of three runs: on the photos as they are, on spoilt ones with masks, and on those without."""
    train("clean")
    spoil(photos, parts=parts)
    train("masked")
    unmask(folder)
    train("spoilt")
    return [evaluation_of(runs / name)["mean"]["psnr"] for name in ("clean", "masked", "spoilt")]


@pytest.mark.slow
def test_masks_keep_what_moved_out_of_the_scene(cli: Cli, capture: Capture, small_field: list[str], tmp_path: Path):
    """The squares cover a ninth of the photos that are trained on; held-out ones are as they were."""
    folder = capture() / "train"
    photos = [path for i, path in enumerate(photos_in(folder)) if i % HELD_OUT]
    line = ("nerf", folder.parent, "--runs", tmp_path, "--steps", 250, "--quiet", *small_field, "--name")
    clean, masked, spoilt = three_scores(lambda name: cli(*line, name), folder, photos, tmp_path)
    assert masked > clean - 0.7
    assert masked > spoilt + 2.0
    for name in ("clean", "masked"):
        assert "masks" not in evaluation_of(tmp_path / name)["protocol"]


@pytest.mark.usefixtures("any_memory")
@pytest.mark.parametrize("memory", [(), ("--memory", "100KiB")])
def test_the_protocol_says_what_does_not_count(
    cli: Cli, capture: Capture, small_field: list[str], tmp_path: Path, memory: tuple[str, ...]
):
    folder = capture()
    spoil(photos_in(folder / "train"))
    line = ("nerf", folder, "--runs", tmp_path, "--steps", 2, "--quiet", *small_field, "--name", "all", *memory)
    assert cli(*line).code == 0
    protocol = evaluation_of(tmp_path / "all")["protocol"]
    assert protocol["masks"].startswith("11.1 % of the held-out pixels do not count")
    assert "of all pixels that count" in protocol["psnr"]
    assert "mean over the pixels that count" in protocol["ssim"]
    report = (tmp_path / "all" / "report.html").read_text()
    assert "masks: 24 of 24 photos, white = ignore" in report
    assert protocol["masks"] in report


def test_the_rule_is_told(cli: Cli, capture: Capture, small_field: list[str], tmp_path: Path):
    folder = capture()
    spoil(photos_in(folder / "train"))
    note = "masks: 24 of 24 photos, white = ignore (instant-ngp dynamic_mask_<name>.png); 11.1 % of the pixels are left"
    assert note in cli("data", "check", folder).out
    said = cli("nerf", folder, "--runs", tmp_path / "runs", "--steps", 2, *small_field)
    assert f"Note: {note}" in said.out


def test_bad_masks_leave_no_run(cli: Cli, capture: Capture, tmp_path: Path):
    folder = capture(frames={4: {"mask_path": "masks/4.png"}})
    for command in (("nerf", folder, "--runs", tmp_path / "runs"), ("data", "check", folder)):
        said = cli(*command)
        assert said.code == 2
        assert "transforms.json, frame 4: expected the mask 'masks/4.png' ('mask_path') in" in said.err
        assert "Traceback" not in said.err
    assert not (tmp_path / "runs").exists()


def test_the_quick_score_leaves_out_what_is_masked(capture: Capture):
    """A view whose held-out pixels are spoilt under its mask alone gets the same quick score."""
    from neufield.configs.nerf_config import FieldConfig, NerfConfig, SamplingConfig
    from neufield.tools.nerf.run import load_scene
    from neufield.tools.nerf.task import NerfTask, resolved

    folder = capture()
    spoil(photos_in(folder / "train"))
    field = FieldConfig(levels=4, log2_table_size=10, finest=64)
    config = NerfConfig(data=folder, field=field, sampling=SamplingConfig(samples=512, occupancy_resolution=32))
    scene = load_scene(config)
    task = NerfTask(resolved(config, scene), scene, torch.device("cpu"))
    before = task.quick_score()
    for i in range(len(scene.test)):
        kept = scene.test.kept_in(i)
        assert kept is not None
        scene.test.image(i)[~kept] = 0
    assert task.quick_score() == before
    scene.test.image(0)[:] = 0
    assert task.quick_score() != before


@pytest.mark.slow
def test_masks_on_a_real_scene(cli: Cli, real_data: Path, tmp_path: Path):
    """Lego with another square in each of its photos: 30.3 dB without squares, 30.4 with masks, 29.1 without masks."""
    if not (real_data / "lego400").is_dir():
        pytest.skip(f"needs {real_data / 'lego400'}")
    folder = Path(shutil.copytree(real_data / "lego400", tmp_path / "lego"))
    line = ("nerf", folder, "--runs", tmp_path / "runs", "--steps", 1500, "--background", "white", "--quiet", "--name")
    clean, masked, spoilt = three_scores(
        lambda name: cli(*line, name), folder / "train", photos_in(folder / "train"), tmp_path / "runs", parts=4
    )
    assert masked > clean - 0.3
    assert masked > spoilt + 0.8
