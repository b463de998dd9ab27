"""TIFF pictures, by tiles or strips."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Shaped
from PIL import Image

from .errors import ImageFileError
from .picture_canvas import Canvas, array_bytes, bands
from .picture_source import READ_ERRORS, PictureSource, StoredType, unreadable
from .plain_pictures import cmyk_converter, cmyk_note, frame_notes

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 1, 2, 3, 5, 6
_COLORS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3}
_JPEG = (6, 7)
_PREMULTIPLIED, _STRAIGHT = 1, 2  # kinds of alpha
_REDUCED, _MASK = 1, 4  # kinds of further pictures of a file
_FLOATS: dict[str, StoredType] = {"float16": "float16", "float32": "float32", "float64": "float32"}
_READ_BYTES = 16 * 2**20  # of the file at a time; by itself the library reads 256 MiB ahead
_DECODING = 4  # copies of a tile or strip: packed, unpacked, turned to RGB, put into its place

Block = Shaped[np.ndarray, "rows columns _"]


@dataclass(frozen=True)
class _Block:
    """A part of a picture as it comes from the file."""

    top: int
    left: int
    plane: int
    """The first sample that it holds."""
    values: Block


def open_tiff(path: Path) -> PictureSource:
    """Reads the header of the first picture of a TIFF file.

    Raises:
        ImageFileError: if it cannot be read, is cut short, or is of a kind that is not read here.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as tiff:
            return _source(path, tiff)
    except ImageFileError:
        raise
    except READ_ERRORS as error:
        raise unreadable(path, error) from error


def _source(path: Path, tiff: "TiffFile") -> PictureSource:
    page = tiff.pages.first
    width, height, bits, dtype = page.imagewidth, page.imagelength, page.bitspersample, page.dtype
    photometric, name = int(page.photometric), dtype.name if dtype else "a type of its own"
    _check_kind(path, page, name)
    assert dtype is not None
    if any(
        start + count > tiff.filehandle.size for start, count in zip(page.dataoffsets, page.databytecounts, strict=True)
    ):
        raise unreadable(path, "it is cut short")
    profile = page.iccprofile
    alpha = _alpha(page)
    unpack = _unpacker(page, profile)
    colors = {_PALETTE: 3, _CMYK: 3}.get(photometric, _COLORS[photometric])
    maximum = None if name in _FLOATS else 255 if bits in (1, 2, 4) or photometric == _PALETTE else 2**bits - 1
    kept = _COLORS[photometric] + (alpha is not None)
    whole = (height, width, page.samplesperpixel)
    piece = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, height), width)
    piece_bytes = array_bytes((*piece, page.samplesperpixel, _DECODING), dtype)
    if page.is_memmappable:
        piece_bytes = min(max(16 * 2**20, array_bytes(whole[1:], dtype)), array_bytes(whole, dtype))

    def decode(canvas: Canvas) -> None:
        for block in _blocks(path):
            if block.plane >= kept:
                continue
            values = unpack(block.values[..., :kept])
            place = np.s_[block.top : block.top + values.shape[0], block.left : block.left + values.shape[1]]
            with np.errstate(over="ignore"):
                canvas.values[place][..., block.plane : block.plane + values.shape[2]] = values
            canvas.release()

    return PictureSource(
        size=(width, height),
        channels=colors + (alpha is not None),
        stored=_FLOATS.get(name) or ("uint8" if maximum is not None and maximum < 256 else "uint16"),
        maximum=maximum,
        working_bytes=piece_bytes + min(_READ_BYTES, tiff.filehandle.size),
        decode=decode,
        pieces=True,
        orientation=page.tags.valueof(274, default=1),
        premultiplied=alpha == _PREMULTIPLIED,
        profile=None if photometric == _CMYK else profile,
        notes=_notes(tiff, page, alpha, page.samplesperpixel - kept),
    )


def _check_kind(path: Path, page: "TiffPage", name: str) -> None:
    photometric, bits = int(page.photometric), page.bitspersample
    floats = name in _FLOATS
    if page.imagedepth != 1 or page.samplesperpixel < _COLORS.get(photometric, 1):
        raise ImageFileError(f"{path}: expected one flat picture, found shape {page.shape}; save it as RGB or grey")
    readable = {
        _WHITE_IS_ZERO: not floats,
        _BLACK_IS_ZERO: True,
        _RGB: True,
        _PALETTE: bits in (1, 2, 4, 8) and page.samplesperpixel == 1,
        _CMYK: bits == 8 and page.planarconfig == 1,
        _YCBCR: int(page.compression) in _JPEG,
    }
    if not readable.get(photometric, False):
        kind = getattr(page.photometric, "name", photometric)
        raise ImageFileError(f"{path}: TIFF of kind {kind} with {bits} bits is not read; save it as RGB or grey")
    if not (floats or name in ("bool", "uint8", "uint16")):
        raise ImageFileError(
            f"{path}: expected whole numbers of up to 16 bits, or floats, found {name}; "
            "save it with 16 bits, or as float"
        )


def _alpha(page: "TiffPage") -> int | None:
    """The kind of alpha that follows the colours."""
    kind = int(page.extrasamples[0]) if page.extrasamples else 0
    return kind if kind in (_PREMULTIPLIED, _STRAIGHT) and int(page.photometric) != _CMYK else None


def _notes(tiff: "TiffFile", page: "TiffPage", alpha: int | None, left_out: int) -> tuple[str, ...]:
    # Smaller copies and masks of the first picture are no pictures of their own.
    count = sum(not other.aspage().subfiletype & (_REDUCED | _MASK) for other in tiff.pages)
    notes = list(frame_notes(count))
    photometric = int(page.photometric)
    if photometric == _CMYK:
        notes.append(cmyk_note(page.iccprofile))
    if photometric == _PALETTE:
        notes.append("its palette was expanded to RGB")
    elif page.bitspersample == 1:
        notes.append("its single bits were expanded to 0 and 255")
    if left_out:
        notes.append(f"{left_out} of its channels, neither colour nor alpha, left out")
    if alpha == _PREMULTIPLIED:
        notes.append("its colours are premultiplied by alpha, and stay so")
    return tuple(notes)


def _unpacker(page: "TiffPage", profile: bytes | None) -> Callable[[Block], Block]:
    """What turns a block's samples into the picture's."""
    photometric, bits = int(page.photometric), page.bitspersample
    largest = 2**bits - 1
    scale = 255 // largest if bits in (1, 2, 4) else 1
    palette = np.asarray(page.colormap) if photometric == _PALETTE else np.zeros((3, 1), np.uint8)
    colors = (palette >> 8 if palette.max() > 255 else palette).astype(np.uint8).T
    convert = cmyk_converter(profile if photometric == _CMYK else None)

    def unpack(block: Block) -> Block:
        if photometric == _PALETTE:
            return colors[block[..., 0]]
        if photometric == _CMYK:
            return np.asarray(convert(Image.fromarray(np.ascontiguousarray(block), "CMYK")))
        if photometric == _WHITE_IS_ZERO:
            block = np.concatenate([largest - block[..., :1], block[..., 1:]], axis=2)
        return block if scale == 1 else block.astype(np.uint8) * np.uint8(scale)

    return unpack


def _blocks(path: Path) -> Iterator[_Block]:
    import tifffile

    with tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        height, width = page.imagelength, page.imagewidth
        if page.is_memmappable:
            yield from _raw_blocks(path, tiff, page)
            return
        for values, (plane, _, top, left, _), _ in page.segments(maxworkers=1, buffersize=_READ_BYTES):
            if values is not None:
                yield _Block(top, left, plane, values[0, : height - top, : width - left])


def _raw_blocks(path: Path, tiff: "TiffFile", page: "TiffPage") -> Iterator[_Block]:
    """Bands of rows of a picture that lies in its file as it is."""
    separate = page.planarconfig == 2 and page.samplesperpixel > 1
    planes, samples = (page.samplesperpixel, 1) if separate else (1, page.samplesperpixel)
    shape = (planes, page.imagelength, page.imagewidth, samples)
    dtype = np.dtype(page.dtype).newbyteorder(tiff.byteorder)
    for plane in range(planes):
        for rows in bands(page.imagelength, array_bytes(shape[2:], dtype)):
            # Mapped anew for every band, so that what was read takes no memory any more.
            values = np.memmap(path, dtype, "r", offset=page.dataoffsets[0], shape=shape)
            yield _Block(rows.start, 0, plane, values[plane, rows])
