"""Clips are read from videos and folders, whole, in order, with their rate."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neufield.datasets import ImageSizeError, held_out_frames, load_clip


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path):
    for number in (9, 10, 100):
        Image.fromarray(np.full((6, 8), number, np.uint8)).save(tmp_path / f"f{number}.png")
    (tmp_path / "notes.txt").write_text("hello")
    clip = load_clip(tmp_path)
    assert clip.frames.shape == (3, 6, 8, 3)
    assert clip.frames[:, 0, 0, 0].tolist() == [9, 10, 100]
    assert (clip.size, clip.fps, clip.seconds) == ((8, 6), 25.0, 3 / 25)
    assert load_clip(tmp_path, fps=10.0).seconds == 0.3


def test_pictures_of_more_bits_and_with_alpha_become_frames(tmp_path: Path):
    Image.fromarray(np.full((4, 4), 65535, np.uint16)).save(tmp_path / "0.png")
    Image.fromarray(np.full((4, 4, 4), (200, 100, 0, 255), np.uint8)).save(tmp_path / "1.png")
    Image.fromarray(np.full((4, 4, 4), (200, 100, 0, 51), np.uint8)).save(tmp_path / "2.png")
    assert load_clip(tmp_path).frames[:, 0, 0].tolist() == [[255, 255, 255], [200, 100, 0], [40, 20, 0]]


def test_a_clip_that_is_too_large_is_refused(tmp_path: Path):
    for number in range(3):
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(tmp_path / f"{number}.png")
    with pytest.raises(ImageSizeError, match=r"its first 2 frames of 20x20 pixels take .* cut the clip"):
        load_clip(tmp_path, memory_bytes=3000)


@pytest.mark.parametrize(
    ("count", "every", "wanted"),
    [(3, 2, [1]), (4, 2, [1]), (5, 2, [1, 3]), (7, 3, [2, 5]), (6, 3, [2]), (5, 0, []), (3, 9, [])],
)
def test_frames_that_are_held_out_lie_between_others(count: int, every: int, wanted: list[int]):
    assert held_out_frames(count, every) == wanted


def test_real_clip(real_data: Path):
    clip = load_clip(real_data / "video" / "carphone_pristine.mp4")
    assert (len(clip), clip.size, clip.fps) == (120, (176, 144), 29.97)
