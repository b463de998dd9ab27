"""`neufield image`: pictures of every kind become runs that reach a quality, resume, and are drawn at any size."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from neufield.configs.image_config import ImageConfig, NetworkConfig
from neufield.datasets import load_picture
from neufield.tools.image.model import ImageModel, resolved_field
from neufield.tools.image.picture_facts import PictureFacts
from neufield.tools.image.task import ImageTask, resolved
from neufield.tools.picture_files import write_picture

Cli = Callable[..., Any]
SIDE = 48


def waves(height: int = SIDE, width: int = SIDE, channels: int = 3) -> np.ndarray:
    """A smooth picture in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    parts = [0.5 + 0.45 * np.sin(7 * x + 5 * y + c) * np.cos(6 * y - 3 * c) for c in range(channels)]
    return np.stack(parts, axis=2).astype(np.float32)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "waves.png"
    Image.fromarray((waves(40, 60) * 255).round().astype(np.uint8)).save(path)
    return path


def fit(cli: Cli, path: Path, *options: object) -> dict[str, Any]:
    said = cli("image", path, "--runs", path.parent / "runs", "--quiet", "--force", *options)
    assert said.code == 0, said
    return json.loads((path.parent / "runs" / path.stem / "evaluation.json").read_text())


def test_a_picture_is_fitted_scored_reported_and_drawn(cli: Cli, picture: Path):
    found = fit(cli, picture, "--steps", 300, "--parameters", 8000)
    assert found["mean"]["psnr"] > 40.0
    assert found["parameters"] <= 8000
    run = picture.parent / "runs" / "waves"
    assert "60x40 pixels, RGB, uint8" in (run / "report.html").read_text()
    said = cli("render", run)
    assert (said.code, said.out.splitlines()[-1]) == (0, f"{run / 'outputs' / '60x40.png'}: 60x40 pixels.")
    drawn = np.asarray(Image.open(run / "outputs" / "60x40.png"), np.float64)
    error = np.mean((drawn - np.asarray(Image.open(picture), np.float64)) ** 2) / 255**2
    assert -10 * math.log10(error) == pytest.approx(found["mean"]["psnr"], abs=0.5)  # rounded to 8 bits
    picture.unlink()
    assert cli("render", run, "--scale", 2.5, "--crop", 10, 5, 20, 10, "--output", run / "part.tif").code == 0
    assert load_picture(run / "part.tif").size == (50, 25)


def test_a_scaled_drawing_shows_the_same_picture(cli: Cli, picture: Path):
    fit(cli, picture, "--steps", 300, "--pixels", "area")
    run = picture.parent / "runs" / "waves"
    assert cli("render", run, "--scale", 4, "--output", run / "large.npy", "--quiet").code == 0
    large = load_picture(run / "large.npy").values.astype(np.float64)
    means = large.reshape(40, 4, 60, 4, 3).mean(axis=(1, 3)) / (1.0 if large.max() <= 1.0 else 255.0)
    assert np.abs(means - waves(40, 60)).mean() < 0.01


@pytest.mark.parametrize("field", ["hash", "frequency", "fourier", "siren", "finer", "wire", "relu"])
def test_every_field_fits_and_has_as_many_parameters_as_asked_for(cli: Cli, picture: Path, field: str):
    steps = {"wire": 40}.get(field, 200)
    options = "--field", field, "--parameters", 20_000, "--optimizer.batch", 2048
    found = fit(cli, picture, *options, "--steps", steps)
    assert 0.8 * 20_000 < found["parameters"] <= 20_000
    plain = fit(cli, picture, *options, "--steps", 1)
    assert found["mean"]["psnr"] > plain["mean"]["psnr"] + 3.0


@pytest.mark.parametrize(
    ("name", "kind", "channels"),
    [
        ("a.png", "uint8", 1),
        ("a.png", "uint8", 2),
        ("a.png", "uint16", 3),
        ("a.png", "uint8", 4),
        ("a.exr", "float32", 3),
    ],
)
def test_pictures_of_every_kind(cli: Cli, tmp_path: Path, name: str, kind: Any, channels: int):
    path = tmp_path / name
    write_picture(path, waves(channels=channels), kind)
    assert fit(cli, path, "--steps", 200)["mean"]["psnr"] > 32.0
    run = tmp_path / "runs" / "a"
    assert cli("render", run, "--quiet").code == 0
    drawn, given = load_picture(next((run / "outputs").iterdir())), load_picture(path)
    assert (drawn.stored, drawn.channels, drawn.size) == (given.stored, given.channels, given.size)


def test_floats_of_high_dynamic_range_come_back(cli: Cli, tmp_path: Path):
    values = np.exp(9.0 * waves()).astype(np.float32)
    write_picture(tmp_path / "bright.exr", values, "float32", linear=True)
    found = fit(cli, tmp_path / "bright.exr", "--steps", 400)
    assert found["mean"]["relative_error"] < 0.05
    assert "log(1 + value" in found["protocol"]["psnr"]
    run = tmp_path / "runs" / "bright"
    assert cli("render", run, "--quiet").code == 0
    drawn = load_picture(run / "outputs" / f"{SIDE}x{SIDE}.exr").values
    assert np.abs(drawn - values).mean() / values.mean() == pytest.approx(found["mean"]["relative_error"], rel=0.05)


def test_unknown_pixels_are_left_out(cli: Cli, tmp_path: Path):
    values = waves()
    values[10:20, 10:20] = np.nan
    write_picture(tmp_path / "holes.npy", values, "float32")
    said = cli("image", tmp_path / "holes.npy", "--runs", tmp_path / "runs", "--steps", 200)
    assert said.code == 0
    assert "100 pixels that are NaN or infinite are unknown, and left out" in said.out
    scores = json.loads((tmp_path / "runs" / "holes" / "evaluation.json").read_text())["mean"]
    assert math.isfinite(scores["psnr"])
    assert scores["psnr"] > 32.0
    assert scores["ssim"] > 0.9


def test_learned_scales_are_calibrated_on_pixels_left_out(cli: Cli, tmp_path: Path):
    generator = np.random.default_rng(0)
    smooth = waves(256, 256, 1)
    spread = np.where(np.arange(256)[None, :, None] < 128, 0.02, 0.08)
    noisy = np.clip(smooth + spread * generator.standard_normal(smooth.shape), 0.0, 1.0).astype(np.float32)
    write_picture(tmp_path / "noisy.npy", noisy, "float32")
    found = fit(
        cli, tmp_path / "noisy.npy", "--steps", 400, "--learned-scale", "on", "--held-out", 0.2, "--parameters", 3000
    )
    assert found["mean"]["coverage_50"] == pytest.approx(0.5, abs=0.06)
    assert found["mean"]["coverage_90"] == pytest.approx(0.9, abs=0.06)
    assert "20 % of them were left out of the fit" in found["protocol"]["pixels"]


def test_the_median_is_not_moved_by_wild_pixels(cli: Cli, tmp_path: Path):
    generator = np.random.default_rng(0)
    smooth = waves(128, 128, 1)
    wild = generator.random((128, 128, 1))
    noisy = np.where(wild < 0.05, 0.0, np.where(wild > 0.95, 1.0, smooth)).astype(np.float32)
    write_picture(tmp_path / "wild.npy", noisy, "float32")
    scores: dict[str, float] = {}
    for likelihood in ("gaussian", "laplace"):
        fit(cli, tmp_path / "wild.npy", "--steps", 400, "--likelihood", likelihood, "--parameters", 3000)
        run = tmp_path / "runs" / "wild"
        assert cli("render", run, "--output", run / "clean.npy", "--quiet").code == 0
        error = np.mean((load_picture(run / "clean.npy").values - smooth) ** 2)
        scores[likelihood] = -10 * math.log10(error)
    assert scores["laplace"] > scores["gaussian"] + 3.0


def test_a_run_is_scored_again_and_trained_longer(cli: Cli, picture: Path):
    before = fit(cli, picture, "--steps", 40, "--parameters", 8000)
    run = picture.parent / "runs" / "waves"
    assert "is finished, with 40 steps" in cli("resume", run).out
    assert cli("eval", run, "--quiet").code == 0
    assert json.loads((run / "evaluation.json").read_text())["mean"] == before["mean"]
    assert cli("resume", run, "--steps", 100, "--quiet").code == 0
    assert json.loads((run / "evaluation.json").read_text())["mean"]["psnr"] > before["mean"]["psnr"] + 0.5


@pytest.mark.parametrize("width", [373, 5472, 4024])
def test_held_out_pixels_are_scattered_evenly_and_never_drawn(tmp_path: Path, width: int):
    Image.fromarray(np.zeros((600, width), np.uint8)).save(tmp_path / "black.png")
    picture = load_picture(tmp_path / "black.png")
    config = resolved(ImageConfig(picture=tmp_path, held_out=0.1, parameters=20_000, steps=1), picture)
    task = ImageTask(config, picture, torch.device("cpu"))
    apart = task.held_out(torch.arange(600 * width)).view(600, width).float()
    spread = math.sqrt(0.1 * 0.9)
    assert (apart.mean(dim=0) - 0.1).abs().max() < 6 * spread / math.sqrt(600)
    assert (apart.mean(dim=1) - 0.1).abs().max() < 6 * spread / math.sqrt(width)
    beside = (apart[:, 1:] * apart[:, :-1]).mean().item()
    assert beside == pytest.approx(0.01, abs=0.002)  # neighbours know nothing of each other
    drawn = task._drawn(np.random.default_rng(0), 10_000)
    assert len(drawn) == 10_000
    assert not task.held_out(drawn).any()


def test_coverage_counts_every_band_of_a_large_picture(cli: Cli, tmp_path: Path):
    noise = np.random.default_rng(0).integers(0, 256, (8739, 30, 1), dtype=np.uint8)
    Image.fromarray(noise[..., 0]).save(tmp_path / "tall.png")
    found = fit(cli, tmp_path / "tall.png", "--steps", 5, "--learned-scale", "on", "--parameters", 9000)
    assert 0.0 <= found["mean"]["coverage_50"] <= found["mean"]["coverage_90"] <= 1.0


def test_a_large_turned_picture_is_compared_at_a_fraction_of_its_size(cli: Cli, tmp_path: Path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray((255 * waves(1200, 3600, 1)[..., 0]).astype(np.uint8)).save(tmp_path / "wide.jpg", exif=exif)
    found = fit(cli, tmp_path / "wide.jpg", "--steps", 60, "--parameters", 20_000)
    assert found["mean"]["psnr"] > 25.0
    assert "at 1/2 of the size" in found["protocol"]["ssim"]
    assert "1200x3600" in found["protocol"]["pixels"]
    assert "256x256 pixels at row" in (tmp_path / "runs" / "wide" / "report.html").read_text()


def test_one_bright_pixel_is_the_range_of_a_picture(tmp_path: Path):
    values = np.full((64, 64, 3), 0.5, np.float32)
    values[40, 7] = 5000.0
    write_picture(tmp_path / "star.exr", values, "float32", linear=True)
    transfer = PictureFacts.of(load_picture(tmp_path / "star.exr")).transfer
    assert (transfer.kind, transfer.high) == ("log", 5000.0)


def test_another_field_beside_a_config_is_sized_anew(cli: Cli, picture: Path):
    fit(cli, picture, "--steps", 2, "--parameters", 8000)
    config = picture.parent / "runs" / "waves" / "config.yaml"
    found = fit(cli, picture, "--config", config, "--steps", 2, "--parameters", 30_000)
    assert 20_000 < found["parameters"] <= 30_000
    fit(cli, picture, "--config", config, "--field", "siren", "--network.width", 32, "--steps", 2)
    text = config.read_text()
    assert "rate: 0.0001" in text
    assert "width: 32" in text


def test_resuming_refuses_another_picture(cli: Cli, picture: Path):
    fit(cli, picture, "--steps", 5)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture)
    said = cli("resume", picture.parent / "runs" / "waves", "--steps", 10)
    assert said.code == 2
    assert "is not the picture that" in said.err
    assert "it has width 8, not 60, height 8, not 40." in said.err
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(picture)
    assert "it has other pixels." in cli("eval", picture.parent / "runs" / "waves").err


def test_one_pixel_is_a_picture(cli: Cli, tmp_path: Path):
    Image.fromarray(np.full((1, 1, 3), 200, np.uint8)).save(tmp_path / "dot.png")
    assert fit(cli, tmp_path / "dot.png", "--steps", 100)["mean"]["psnr"] > 40.0
    said = cli("image", tmp_path / "dot.png", "--runs", tmp_path, "--steps", 3, "--held-out", 0.9)
    assert said.code == 2
    assert "--held-out 0.9 leaves no pixel to train on; take a smaller one." in said.err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--parameters", 1000, "--bits-per-pixel", 2], "Give either --parameters or --bits-per-pixel"),
        (["--parameters", 500], "A hash grid of this kind has at least"),
        (["--parameters", 200, "--field", "siren"], "--field siren has at least"),
        (["--held-out", 0.95], "--held-out takes 0.0 to 0.9, got 0.95"),
        (["--held-out", 0.9, "--name", "x", "--optimizer.batch", 0], "--optimizer.batch must be positive"),
        (["--grid.levels", 16, "--grid.log2-table-size", 12, "--parameters", 2000], "has at least"),
        (["--field", "siren", "--network.width", 64, "--parameters", 2000], "leave one of the two out"),
        (["--field", "wire", "--backend", "numba"], "--field wire runs on the backend reference alone"),
        (["--network.width", 48], "--network.width takes 16, 32, 64 or 128 on a hash grid, got 48"),
        (["--seconds", 3, "--steps", 3], "Give either --seconds or --steps"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(cli: Cli, picture: Path, options: list[object], text: str):
    said = cli("image", picture, "--runs", picture.parent / "runs", *options)
    assert (said.code, said.out) == (2, "")
    assert text in said.err
    assert not (picture.parent / "runs").exists()


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--size", 10, 10, "--scale", 2], "Give either --size or --scale"),
        (["--scale", "inf"], "--scale takes a number above 0"),
        (["--size", 70000, 1, "--output", "x.jpg"], "A JPEG has at most 65500 pixels along each side"),
        (["--scale", -1], "--scale takes a number above 0 that makes neither side longer than 262144 pixels, got -1"),
        (
            ["--crop", 50, 0, 20, 10],
            "--crop takes left, top, width and height of a part of the picture, which is 60x40",
        ),
        (["--size", 0, 5], "A picture of 1 to 262144 pixels along each side can be drawn, not 0x5"),
        (["--frames", 5], "is a run of `neufield image`, which --frames means nothing to"),
        (["--output", "x.gif"], "a picture's name must end with one of"),
    ],
)
def test_drawings_that_cannot_be_are_refused(cli: Cli, picture: Path, options: list[object], text: str):
    fit(cli, picture, "--steps", 2)
    said = cli("render", picture.parent / "runs" / "waves", *options)
    assert said.code == 2
    assert text in said.err


def test_what_is_there_is_not_replaced_by_a_drawing(cli: Cli, picture: Path):
    fit(cli, picture, "--steps", 2)
    run = picture.parent / "runs" / "waves"
    assert cli("render", run).code == 0
    assert "60x40.png exists; name another file by --output" in cli("render", run).err
    assert cli("render", run, "--force").code == 0


def test_bits_per_pixel_size_the_field():
    config = resolved_field(ImageConfig(picture=Path("x"), bits_per_pixel=4.0), size=(512, 512), channels=3)
    used = ImageModel(config, size=(512, 512), channels=3).parameters_used
    assert 0.85 * 512 * 512 * 4 / 16 < used <= 512 * 512 * 4 / 16


def test_a_width_that_is_given_is_kept():
    config = ImageConfig(picture=Path("x"), field="siren", network=NetworkConfig(width=40))
    assert resolved_field(config, size=(64, 64), channels=3).network.width == 40
