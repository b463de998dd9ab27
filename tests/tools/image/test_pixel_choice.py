"""Border pixels, and pixels but some, are found as a plain search finds them."""

from pathlib import Path

import numpy as np
import pytest
import torch

from neufield.datasets import Picture, load_picture
from neufield.tools.image.pixel_choice import PixelsBut, border_pixels
from neufield.tools.picture_files import write_picture


def picture(folder: Path, known: np.ndarray) -> Picture:
    values = np.where(known, np.float32(0.5), np.float32(np.nan))
    values[0, 0] = 0.0
    write_picture(folder / "a.npy", values[..., None].astype(np.float32), "float32")
    return load_picture(folder / "a.npy")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.7])
@pytest.mark.parametrize("size", [(3, 3), (1, 1), (9, 14), (30, 2)])
def test_border_pixels_lack_a_neighbor(tmp_path: Path, size: tuple[int, int], share: float):
    known = np.random.default_rng(0).random(size) >= share
    known[0, 0] = True
    around = np.pad(known, 1)
    inside = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    found = border_pixels(picture(tmp_path, known))
    assert found.tolist() == np.flatnonzero(known & ~inside).tolist()


def test_pixels_but_some_are_drawn_evenly(tmp_path: Path):
    known = np.ones((4, 5), np.bool_)
    known[1, 2:] = False
    excluded = torch.tensor([0, 1, 2, 7, 19])
    found = PixelsBut(picture(tmp_path, known), excluded).draw(np.random.default_rng(0), 12_000)
    numbers, counts = np.unique(found.numpy(), return_counts=True)
    assert numbers.tolist() == [number for number in range(20) if number not in (0, 1, 2, 7, 8, 9, 19)]
    assert np.abs(counts / 12_000 - 1 / len(numbers)).max() < 0.01


def test_nothing_beside_an_insertion_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"a\.npy: no pixel is known beside the insertion"):
        PixelsBut(picture(tmp_path, np.ones((2, 2), np.bool_)), torch.arange(4))
