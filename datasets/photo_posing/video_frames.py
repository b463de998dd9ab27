"""The sharpest frames of a video, spread evenly over its time; never more than a few frames in memory."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Float, Num
from PIL import Image

from ..video_decoding import announced_frames, decoded_frames

_LONGEST_SIDE = 960  # of the grey copy that is judged: fine enough to see blur, and quick
_JPEG_QUALITY = 95


def write_sharpest_frames(
    video: Path,
    folder: Path,
    *,
    count: int,
    progress: Callable[[float], None] | None = None,
    note: Callable[[str], None] | None = None,
) -> tuple[list[str], int]:
    """Writes the sharpest frame of each of `count` equal stretches of a video as JPEG.

    The video is decoded twice: once small and grey to judge every frame, once in full for those that were chosen.

    Args:
        folder: Where `frame_000123.jpg`, ... are written, numbered as in the video, from 0.
        count: How many frames, >= 1; all frames of a video that has fewer.
        progress: Is told the share that is done, in [0, 1].
        note: Is told what is wrong with the video.

    Returns:
        The names in order of time, and how many frames the video has.

    Raises:
        VideoFileError: It cannot be decoded, or has no frames.
    """
    tell = progress or _nothing
    sharpness = measure_sharpness(video, progress=lambda share: tell(0.7 * share), note=note)
    chosen = sharpest_of_stretches(sharpness, count)
    wanted, names = set(chosen), []
    for index, frame in enumerate(decoded_frames(video, "rgb24")):
        if index in wanted:
            names.append(f"frame_{index:06d}.jpg")
            Image.fromarray(frame).save(folder / names[-1], quality=_JPEG_QUALITY, subsampling=0)
            tell(0.7 + 0.3 * len(names) / len(chosen))
        if index == chosen[-1]:
            break
    return names, len(sharpness)


def _nothing(share: float) -> None:
    pass


def measure_sharpness(
    video: Path, *, progress: Callable[[float], None] | None = None, note: Callable[[str], None] | None = None
) -> list[float]:
    """The sharpness of every frame of a video, in order; arguments as for `write_sharpest_frames`.

    Raises:
        VideoFileError: It cannot be decoded, or has no frames.
    """
    announced = max(announced_frames(video), 1)
    found: list[float] = []
    for frame in decoded_frames(video, "gray", longest_side=_LONGEST_SIDE, note=note):
        found.append(sharpness(frame[:, :, 0]))
        if progress is not None and len(found) % 10 == 0:
            progress(min(1.0, len(found) / announced))
    return found


def sharpness(grey: Num[np.ndarray, "height width"]) -> float:
    """The variance of the picture's Laplacian: blur of any kind lowers it. Zero below 3x3 pixels."""
    if min(grey.shape) < 3:
        return 0.0
    x = grey.astype(np.float32)
    laplacian: Float[np.ndarray, "rows columns"] = (
        x[:-2, 1:-1] + x[2:, 1:-1] + x[1:-1, :-2] + x[1:-1, 2:] - 4.0 * x[1:-1, 1:-1]
    )
    return float(laplacian.var())


def sharpest_of_stretches(sharpness: Sequence[float], count: int) -> list[int]:
    """Indices of the largest value in each of `count` stretches of equal length, the first one of equals, ascending.

    With `count` values or fewer, all of them.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1, got {count}")
    frames = len(sharpness)
    count = min(count, frames)
    borders = [frames * i // count for i in range(count + 1)] if count else []
    return [max(range(a, b), key=lambda i: sharpness[i]) for a, b in pairwise(borders)]
