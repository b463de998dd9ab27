import json
import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neufield.datasets import load_picture
from neufield.fields.wavelets import analysis
from neufield.tools.compression.fit import CompressionFit, as_planes
from neufield.tools.compression.nfz_decoding import Span, component_grid, decoded, drawn_bands, drawn_rows, taps_of
from neufield.tools.compression.nfz_file import NfzContent, packed, read_nfz, unpacked
from neufield.tools.picture_files import write_picture

Cli = Callable[..., Any]


def scene(height: int = 90, width: int = 130, channels: int = 3) -> np.ndarray:
    """Waves, an edge and noise, in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    waves = [0.5 + 0.3 * np.sin(17 * x * (1 + y) + c) * np.cos(16 * y - 3 * c) for c in range(channels)]
    noise = np.random.default_rng(0).standard_normal((height, width, 1))
    return np.clip(np.stack(waves, axis=2) + 0.2 * (x > y)[..., None] + 0.02 * noise, 0.0, 1.0).astype(np.float32)


def decibels(found: np.ndarray, target: np.ndarray) -> float:
    return -10.0 * math.log10(float(np.mean((found.astype(np.float64) - target) ** 2)))


@pytest.fixture(scope="module")
def fit() -> CompressionFit:
    return CompressionFit(torch.from_numpy(scene()), bits=8, size=1500)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "scene.png"
    write_picture(path, scene(), "uint8")
    return path


def compress(cli: Cli, path: Path, *options: object) -> dict[str, Any]:
    said = cli("image", path, "--compress", "on", "--runs", path.parent / "runs", "--quiet", "--force", *options)
    assert said.code == 0, said
    return json.loads((path.parent / "runs" / path.stem / "evaluation.json").read_text())


def test_a_file_has_the_size_that_it_may_have(fit: CompressionFit):
    assert 0.97 * 1500 < len(fit.best.data) <= 1500


def grainy(channels: int = 3) -> np.ndarray:
    """A spectrum that falls with the frequency, and grain, in [0, 1]."""
    generator = np.random.default_rng(0)
    across, down = np.fft.fftfreq(64), np.fft.fftfreq(64)[:, None]
    spectrum = np.fft.fft2(generator.standard_normal((channels, 64, 64))) / np.hypot(across, down).clip(1 / 64)
    values = np.fft.ifft2(spectrum).real.transpose(1, 2, 0)
    values = 0.5 + 0.15 * values / values.std() + 0.05 * generator.standard_normal(values.shape)
    return values.clip(0.0, 1.0).astype(np.float32)


def noise() -> np.ndarray:
    return np.random.default_rng(1).random((64, 64, 1), np.float32)


@pytest.mark.parametrize(
    ("make", "size"),
    [(grainy, size) for size in (102, 204, 307, 512, 1024, 2048, 4096)]
    + [(noise, size) for size in (51, 102, 204, 307, 512, 1024, 4000)],
)
def test_grain_and_noise_use_the_size_that_they_may_have(make: Callable[[], np.ndarray], size: int):
    found = len(CompressionFit(torch.from_numpy(make()), bits=8, size=size).best.data)
    assert 0.97 * size <= found <= size


@pytest.mark.parametrize("size", [42, 50, 55])
def test_a_size_in_a_jump_is_kept_to(size: int):
    picture = torch.zeros(256, 256, 1)
    picture[:, 128:] = 1.0
    fit = CompressionFit(picture, bits=8, size=size)
    for _ in range(2):
        assert len(fit.best.data) <= size
        fit.improve()


def test_a_file_says_all_that_it_was_made_of(fit: CompressionFit):
    found = unpacked(fit.best.data, "x")
    for item in fields(NfzContent):
        a, b = getattr(found, item.name), getattr(fit.best.content, item.name)
        for part, other in zip(a, b, strict=True) if item.name == "coefficients" else [(a, b)]:
            np.testing.assert_array_equal(part, other)


def test_decoding_is_the_same_in_whole_numbers_and_in_double_precision(fit: CompressionFit):
    content = fit.best.content
    whole, double = component_grid(content), component_grid(content, np.float64)
    np.testing.assert_array_equal(whole, double)
    rows, columns = taps_of(Span(3 << 15, 85 << 16, 61), 90), taps_of(Span(0, 130 << 16, 200), 130)
    band = range(5, 40)
    np.testing.assert_array_equal(
        drawn_rows(content, whole, rows, columns, band), drawn_rows(content, double, rows, columns, band)
    )


@pytest.mark.parametrize("count", [30, 90, 217])
def test_bands_of_any_height_make_up_the_same_picture(fit: CompressionFit, count: int):
    rows, columns = Span(0, 90 << 16, count), Span(0, 130 << 16, count)
    whole, *others = (
        np.concatenate(list(drawn_bands(fit.best.content, rows, columns, most_pixels=pixels)))
        for pixels in (1 << 18, count, 7 * count)
    )
    assert whole.shape == (count, count, 3)
    for other in others:
        np.testing.assert_array_equal(whole, other)


def test_whole_numbers_draw_what_the_wavelets_of_real_ones_say():
    picture = torch.from_numpy(scene(37, 50, 4))
    fit = CompressionFit(picture, bits=16, size=60_000)
    assert decibels(decoded(fit.best.content) / 65535, picture.numpy()) > 80.0


def test_a_drawing_of_its_own_size_is_what_is_drawn_between_pixels_there(fit: CompressionFit):
    content = fit.best.content
    tripled = np.concatenate(list(drawn_bands(content, Span(0, 90 << 16, 270), Span(0, 130 << 16, 390))))
    np.testing.assert_array_equal(tripled[1::3, 1::3], decoded(content))


def test_shrinking_takes_means(fit: CompressionFit):
    content = fit.best.content
    half = np.concatenate(list(drawn_bands(content, Span(0, 90 << 16, 30), Span(0, 130 << 16, 26))))
    means = decoded(content).reshape(30, 3, 26, 5, 3).mean(axis=(1, 3))
    assert np.abs(half - means).max() < 1.5


@pytest.mark.parametrize(("vertices", "count"), [(64_000, 64), (200_000, 10), (5_001, 5), (1 << 18, 1)])
def test_shrinking_much_takes_every_vertex_alike(vertices: int, count: int):
    taps = taps_of(Span(0, vertices << 16, count), vertices)
    assert (taps.weights.sum(axis=1) == 1 << 14).all()
    shares = np.zeros(vertices + taps.weights.shape[1])
    np.add.at(shares, taps.first[:, None] + np.arange(taps.weights.shape[1]), taps.weights / (1 << 14))
    assert not shares[vertices:].any()
    sums, exact = shares[:vertices].cumsum(), np.arange(1, vertices + 1) * count / vertices
    assert np.abs(sums - exact).max() < 2e-4 + 2.0 * count / vertices
    assert shares.max() < count / vertices + 1.5 / (1 << 14)


def test_places_between_vertices_are_cubic():
    taps = taps_of(Span(0, 100 << 16, 700), 100)
    ramp = (np.arange(100)[(taps.first[:, None] + np.arange(4)).clip(max=99)] * taps.weights).sum(axis=1) / (1 << 14)
    exact = (np.arange(700) + 0.5) / 7 - 0.5
    np.testing.assert_allclose(ramp[20:-20], exact[20:-20], atol=2e-3)


def test_rounding_for_the_rate_beats_plain_rounding(fit: CompressionFit):
    target = scene()
    values, low, high = as_planes(analysis(fit.components, fit.empty.levels)), 1e-3, 4.0
    for _ in range(12):  # the finest step whose plain rounding is as small
        step = math.sqrt(low * high)
        numbers = [(plane / step).round().long().numpy() for plane in values]
        content = replace(fit.empty, step=round(step * (1 << 22)), coefficients=numbers)
        if len(packed(content)) <= 1500:
            high, plain = step, decibels(decoded(content) / 255, target)
        else:
            low = step
    first = decibels(decoded(fit.best.content) / 255, target)
    assert first > plain + 0.1
    for _ in range(4):
        fit.improve()
    assert decibels(decoded(fit.best.content) / 255, target) > first + 0.02


def test_a_picture_is_compressed_scored_and_drawn(cli: Cli, picture: Path):
    found = compress(cli, picture, "--bits-per-pixel", 1.0, "--steps", 2)
    run = picture.parent / "runs" / "scene"
    file = run / "outputs" / "scene.nfz"
    assert file.stat().st_size == found["bytes"] <= 90 * 130 / 8
    assert found["mean"]["psnr"] > found["jpeg"]["psnr"] + 1.0
    assert "JPEG, quality" in (run / "report.html").read_text()
    picture.unlink()
    assert cli("render", file, "--output", run / "a.png").code == 0
    assert cli("render", run, "--output", run / "b.png").code == 0
    drawn = np.asarray(Image.open(run / "a.png"))
    np.testing.assert_array_equal(drawn, np.asarray(Image.open(run / "b.png")))
    np.testing.assert_array_equal(drawn, decoded(read_nfz(file)))
    assert decibels(drawn / 255, np.rint(scene() * 255) / 255) == pytest.approx(found["mean"]["psnr"], abs=1e-3)
    assert cli("render", file, "--scale", 2, "--crop", 10, 10, 20, 30).code == 0
    assert load_picture(run / "outputs" / "scene-40x60.png").size == (40, 60)
    assert "exists; name another file by --output" in cli("render", file, "--output", run / "a.png").err


@pytest.mark.parametrize(("kind", "channels"), [("uint8", 1), ("uint8", 2), ("uint16", 3), ("uint8", 4)])
def test_pictures_of_every_kind(cli: Cli, tmp_path: Path, kind: Any, channels: int):
    path = tmp_path / "a.png"
    write_picture(path, scene(channels=channels), kind)
    assert compress(cli, path, "--bits-per-pixel", 2.5, "--steps", 1)["mean"]["psnr"] > 30.0
    assert cli("render", tmp_path / "runs" / "a", "--quiet").code == 0
    drawn, given = load_picture(tmp_path / "runs" / "a" / "outputs" / "a.png"), load_picture(path)
    assert (drawn.stored, drawn.channels, drawn.size) == (given.stored, given.channels, given.size)


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (3, 2)])
def test_small_pictures_come_back(size: tuple[int, int]):
    picture = torch.from_numpy(scene(*size))
    content = unpacked(CompressionFit(picture, bits=8, size=2000).best.data, "x")
    assert np.abs(decoded(content) / 255 - picture.numpy()).max() < 0.01


def test_a_run_is_scored_again_and_not_resumed(cli: Cli, picture: Path):
    found = compress(cli, picture, "--steps", 1)
    run = picture.parent / "runs" / "scene"
    assert cli("eval", run, "--quiet").code == 0
    assert json.loads((run / "evaluation.json").read_text())["mean"] == found["mean"]
    assert "which is not gone on with" in cli("resume", run, "--steps", 5).err


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda data: b"\x89PNG" + data[4:], "is no compressed picture that neufield wrote"),
        (lambda data: b"", "is no compressed picture that neufield wrote"),
        (lambda data: b"NFZ2" + data[4:], "is of a version that this neufield does not know"),
        (lambda data: data[:-1], "is damaged or cut short: its checksum does not agree"),
        (lambda data: data[:9], "is damaged or cut short: its checksum does not agree"),
        (lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:], "is damaged or cut short"),
    ],
)
def test_files_that_are_none_are_refused(
    cli: Cli, tmp_path: Path, fit: CompressionFit, change: Callable[[bytes], bytes], text: str
):
    path = tmp_path / "x.nfz"
    path.write_bytes(change(fit.best.data))
    said = cli("render", path)
    assert (said.code, said.out) == (2, "")
    assert f"x.nfz {text}" in said.err


def test_a_file_that_is_not_there_is_named(cli: Cli, tmp_path: Path):
    assert "There is no file" in cli("render", tmp_path / "x.nfz").err


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--field", "siren"], "--field means nothing to"),
        (["--parameters", 5000, "--held-out", 0.1], "--parameters and --held-out means nothing to"),
        (["--supervise", "gradient"], "--supervise means nothing to"),
        (["--insert", "a.png"], "--insert means nothing to"),
        (["--optimizer.rate", 0.1, "--grid.levels", 3], "--grid and --optimizer means nothing to"),
        (["--network.width", 32], "--network means nothing to"),
        (["--device", "cuda"], "--device means nothing to"),
        (["--backend", "reference", "--checkpoint-seconds", 5], "--backend and --checkpoint-seconds means nothing to"),
        (["--bits-per-pixel", 0.01], "is too small for this picture: without any details it takes"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(cli: Cli, picture: Path, options: list[object], text: str):
    said = cli("image", picture, "--compress", "on", "--runs", picture.parent / "runs", *options)
    assert said.code == 2
    assert "dB" not in said.out
    assert text in said.err
    assert not (picture.parent / "runs").exists()


def test_floats_are_refused(cli: Cli, tmp_path: Path):
    write_picture(tmp_path / "a.exr", scene(), "float32")
    said = cli("image", tmp_path / "a.exr", "--compress", "on", "--runs", tmp_path / "runs")
    assert "--compress takes pictures of 8 or 16 bits, this one has float32" in said.err


def test_large_color_profiles_are_left_out(cli: Cli, tmp_path: Path):
    path = tmp_path / "a.png"
    write_picture(path, scene(), "uint8", profile=bytes(3000))
    said = cli("image", path, "--compress", "on", "--runs", tmp_path / "runs", "--steps", 1)
    assert "its colour profile of 3,000 bytes is left out" in said.out
