"""Sharpness falls with blur; stretches are equal; frames come out of a video as they went in."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFilter

from neufield.datasets import VideoFileError
from neufield.datasets.photo_posing.video_frames import (
    measure_sharpness,
    sharpest_of_stretches,
    sharpness,
    write_sharpest_frames,
)
from neufield.tools.video_files import write_video


def noise(seed: int, side: int = 64) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (side, side), dtype=np.uint8))


def test_blur_lowers_sharpness():
    values = [sharpness(np.asarray(noise(0).filter(ImageFilter.GaussianBlur(radius)))) for radius in (0, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert values[0] > 10 * values[1]


def test_sharpness_in_closed_form():
    """The Laplacian of (-1)^(x + y) a is 8 a up to the sign, of a plane it is zero."""
    y, x = np.mgrid[:10, :12]
    assert sharpness(3.0 * (-1.0) ** (x + y)) == pytest.approx((8 * 3.0) ** 2)
    assert sharpness(5.0 * x + 2.0 * y) == 0.0
    assert sharpness(np.ones((2, 50))) == 0.0


@given(st.lists(st.floats(0, 1e6), max_size=60), st.integers(1, 70))
def test_each_stretch_gives_its_sharpest(values: list[float], count: int):
    chosen = sharpest_of_stretches(values, count)
    assert len(chosen) == min(count, len(values))
    assert all(a < b for a, b in pairwise(chosen))
    for i, index in enumerate(chosen):
        stretch = range(len(values) * i // len(chosen), len(values) * (i + 1) // len(chosen))
        assert index in stretch
        assert values[index] == max(values[j] for j in stretch)


def test_stretches_refuse_a_count_of_none():
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        sharpest_of_stretches([1.0], 0)


def test_the_sharp_frames_of_a_video_are_written(tmp_path: Path):
    """Of every three frames the middle one is sharp."""
    frames = []
    for i in range(5):
        sharp = noise(i).resize((128, 96), Image.Resampling.BICUBIC).convert("RGB")
        blurred = np.asarray(sharp.filter(ImageFilter.GaussianBlur(2)))
        frames += [blurred, np.asarray(sharp), blurred]
    write_video(tmp_path / "clip.mp4", frames, fps=10)
    shares: list[float] = []
    (tmp_path / "frames").mkdir()
    names, total = write_sharpest_frames(tmp_path / "clip.mp4", tmp_path / "frames", count=5, progress=shares.append)
    assert total == 15
    assert names == [f"frame_{i:06d}.jpg" for i in (1, 4, 7, 10, 13)]
    assert sorted(path.name for path in (tmp_path / "frames").iterdir()) == names
    for name, i in zip(names, (1, 4, 7, 10, 13), strict=True):
        with Image.open(tmp_path / "frames" / name) as image:
            assert image.size == (128, 96)
            assert np.abs(np.asarray(image).astype(float) - frames[i]).mean() < 12.0
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_short_video_gives_all_its_frames(tmp_path: Path):
    write_video(tmp_path / "clip.mp4", [np.asarray(noise(i).convert("RGB")) for i in range(4)], fps=10)
    (tmp_path / "frames").mkdir()
    names, total = write_sharpest_frames(tmp_path / "clip.mp4", tmp_path / "frames", count=100)
    assert (len(names), total) == (4, 4)


@pytest.mark.parametrize("content", [b"", b"no video\n", bytes(range(256)) * 20], ids=["empty", "text", "bytes"])
def test_what_does_not_decode_is_told(tmp_path: Path, content: bytes):
    (tmp_path / "clip.mp4").write_bytes(content)
    with pytest.raises(
        VideoFileError, match=r"clip.mp4: cannot be decoded as a video \(.*\); give a folder of pictures"
    ):
        measure_sharpness(tmp_path / "clip.mp4")


def test_real_video(real_data: Path):
    assert len(measure_sharpness(real_data / "video" / "carphone_pristine.mp4")) == 120
