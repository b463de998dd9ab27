"""Pictures of 16 bits or floats that are decoded whole: PNG of 16 bits per channel, Radiance HDR; and npy arrays."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from .errors import ImageFileError
from .picture_canvas import Canvas, array_bytes, bands
from .picture_source import READ_ERRORS, PictureSource, StoredType, unreadable
from .plain_pictures import any_size_allowed, frame_notes, orientation_of

_PNG_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
_HDR_HEADER = 65_536
_FLOATS: dict[str, StoredType] = {"float16": "float16", "float32": "float32", "float64": "float32"}


def is_deep_png(path: Path) -> bool:
    """Whether a PNG file has 16 bits per channel, which pillow reduces to 8 where there is colour."""
    with path.open("rb") as file:
        return file.read(25)[24:] == b"\x10"


def open_deep_png(path: Path) -> PictureSource:
    """Reads the header of a PNG of 16 bits per channel.

    Raises:
        ImageFileError: if it cannot be read.
    """
    try:
        with any_size_allowed(), Image.open(path, formats=("PNG",)) as image:
            (width, height), info = image.size, image.info
            notes = frame_notes(getattr(image, "n_frames", 1))
            orientation = orientation_of(image)
        with path.open("rb") as file:
            colors = _PNG_CHANNELS[file.read(26)[25]]
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    channels = colors + ("transparency" in info)

    def decode(canvas: Canvas) -> None:
        from imagecodecs import png_decode

        png_decode(path.read_bytes(), out=canvas.values.squeeze(2) if channels == 1 else canvas.values)

    return PictureSource(
        size=(width, height),
        channels=channels,
        stored="uint16",
        maximum=65535,
        working_bytes=path.stat().st_size + array_bytes((height, width, channels), np.uint16),
        decode=decode,
        orientation=orientation,
        profile=info.get("icc_profile"),
        notes=notes,
    )


def open_hdr(path: Path) -> PictureSource:
    """Reads the header of a Radiance file.

    Raises:
        ImageFileError: if it cannot be read, holds XYZ, or its rows do not run from the top left.
    """
    with path.open("rb") as file:
        header, blank, rest = file.read(_HDR_HEADER).partition(b"\n\n")
    size_line, line_end, _ = rest.partition(b"\n")
    if not (blank and line_end):
        raise unreadable(path, "its header is cut short")
    if b"FORMAT=32-bit_rle_xyze" in header:
        raise ImageFileError(f"{path}: holds XYZ colours, expected RGB; save it as 32-bit_rle_rgbe, or as EXR")
    match = re.fullmatch(rb"-Y (\d+) \+X (\d+)", size_line.strip())
    if match is None:
        found = size_line[:40].decode("ascii", "replace")
        raise ImageFileError(
            f"{path}: expected its size as '-Y HEIGHT +X WIDTH', found {found!r}; turn it upright and save it anew"
        )
    height, width = int(match[1]), int(match[2])
    start = len(header) + len(blank) + len(size_line) + len(line_end)

    def decode(canvas: Canvas) -> None:
        from imagecodecs import rgbe_decode

        rgbe_decode(path.read_bytes()[start:], header=False, rle=True, out=canvas.values)

    return PictureSource(
        size=(width, height),
        channels=3,
        stored="float32",
        maximum=None,
        working_bytes=2 * path.stat().st_size + array_bytes((height, width, 3), np.float32),
        decode=decode,
        linear=True,
    )


def open_array(path: Path) -> PictureSource:
    """Reads the header of an npy file of (height, width) or (height, width, channels).

    Raises:
        ImageFileError: if it cannot be read, or has another shape or type.
    """
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    name = array.dtype.name
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (1, 2, 3, 4))):
        raise ImageFileError(f"{path}: expected (height, width) or (height, width, 1 to 4), found {array.shape}")
    if name not in ("uint8", "uint16", *_FLOATS):
        raise ImageFileError(f"{path}: expected numbers of type uint8, uint16 or float, found {name}")
    stored = _FLOATS.get(name) or ("uint8" if name == "uint8" else "uint16")
    height, width = array.shape[:2]
    row_bytes = array.nbytes // max(height, 1)

    def decode(canvas: Canvas) -> None:
        for rows in bands(height, row_bytes):
            # Mapped anew for every band, so that what was read takes no memory any more.
            band = np.load(path, mmap_mode="r", allow_pickle=False)[rows]
            with np.errstate(over="ignore"):
                canvas.values[rows] = band.reshape(len(band), width, -1)
            canvas.release()

    return PictureSource(
        size=(width, height),
        channels=1 if array.ndim == 2 else array.shape[2],
        stored=stored,
        maximum=None if name in _FLOATS else int(np.iinfo(name).max),
        working_bytes=min(array.nbytes, max(row_bytes, 16 * 2**20)),
        decode=decode,
        pieces=True,
    )
