"""What of another picture is inserted, where, and with which colours."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neufield.configs.image_config import ImageConfig
from neufield.datasets import load_picture
from neufield.render import Raster
from neufield.tools.image.insertion import Insertion
from neufield.tools.image.picture_facts import PictureFacts
from neufield.tools.picture_files import write_picture

WIDTH, HEIGHT = 24, 20


def save(path: Path, values: np.ndarray) -> Path:
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path


def inserted(folder: Path, other: Path, *, channels: int = 3, **settings: Any) -> Insertion:
    """Another picture, inserted into a grey one."""
    shape = (HEIGHT, WIDTH, 3) if channels == 3 else (HEIGHT, WIDTH)
    under = save(folder / "under.png", np.full(shape, 128))
    config = ImageConfig(picture=under, insert=other, **settings)
    return Insertion.load(config, Raster(WIDTH, HEIGHT), PictureFacts.of(load_picture(under)))


def covered(insertion: Insertion) -> np.ndarray:
    return insertion.covers(torch.arange(WIDTH * HEIGHT)).view(HEIGHT, WIDTH).numpy()


def rectangle(rows: slice, columns: slice) -> np.ndarray:
    found = np.zeros((HEIGHT, WIDTH), np.bool_)
    found[rows, columns] = True
    return found


def test_a_mask_says_what_is_inserted(tmp_path: Path):
    mask = np.zeros((10, 9))
    mask[2:5, 3:8] = 255
    settings: dict[str, Any] = {"insert_mask": save(tmp_path / "mask.png", mask), "insert_at": (4, 7)}
    found = inserted(tmp_path, save(tmp_path / "over.png", np.arange(90).reshape(10, 9)), **settings)
    assert (found.left, found.top) == (4, 7)
    assert found.mask.shape == (10, 9)
    assert np.array_equal(found.mask.numpy(), mask > 0)
    assert np.array_equal(covered(found), rectangle(slice(9, 12), slice(7, 12)))
    pixels = torch.tensor([9 * WIDTH + 7, 11 * WIDTH + 11, 0])
    expected = torch.tensor([[21.0], [43.0], [torch.nan]]).expand(-1, 3) / 255.0
    torch.testing.assert_close(found.at(pixels), expected, equal_nan=True)
    assert found.pixels().tolist() == np.flatnonzero(covered(found)).tolist()


def test_a_mask_grows_with_its_picture(tmp_path: Path):
    mask = np.zeros((6, 8))
    mask[1:4, 2:7] = 255
    settings: dict[str, Any] = {
        "insert_mask": save(tmp_path / "mask.png", mask),
        "insert_at": (3, 1),
        "insert_scale": 2.0,
    }
    found = inserted(tmp_path, save(tmp_path / "over.png", np.full((6, 8, 3), 9)), **settings)
    assert np.array_equal(covered(found), rectangle(slice(3, 9), slice(7, 17)))


@pytest.mark.parametrize(
    ("at", "rows", "columns"),
    [
        ((5, 6), slice(7, 13), slice(6, 14)),  # its own border inside this picture lacks a neighbour
        ((-4, -3), slice(0, 4), slice(0, 5)),
        ((0, 0), slice(0, 7), slice(0, 9)),
        ((18, 15), slice(16, 20), slice(19, 24)),
    ],
)
def test_it_may_reach_over_the_border(tmp_path: Path, at: tuple[int, int], rows: slice, columns: slice):
    over = save(tmp_path / "over.png", np.full((8, 10, 3), 50))
    assert np.array_equal(covered(inserted(tmp_path, over, insert_at=at)), rectangle(rows, columns))


def cut_out(hidden: int) -> np.ndarray:
    """RGBA: 200 with alpha in the middle, another colour hidden around it."""
    values = np.full((8, 10, 4), hidden)
    values[..., 3] = 0
    values[2:6, 3:8] = (200, 200, 200, 255)
    return values


def test_alpha_says_what_is_inserted(tmp_path: Path):
    found = inserted(tmp_path, save(tmp_path / "over.png", cut_out(0)), insert_at=(2, 1))
    # Beside what is transparent there is no gradient: as at the other picture's border, the values of this one hold.
    assert np.array_equal(covered(found), rectangle(slice(4, 6), slice(6, 9)))
    assert found.at(torch.tensor([3 * WIDTH + 5])).tolist() == [[pytest.approx(200 / 255)] * 3]
    assert found.at(torch.tensor([1 * WIDTH + 2])).isnan().all()


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_colors_take_no_part(tmp_path: Path, scale: float, channels: int):
    found = inserted(tmp_path, save(tmp_path / "over.png", cut_out(0)), channels=channels, insert_scale=scale)
    known = found.values[found.values.isfinite().all(dim=2)]
    assert len(known) > 4
    torch.testing.assert_close(known, torch.full_like(known, 200 / 255), atol=1e-5, rtol=0.0)


def test_associated_alpha_is_divided_out(tmp_path: Path):
    values = np.zeros((6, 6, 4), np.float32)
    values[...] = (100 / 255, 50 / 255, 0.0, 128 / 255)
    write_picture(tmp_path / "over.tif", values, "uint8", premultiplied=True)
    found = inserted(tmp_path, tmp_path / "over.tif", insert_scale=2.0)
    assert found.mask.any()
    expected = torch.tensor([100.0, 50.0, 0.0]) / 128.0
    torch.testing.assert_close(found.values, expected.expand_as(found.values), atol=1e-5, rtol=0.0)


def test_unknown_pixels_of_floats_are_not_inserted(tmp_path: Path):
    write_picture(tmp_path / "under.npy", np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8, 1), "float32")
    over = np.full((6, 8, 1), 0.5, np.float32)
    over[2, 3] = np.nan
    over[:, 6:] = np.nan
    write_picture(tmp_path / "over.npy", over, "float32")
    config = ImageConfig(picture=tmp_path / "under.npy", insert=tmp_path / "over.npy")
    found = Insertion.load(config, Raster(8, 6), PictureFacts.of(load_picture(config.picture)))
    wanted = np.ones((6, 8), np.bool_)
    wanted[2, 2:5] = wanted[1:4, 3] = wanted[:, 5:] = False
    assert np.array_equal(found.mask.numpy(), wanted)
