"""`neufield image` on derivatives: pictures come back from them, and one picture goes into another without a seam."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neufield.configs.image_config import ImageConfig, ImageOptimizerConfig, NetworkConfig
from neufield.datasets import load_picture
from neufield.render import Raster
from neufield.tools.image.derivative_supervision import DerivativeSupervision, stroke_lengths
from neufield.tools.image.levels import best_levels
from neufield.tools.image.picture_differences import PictureDifferences
from neufield.tools.image.task import ImageTask, resolved
from neufield.tools.picture_files import write_picture

Cli = Callable[..., Any]
SMALL = "--network.width", 64, "--network.hidden-layers", 2, "--network.omega", 10, "--optimizer.batch", 2048


def hills(height: int, width: int, channels: int = 3) -> np.ndarray:
    """A smooth picture in [0, 1]."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(height, width)
    parts = [0.5 + 0.4 * np.sin(5 * x + 3 * y + c) * np.cos(4 * y - 2 * c) for c in range(channels)]
    return np.stack(parts, axis=2).astype(np.float32)


def fit(cli: Cli, path: Path, *options: object) -> tuple[dict[str, Any], Path]:
    said = cli("image", path, "--runs", path.parent / "runs", "--quiet", "--force", *options)
    assert said.code == 0, said
    run = path.parent / "runs" / path.stem
    return json.loads((run / "evaluation.json").read_text()), run


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    write_picture(tmp_path / "hills.npy", hills(24, 32), "float32")
    return tmp_path / "hills.npy"


@pytest.mark.parametrize(("supervise", "field"), [("gradient", "siren"), ("gradient", "hash"), ("laplacian", "siren")])
def test_a_picture_comes_back_from_its_derivatives(cli: Cli, picture: Path, supervise: str, field: str):
    sizes = SMALL if field == "siren" else ("--parameters", 4000)
    rate = 2e-3 if field == "siren" else 2e-2
    found, run = fit(
        cli, picture, "--supervise", supervise, "--field", field, "--steps", 300, "--optimizer.rate", rate, *sizes
    )
    assert found["mean"]["psnr"] > 30.0
    assert "after the factor and offset of every channel that fit best" in found["protocol"]["fitted to"]
    picture.unlink()
    assert cli("render", run, "--output", run / "drawn.npy", "--quiet").code == 0
    error = np.mean((load_picture(run / "drawn.npy").values - hills(24, 32)) ** 2)
    assert -10.0 * np.log10(error / np.ptp(hills(24, 32)) ** 2) == pytest.approx(found["mean"]["psnr"], abs=0.2)


def test_a_run_on_derivatives_is_scored_alike_again(cli: Cli, picture: Path):
    before, run = fit(cli, picture, "--supervise", "gradient", "--steps", 5, "--optimizer.average", 0.9, *SMALL)
    assert cli("eval", run, "--quiet").code == 0
    assert json.loads((run / "evaluation.json").read_text())["mean"] == before["mean"]
    page = (run / "report.html").read_text()
    assert "Derivatives" in page
    assert "Laplacian, field" in page


def test_derivatives_are_shown_of_smooth_fields_alone(cli: Cli, picture: Path):
    _, run = fit(cli, picture, "--field", "hash", "--steps", 2)
    assert "Laplacian, field" not in (run / "report.html").read_text()
    _, run = fit(cli, picture, "--field", "wire", "--network.width", 16, "--steps", 2)
    assert "Laplacian, field" in (run / "report.html").read_text()


@pytest.mark.parametrize("field", ["siren", "hash"])
def test_an_insertion_takes_the_levels_of_what_lies_around_it(cli: Cli, tmp_path: Path, field: str):
    """The inserted picture is the picture itself, darker by a constant: the blend is the picture."""
    whole = 0.5 * hills(32, 32, 1) + 0.4
    write_picture(tmp_path / "whole.npy", whole, "float32")
    write_picture(tmp_path / "part.npy", whole[8:24, 6:26] - 0.3, "float32")
    sizes = SMALL if field == "siren" else ("--parameters", 4000)
    rate = 2e-3 if field == "siren" else 2e-2
    inserted = "--insert", tmp_path / "part.npy", "--insert-at", 6, 8
    _, run = fit(
        cli, tmp_path / "whole.npy", *inserted, "--field", field, "--steps", 300, "--optimizer.rate", rate, *sizes
    )
    assert "plain paste" in (run / "report.html").read_text()
    (tmp_path / "part.npy").unlink()
    assert cli("render", run, "--output", run / "blend.npy", "--quiet").code == 0
    assert np.abs(load_picture(run / "blend.npy").values - whole).max() < 0.03


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--supervise", "laplacian", "--field", "hash"], "second derivatives, --field siren, finer or wire; those of"),
        (["--supervise", "gradient", "--optimizer.batch", 1], "--optimizer.batch 1 has room for one. Give 2 or more."),
        (["--insert", "hills.npy", "--optimizer.batch", 1], "--optimizer.batch 1 has room for one. Give 2 or more."),
        (["--supervise", "gradient", "--learned-scale", "on"], "fits differences of pixels; it takes no --learned-sca"),
        (["--supervise", "gradient", "--pixels", "area"], "it takes no --pixels"),
        (["--supervise", "gradient", "--held-out", 0.1], "it takes no --held-out"),
        (["--insert-at", 1, 2], "--insert-at is of no use without --insert"),
        (["--insert", "hills.npy", "--supervise", "gradient"], "--insert has its own supervision"),
    ],
)
def test_settings_that_do_not_go_with_derivatives_are_refused(
    cli: Cli, picture: Path, options: list[object], text: str
):
    said = cli("image", picture, "--runs", picture.parent / "runs", *options)
    assert (said.code, said.out) == (2, "")
    assert text in said.err


def test_insertions_that_cannot_be_are_refused(cli: Cli, picture: Path):
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture.with_name("whole_numbers.png"))
    write_picture(picture.with_name("other.npy"), hills(8, 8), "float32")
    write_picture(picture.with_name("wide.npy"), hills(8, 20), "float32")
    write_picture(picture.with_name("wide.npy"), hills(8, 20), "float32")
    write_picture(picture.with_name("mask.npy"), hills(4, 4, 1), "float32")
    for (other, *options), text in (
        (["whole_numbers.png"], "both must be of whole numbers or both of floats"),
        (["wide.npy", "--insert-scale", 1000], "--insert-scale 1000 makes 20,000x8,000 pixels of"),
        (["other.npy", "--insert-at", 100, 0], "covers 0 of the 768 pixels"),
        (["other.npy", "--insert-at", -9, -9, "--insert-scale", 9], "covers 768 of the 768 pixels"),
        (["other.npy", "--insert-mask", picture.with_name("mask.npy")], "must have the size of"),
    ):
        runs = picture.parent / "runs"
        said = cli("image", picture, "--runs", runs, "--insert", picture.with_name(other), *options)
        assert said.code == 2
        assert text in said.err
        assert not runs.exists()


def test_tiny_pictures_have_no_derivatives(cli: Cli, tmp_path: Path):
    Image.fromarray(np.zeros((2, 9), np.uint8)).save(tmp_path / "low.png")
    said = cli("image", tmp_path / "low.png", "--runs", tmp_path / "runs", "--supervise", "gradient")
    assert "takes pictures of at least 3x3 pixels" in said.err


def differences(values: np.ndarray, *, plain: bool = False) -> PictureDifferences:
    flat = torch.from_numpy(values).flatten(0, 1)
    return PictureDifferences(lambda pixels: flat[pixels], Raster(values.shape[1], values.shape[0]), plain=plain)


def test_differences_of_cubics_are_exact_inside_and_unknown_beyond_the_border():
    y, x = np.mgrid[0:7, 0:9].astype(np.float64)
    found = differences((x**3 - 2 * x * y**2)[..., None])
    pixels, (right, down) = torch.arange(63), (torch.zeros(63, dtype=torch.int64), torch.ones(63, dtype=torch.int64))
    slopes = found.slopes(pixels, right).view(7, 9)
    expected = torch.from_numpy(3 * (x + 0.5) ** 2 - 2 * y**2)
    torch.testing.assert_close(slopes[:, 1:-2], expected[:, 1:-2])
    assert slopes[:, :-1].isfinite().all()
    assert slopes[:, -1].isnan().all()
    torch.testing.assert_close(found.slopes(pixels, down).view(7, 9)[:-1], torch.from_numpy(-4 * x * (y + 0.5))[:-1])
    laplacians = found.laplacians(pixels).view(7, 9)
    torch.testing.assert_close(laplacians[1:-1, 1:-1], torch.from_numpy(6 * x - 4 * x)[1:-1, 1:-1])
    assert int(laplacians.isfinite().sum()) == 5 * 7


def test_differences_that_need_an_unknown_pixel_are_unknown():
    values = np.ones((6, 6, 1))
    values[2, 3] = np.nan
    pixels, right = torch.arange(36), torch.zeros(36, dtype=torch.int64)
    for plain in (False, True):
        unknown = differences(values, plain=plain).slopes(pixels, right).isnan().view(6, 6)
        assert unknown[:, :-1].nonzero().tolist() == [[2, 2], [2, 3]]


@pytest.mark.parametrize(("side", "longest"), [(3, 2), (256, 128), (257, 256), (512, 256)])
def test_strokes_fit_into_the_picture(side: int, longest: int):
    found = stroke_lengths(np.random.default_rng(0), 500, longest=side)
    assert sorted(set(found.tolist())) == [2**octave for octave in range(1, longest.bit_length())]


def large_task(folder: Path, **settings: Any) -> ImageTask:
    """A large picture with a border of 1, and a small batch."""
    large = np.zeros((700, 900, 1), np.float32)
    large[[0, -1]] = large[:, [0, -1]] = 1.0
    write_picture(folder / "large.npy", large, "float32")
    small: Any = {"network": NetworkConfig(width=8, hidden_layers=1), "optimizer": ImageOptimizerConfig(batch=64)}
    config = ImageConfig(picture=folder / "large.npy", steps=1, **small, **settings)
    picture = load_picture(config.picture)
    return ImageTask(resolved(config, picture), picture, torch.device("cpu"))


def drawn(task: ImageTask, monkeypatch: pytest.MonkeyPatch, step: int) -> tuple[list[int], dict[str, float]]:
    """The pixels at which a step holds the field's values, and its errors."""
    found: list[int] = []
    value_error = DerivativeSupervision.value_error

    def seen(self: Any, pixels: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        found.extend(pixels.tolist())
        assert values.isfinite().all()
        return value_error(self, pixels, values)

    monkeypatch.setattr(DerivativeSupervision, "value_error", seen)
    losses = {name: float(value.detach()) for name, value in task.losses(step, 0.0).items()}
    monkeypatch.undo()
    return found, losses


def test_the_border_of_a_large_picture_is_drawn_on_purpose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    task = large_task(tmp_path, supervise="laplacian")
    for step in range(3):
        found, losses = drawn(task, monkeypatch, step)
        rows, columns = np.divmod(found, 900)
        assert len(found) == 8
        assert (np.isin(rows, (0, 699)) | np.isin(columns, (0, 899))).all()
        assert np.isfinite(list(losses.values())).all()
        assert drawn(task, monkeypatch, step) == (found, losses)


def test_what_little_lies_beside_an_insertion_is_drawn_on_purpose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_picture(tmp_path / "over.npy", np.zeros((699, 900, 1), np.float32), "float32")
    task = large_task(tmp_path, insert=tmp_path / "over.npy", field="siren")
    found, losses = drawn(task, monkeypatch, 0)
    assert len(found) == 32
    assert min(found) >= 698 * 900
    assert np.isfinite(list(losses.values())).all()


def test_best_levels_are_those_that_were_taken_away():
    values = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    factor, offset = best_levels(values, values * torch.tensor([2.0, -3.0]) + torch.tensor([0.5, 7.0]))
    torch.testing.assert_close(factor, torch.tensor([2.0, -3.0]))
    torch.testing.assert_close(offset, torch.tensor([0.5, 7.0]))
    factor, offset = best_levels(torch.ones(5, 1), torch.arange(5.0)[:, None])
    assert (factor.item(), offset.item()) == (0.0, 2.0)
