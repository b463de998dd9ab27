"""What a picture file says of itself before it is decoded; every kind of file is opened as one of these."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from .errors import ImageFileError
from .picture_canvas import Canvas

StoredType = Literal["uint8", "uint16", "float16", "float32"]
"""The type of a picture's numbers in its file."""

READ_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What decoders raise on files that are not what they say."""


@dataclass(frozen=True)
class PictureSource:
    """A picture file whose header was read."""

    size: tuple[int, int]
    """Width and height as stored."""
    channels: int
    """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
    stored: StoredType
    maximum: int | None
    """The whole number that stands for 1; None for floats."""
    working_bytes: int
    """Memory that decoding takes beside the canvas."""
    decode: Callable[[Canvas], None]
    """Fills a canvas of (height, width, channels); raises `READ_ERRORS` on a damaged file."""
    pieces: bool = False
    """Whether it is decoded piece by piece, so that `working_bytes` does not grow with its height."""
    orientation: int = 1
    """EXIF's number for how it is to be turned, 1 to 8."""
    premultiplied: bool = False
    linear: bool = False
    profile: bytes | None = None
    notes: tuple[str, ...] = ()


def unreadable(path: Path, reason: Exception | str) -> ImageFileError:
    """The error of a file that cannot be decoded to its end."""
    said = " ".join(str(reason).split()) or type(reason).__name__
    return ImageFileError(
        f"{path}: cannot be read as a picture ({said}); copy it again from its source, or save it anew"
    )
