import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from neufield.datasets import OutputError
from neufield.tools.video_files import write_video


def frames(count: int, height: int, width: int) -> Iterator[np.ndarray]:
    """A grey level that rises from frame to frame, with a brighter right half."""
    for i in range(count):
        frame = np.full((height, width, 3), 40 + 10 * i, dtype=np.uint8)
        frame[:, width // 2 :] += 60
        yield frame


def read_mp4(path: Path, height: int, width: int) -> tuple[str, np.ndarray]:
    """What ffmpeg says of a file, and its frames."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return done.stderr.decode(), np.frombuffer(done.stdout, dtype=np.uint8).reshape(-1, height, width, 3)


@pytest.mark.parametrize("size", [(48, 64), (47, 61), (48, 63), (2, 2)])
def test_mp4_has_every_frame_and_is_padded_to_even_sizes(tmp_path: Path, size: tuple[int, int]):
    height, width = size
    path = tmp_path / "video.mp4"
    assert write_video(path, frames(7, height, width), fps=12.5) == 7
    even = (height + height % 2, width + width % 2)
    said, found = read_mp4(path, *even)
    assert len(found) == 7
    for part in ("h264", "yuv420p", f"{even[1]}x{even[0]}", "12.50 fps"):
        assert part in said
    wanted = np.stack(list(frames(7, height, width))).astype(int)
    if width > 2:
        assert np.abs(found[:, :height, :width] - wanted).mean() < 4
        # The padding repeats the edge instead of adding a dark line.
        assert np.abs(found[:, -1, :] - found[:, -2, :].astype(int)).mean() < 4
        assert np.abs(found[:, :, -1] - found[:, :, -2].astype(int)).mean() < 4


@pytest.mark.parametrize("side", [64, 768])
def test_colors_of_an_mp4_are_named_and_come_back(tmp_path: Path, side: int):
    """As BT.709, at any size: what names no colours is shown as BT.601 or BT.709 by its size."""
    wanted = np.array([[200, 30, 40], [20, 180, 60], [30, 50, 190], [128, 128, 128]])
    frame = np.repeat(np.repeat(wanted.reshape(2, 2, 3), side // 2, axis=0), side // 2, axis=1).astype(np.uint8)
    path = tmp_path / "video.mp4"
    write_video(path, [frame] * 3, fps=10)
    said, found = read_mp4(path, side, side)
    assert "yuv420p(tv, bt709" in said
    as_players = ["-vf", "scale=in_color_matrix=bt709", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-i", str(path), *as_players]
    shown = np.frombuffer(subprocess.run(command, capture_output=True, check=True).stdout, np.uint8)
    middles = (slice(side // 4, None, side // 2),) * 2
    for frames in (found, shown.reshape(found.shape)):
        assert np.abs(frames[1][middles].reshape(4, 3).astype(int) - wanted).max() <= 4


def test_gif_has_every_frame_and_loops(tmp_path: Path):
    path = tmp_path / "video.gif"
    assert write_video(path, frames(5, 31, 33), fps=20) == 5
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.size, gif.info["loop"], gif.info["duration"]) == (5, (33, 31), 0, 50)


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_frames_are_taken_one_by_one(tmp_path: Path, ending: str):
    """A frame is only asked for when those before it were handed on: at most a few are alive at once."""
    alive, most = 0, 0

    class Counted(np.ndarray):
        def __del__(self):
            nonlocal alive
            alive -= 1

    def stream() -> Iterator[np.ndarray]:
        nonlocal alive, most
        for frame in frames(20, 32, 32):
            counted = frame.view(Counted)
            alive += 1
            most = max(most, alive)
            yield counted

    write_video(tmp_path / f"video.{ending}", stream(), fps=10)
    assert most <= 4


@pytest.mark.parametrize("ending", ["mp4", "gif"])
def test_a_failure_in_between_leaves_the_old_file(tmp_path: Path, ending: str):
    path = tmp_path / f"video.{ending}"
    path.write_bytes(b"old")

    def broken() -> Iterator[np.ndarray]:
        yield from frames(3, 32, 32)
        raise RuntimeError("renderer stopped")

    with pytest.raises(RuntimeError, match="renderer stopped"):
        write_video(path, broken(), fps=10)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_written_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"must end with \.mp4 or \.gif, found 'video\.avi'"):
        write_video(tmp_path / "video.avi", frames(3, 32, 32))
    with pytest.raises(ValueError, match=r"video\.mp4: there are no frames to write"):
        write_video(tmp_path / "video.mp4", iter(()))
    with pytest.raises(ValueError, match="fps must be above 0, found 0"):
        write_video(tmp_path / "video.mp4", frames(3, 32, 32), fps=0)
    mixed = [*frames(2, 32, 32), *frames(1, 32, 34)]
    with pytest.raises(
        ValueError, match=r"frame 2 must be uint8 of shape \(32, 32, 3\), found uint8 of shape \(32, 34"
    ):
        write_video(tmp_path / "video.mp4", mixed)
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_ffmpeg_cannot_encode_is_told_in_one_sentence(tmp_path: Path):
    path = tmp_path / "video.mp4"
    with pytest.raises(OutputError, match=r"video.mp4: ffmpeg ended early \(.*\); see to disk") as error:
        write_video(path, frames(40, 2, 20_000), fps=10)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []
