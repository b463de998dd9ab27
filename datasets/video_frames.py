"""The sharpest frames of a video, spread evenly over its time; never more than a few frames in memory."""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Num, UInt8
from PIL import Image

from .errors import VideoFileError

_LONGEST_SIDE = 960  # of the grey copy that is judged: fine enough to see blur, and quick
_JPEG_QUALITY = 95


def write_sharpest_frames(
    video: Path, folder: Path, *, count: int, progress: Callable[[float], None] | None = None
) -> tuple[list[str], int]:
    """Writes the sharpest frame of each of `count` equal stretches of a video as JPEG.

    The video is decoded twice: once small and grey to judge every frame, once in full for those that were chosen.

    Args:
        folder: Where `frame_000123.jpg`, ... are written, numbered as in the video, from 0.
        count: How many frames, >= 1; all frames of a video that has fewer.
        progress: Is told the share that is done, in [0, 1].

    Returns:
        The names in order of time, and how many frames the video has.

    Raises:
        VideoFileError: It cannot be decoded, or has no frames.
    """
    tell = progress or _nothing
    sharpness = measure_sharpness(video, progress=lambda share: tell(0.7 * share))
    chosen = sharpest_of_stretches(sharpness, count)
    wanted, names = set(chosen), []
    for index, frame in enumerate(_frames(video, "rgb24")):
        if index in wanted:
            names.append(f"frame_{index:06d}.jpg")
            Image.fromarray(frame).save(folder / names[-1], quality=_JPEG_QUALITY, subsampling=0)
            tell(0.7 + 0.3 * len(names) / len(chosen))
        if index == chosen[-1]:
            break
    return names, len(sharpness)


def _nothing(share: float) -> None:
    pass


def measure_sharpness(video: Path, *, progress: Callable[[float], None] | None = None) -> list[float]:
    """The sharpness of every frame of a video, in order.

    Raises:
        VideoFileError: It cannot be decoded, or has no frames.
    """
    expected = max(_expected_frames(video), 1)
    found: list[float] = []
    for frame in _frames(video, "gray", longest_side=_LONGEST_SIDE):
        found.append(sharpness(frame[:, :, 0]))
        if progress is not None and len(found) % 10 == 0:
            progress(min(1.0, len(found) / expected))
    if not found:
        raise VideoFileError(_undecodable(video, "it has no frames"))
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


def _expected_frames(video: Path) -> int:
    """About how many frames there are, by the container's word; 0 where it does not say."""
    with closing(_open(video, "gray", [])) as stream:
        meta = _first(video, stream)
    return round(float(meta.get("fps") or 0.0) * float(meta.get("duration") or 0.0))


def _frames(
    video: Path, pixel_format: str, *, longest_side: int | None = None
) -> Iterator[UInt8[np.ndarray, "height width channels"]]:
    """Decoded frames, turned upright as the file asks, reduced to `longest_side` where they are larger."""
    fit = f"scale=w='min(iw,{longest_side})':h='min(ih,{longest_side})':force_original_aspect_ratio=decrease:flags=area"
    with closing(_open(video, pixel_format, ["-vf", fit] if longest_side else [])) as stream:
        width, height = _first(video, stream)["size"]
        try:
            for frame in stream:
                yield np.frombuffer(frame, np.uint8).reshape(height, width, -1)
        except (OSError, RuntimeError, StopIteration) as error:
            raise VideoFileError(_undecodable(video, _reason(error))) from error


def _open(video: Path, pixel_format: str, filters: list[str]) -> Generator[Any]:
    import imageio_ffmpeg

    bits = {"gray": 8, "rgb24": 24}[pixel_format]
    # An absolute path: one that begins like a protocol's name is a file all the same.
    return imageio_ffmpeg.read_frames(
        str(video.absolute()), pix_fmt=pixel_format, bits_per_pixel=bits, output_params=filters
    )


def _first(video: Path, stream: Generator[Any]) -> dict[str, Any]:
    """What ffmpeg says about a video before its frames."""
    try:
        return next(stream)
    except (OSError, RuntimeError, ValueError, LookupError, StopIteration) as error:
        raise VideoFileError(_undecodable(video, _reason(error))) from error


def _reason(error: Exception) -> str:
    """The last line of what ffmpeg said, without the path that it repeats."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rpartition(": ")[2].rstrip(".") if lines else "no reason given"


def _undecodable(video: Path, reason: str) -> str:
    return (
        f"{video}: cannot be decoded as a video ({reason}); give a folder of photos, or a video that plays, "
        "such as an .mp4"
    )
