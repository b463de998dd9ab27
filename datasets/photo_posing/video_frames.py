"""The sharpest frames of a video, spread evenly over its time; never more than a few frames in memory."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Literal

import numpy as np
from jaxtyping import Float, Num, UInt8
from PIL import Image

from ..errors import VideoFileError

_LONGEST_SIDE = 960  # of the grey copy that is judged: fine enough to see blur, and quick
_JPEG_QUALITY = 95

PixelFormat = Literal["gray", "rgb24"]
_CODECS: dict[PixelFormat, str] = {"gray": "pgm", "rgb24": "ppm"}


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
    announced = max(_announced_frames(video), 1)
    found: list[float] = []
    for frame in _frames(video, "gray", longest_side=_LONGEST_SIDE):
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


def _announced_frames(video: Path) -> int:
    """How many frames the container announces.

    Raises:
        VideoFileError: It cannot be read, or has no video in it.
    """
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.count_frames_and_secs(str(video.absolute()))[0] or 0
    except (OSError, RuntimeError) as error:
        raise VideoFileError(_undecodable(video, _reason(str(error)))) from error


def _frames(
    video: Path, pixel_format: PixelFormat, *, longest_side: int | None = None
) -> Iterator[UInt8[np.ndarray, "height width channels"]]:
    """Decoded frames, turned upright as the file asks, reduced to `longest_side` where they are larger.

    ffmpeg hands them over as PPM or PGM, whose headers say the size.
    """
    import imageio_ffmpeg

    fit = f"scale=w='min(iw,{longest_side})':h='min(ih,{longest_side})':force_original_aspect_ratio=decrease:flags=area"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin"]
    # An absolute path: one that begins like a protocol's name is a file all the same.
    command += ["-i", str(video.absolute()), *(["-vf", fit] if longest_side else [])]
    command += ["-pix_fmt", pixel_format, "-c:v", _CODECS[pixel_format], "-f", "image2pipe", "-"]
    with (
        TemporaryFile() as said,
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=said) as process,
    ):
        assert process.stdout is not None
        frame = _read_frame(process.stdout)
        try:
            if frame is None:
                process.wait()
                said.seek(0)
                raise VideoFileError(_undecodable(video, _reason(said.read().decode(errors="replace"))))
            while frame is not None:
                yield frame
                frame = _read_frame(process.stdout)
        finally:
            process.kill()


def _read_frame(stream: IO[bytes]) -> UInt8[np.ndarray, "height width channels"] | None:
    """The next picture of a stream of PPM or PGM pictures; None at its end."""
    header = [stream.readline() for _ in range(3)]
    if not header[2]:
        return None
    width, height = (int(number) for number in header[1].split())
    channels = 3 if header[0].startswith(b"P6") else 1
    pixels = stream.read(width * height * channels)
    if len(pixels) < width * height * channels:
        return None
    return np.frombuffer(pixels, np.uint8).reshape(height, width, channels)


def _reason(said: str) -> str:
    """The last line of what ffmpeg said, without the path that it repeats."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return lines[-1].rpartition(": ")[2].rstrip(".") if lines else "it has no frames"


def _undecodable(video: Path, reason: str) -> str:
    return (
        f"{video}: cannot be decoded as a video ({reason}); give a folder of photos, or a video that plays, "
        "such as an .mp4"
    )
