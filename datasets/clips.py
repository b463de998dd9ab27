"""Clips from files: every frame of a video, or of a folder of pictures, in memory."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from .errors import ImageSizeError, MissingFileError, VideoFileError
from .image_files import IMAGE_ENDINGS
from .picture_canvas import in_units
from .pictures import load_picture
from .pixel_store import machine_memory_bytes
from .screen_values import srgb_from_linear
from .video_decoding import decoded_frames, frames_per_second

FEWEST_FRAMES = 3
"""Two to train on and one between them."""

_FRAME_ENDINGS = (*IMAGE_ENDINGS, ".exr", ".hdr")
_FOLDER_RATE = 25.0
_MEMORY_SHARE = 4  # of the machine's: the frames' smaller copies, the field and the program take the rest


@dataclass(frozen=True)
class Clip:
    """Frames of one size, taken at equal times."""

    path: Path
    frames: UInt8[Tensor, "frames height width 3"] = field(repr=False)
    """RGB, in order of time."""
    fps: float
    """How many of them are a second."""
    notes: tuple[str, ...] = ()
    """What the user should know of how it was read, a sentence each."""

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.frames.shape[2], self.frames.shape[1]

    @property
    def seconds(self) -> float:
        """How long it lasts, the last frame included."""
        return len(self) / self.fps


def load_clip(path: Path, *, fps: float | None = None, memory_bytes: int | None = None) -> Clip:
    """Decodes a video, a gif, or a folder of pictures in the order of their names, numbers in them by their value.

    Args:
        fps: Frames per second; by default what the video says, 25 for a folder.
        memory_bytes: What the frames may take; by default a quarter of the machine's memory.

    Raises:
        MissingFileError: There is nothing.
        VideoFileError: It cannot be decoded, has fewer than three frames, or frames of different sizes.
        ImageFileError: A picture of a folder cannot be decoded.
        ImageSizeError: The frames take too much memory.
    """
    if not path.exists():
        raise MissingFileError(f"{path}: expected a video, a gif or a folder of frames, found nothing; check the path")
    notes: list[str] = []
    frames = _folder_frames(path, notes.append) if path.is_dir() else _file_frames(path, notes.append)
    limit = machine_memory_bytes() // _MEMORY_SHARE if memory_bytes is None else memory_bytes
    values = _checked(path, frames, limit)
    return Clip(path, values, fps or (_FOLDER_RATE if path.is_dir() else frames_per_second(path)), tuple(notes))


def held_out_frames(count: int, every: int) -> list[int]:
    """Every so manieth frame, from the second on; never the first or the last, so that each lies between others.

    Args:
        count: Of all frames.
        every: 2 or more; 0 holds out none.
    """
    return list(range(every - 1, count - 1, every)) if every else []


def _checked(
    path: Path, frames: Iterator[tuple[str, np.ndarray]], limit: int
) -> UInt8[Tensor, "frames height width 3"]:
    """All frames, if there are enough of them, of one size, and not too many."""
    kept = bytearray()  # grows in place, as a rule: a list of frames and their stack would take twice the memory
    first: tuple[str, np.ndarray] | None = None
    count = 0
    for name, frame in frames:
        first = first or (name, frame)
        if frame.shape != first[1].shape:
            raise VideoFileError(
                f"{path}: expected frames of one size, found {_size(frame)} pixels in {name} and {_size(first[1])} in "
                f"{first[0]}; bring them to one size"
            )
        if len(kept) + frame.nbytes > limit:
            raise ImageSizeError(
                f"{path}: its first {count} frames of {_size(frame)} pixels take {in_units(limit)} of memory, "
                "which is all that there is for them; cut the clip, or make its frames smaller"
            )
        kept += frame.tobytes()
        count += 1
    if first is None or count < FEWEST_FRAMES:
        raise VideoFileError(
            f"{path}: expected a clip of at least {FEWEST_FRAMES} frames, found {count}; give a longer one"
        )
    return torch.frombuffer(kept, dtype=torch.uint8).view(count, *first[1].shape)


def _file_frames(path: Path, note: Callable[[str], None]) -> Iterator[tuple[str, UInt8[np.ndarray, "height width 3"]]]:
    for index, frame in enumerate(decoded_frames(path, "rgb24", note=note)):
        yield f"frame {index}", frame


def _folder_frames(
    folder: Path, note: Callable[[str], None]
) -> Iterator[tuple[str, UInt8[np.ndarray, "height width 3"]]]:
    """The pictures of a folder with 8 bits, grey ones as RGB, transparent ones over black, linear light as sRGB."""
    linear: list[str] = []
    files = [path for path in folder.iterdir() if path.suffix.lower() in _FRAME_ENDINGS and path.name[0] != "."]
    for path in sorted(files, key=_natural_order):
        picture = load_picture(path)
        values = picture.rows(0, picture.size[1])
        colors = values[:, :, :3] if picture.channels > 2 else values[:, :, :1]
        if picture.channels in (2, 4) and not picture.premultiplied:
            colors = colors * values[:, :, -1:]
        if picture.linear:
            linear.append(path.name)
            colors = srgb_from_linear(colors)
        frame = (np.nan_to_num(colors).clip(0.0, 1.0) * 255.0).round().astype(np.uint8)
        yield path.name, np.broadcast_to(frame, (*frame.shape[:2], 3))
    if linear:
        note(f"linear light of {len(linear)} pictures, {linear[0]} the first, was encoded as sRGB with 8 bits")


def _natural_order(path: Path) -> list[tuple[int, str]]:
    """Sorts frame_9.png before frame_10.png."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def _size(frame: np.ndarray) -> str:
    return f"{frame.shape[1]}x{frame.shape[0]}"
