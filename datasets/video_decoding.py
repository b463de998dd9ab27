"""Frames of a video file, decoded by ffmpeg one after the other."""

import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Literal

import numpy as np
from jaxtyping import UInt8

from .errors import VideoFileError

PixelFormat = Literal["gray", "rgb24"]
_CODECS: dict[PixelFormat, str] = {"gray": "pgm", "rgb24": "ppm"}


def announced_frames(video: Path) -> int:
    """How many frames the container announces.

    Raises:
        VideoFileError: It cannot be read, or has no video in it.
    """
    import imageio_ffmpeg

    try:
        return imageio_ffmpeg.count_frames_and_secs(str(video.absolute()))[0] or 0
    except (OSError, RuntimeError) as error:
        raise VideoFileError(_undecodable(video, _reason(str(error)))) from error


def frames_per_second(video: Path) -> float:
    """The rate at which a video is played.

    Raises:
        VideoFileError: It cannot be read, or has no video in it.
    """
    import imageio_ffmpeg

    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostdin", "-i", str(video.absolute())]
    told = subprocess.run(command, capture_output=True).stderr.decode(errors="replace")
    # It asks for an output file after it has told what the input is. Its tbr is the rate at which it hands frames over,
    # evenly in time: where the file's own are not, as in a gif, some come twice. Its fps is the mean of the file's own.
    rate = re.search(r"Stream #.*: Video:.* ([0-9.]+)(k?) tbr", told)
    if rate is None:
        raise VideoFileError(_undecodable(video, "it does not say how fast it is played"))
    return float(rate[1]) * (1000.0 if rate[2] else 1.0)


def decoded_frames(
    video: Path,
    pixel_format: PixelFormat,
    *,
    longest_side: int | None = None,
    note: Callable[[str], None] | None = None,
) -> Iterator[UInt8[np.ndarray, "height width channels"]]:
    """Decoded frames, turned upright as the file asks, reduced to `longest_side` where they are larger.

    ffmpeg hands them over as PPM or PGM, whose headers say the size.

    Args:
        note: Is told when all frames have been handed over and the video is damaged or cut short.

    Raises:
        VideoFileError: It cannot be decoded, or has no frames.
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
        count = 0
        try:
            while (frame := _read_frame(process.stdout)) is not None:
                count += 1
                yield frame
            code = process.wait()
            said.seek(0)
            trouble = said.read().decode(errors="replace").strip()
            if not count:
                raise VideoFileError(_undecodable(video, _reason(trouble)))
            if note is not None and (trouble or code):
                reason = _reason(trouble) if trouble else f"ffmpeg ended with exit code {code}"
                note(
                    f"it is damaged or cut short ({reason}): {count} frames were read, some of which may be broken, "
                    "and more may be missing; copy it again from its source"
                )
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
        f"{video}: cannot be decoded as a video ({reason}); give a folder of pictures, or a video that plays, "
        "such as an .mp4"
    )
