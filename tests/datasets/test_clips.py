"""Clips are read from videos and folders, whole, in order, with their rate."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neufield.datasets import ImageSizeError, held_out_frames, load_clip
from neufield.tools.picture_files import write_picture


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


def test_linear_light_becomes_srgb(tmp_path: Path):
    for number in range(3):
        values = np.full((4, 5, 3), (0.0, 0.5, 1.0), np.float32)
        values[0, 0] = np.nan
        write_picture(tmp_path / f"{number}.exr", values, "float32", linear=True)
    clip = load_clip(tmp_path)
    assert clip.frames[:, 1, 1].tolist() == [[0, 188, 255]] * 3
    assert clip.frames[:, 0, 0].tolist() == [[0, 0, 0]] * 3
    assert clip.notes == ("linear light of 3 pictures, 0.exr the first, was encoded as sRGB with 8 bits",)


def test_superscripts_in_names_are_no_numbers(tmp_path: Path):
    for name in ("\u00b21", "2", "10"):
        Image.fromarray(np.full((6, 8), 7, np.uint8)).save(tmp_path / f"{name}.png")
    assert len(load_clip(tmp_path)) == 3


def test_frames_take_their_memory_once(tmp_path: Path):
    """A list of them and a copy of it would take twice the memory that they are allowed."""
    for number in range(40):
        Image.fromarray(np.full((256, 512, 3), number, np.uint8)).save(tmp_path / f"{number}.png")
    load_clip(tmp_path)  # what is loaded once is loaded
    tracemalloc.start()
    clip = load_clip(tmp_path)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert clip.frames[:, 3, 4, 1].tolist() == list(range(40))
    assert most < 1.6 * clip.frames.nbytes


def test_a_gif_of_changing_speed_keeps_its_time(tmp_path: Path):
    """ffmpeg hands it over evenly in time, at the rate that is taken from it."""
    levels, hundredths = (40, 90, 140, 190, 240), (10, 20, 10, 30, 10)
    pictures = [Image.fromarray(np.full((16, 16), level, np.uint8)) for level in levels]
    pictures[0].save(
        tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[10 * time for time in hundredths]
    )
    clip = load_clip(tmp_path / "a.gif")
    assert clip.seconds == pytest.approx(sum(hundredths) / 100, abs=0.51 / clip.fps)
    found = clip.frames[:, 8, 8, 0].tolist()
    for level, time in zip(levels, hundredths, strict=True):
        assert abs(sum(abs(value - level) < 4 for value in found) - clip.fps * time / 100) <= 1


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
