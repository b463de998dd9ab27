"""Pictures of any kind from files: one array of pixels as stored, in memory or, where it is larger, on the disk."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Int, Shaped

from .deep_pictures import is_deep_png, open_array, open_deep_png, open_hdr
from .errors import DataError, ImageFileError, ImageSizeError, MissingFileError
from .exr_pictures import open_exr
from .picture_canvas import Canvas, array_bytes, bands, in_units
from .picture_source import READ_ERRORS, PictureSource, StoredType, unreadable
from .pixel_store import machine_memory_bytes
from .plain_pictures import open_plain
from .tiff_pictures import open_tiff

_PNG = b"\x89PNG\r\n\x1a\n"
_OPENERS: tuple[tuple[bytes, Callable[[Path], PictureSource]], ...] = (
    (b"\x76\x2f\x31\x01", open_exr),
    (b"II*\0", open_tiff),
    (b"MM\0*", open_tiff),
    (b"II+\0", open_tiff),
    (b"MM\0+", open_tiff),
    (b"#?RADIANCE", open_hdr),
    (b"#?RGBE", open_hdr),
    (b"\x93NUMPY", open_array),
)
_PART_BYTES = 64 * 2**20  # of the temporary file, read at a time
_TURNS = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored along its diagonal",
    6: "turned by 90 degrees clockwise",
    7: "mirrored along its other diagonal",
    8: "turned by 90 degrees counterclockwise",
}


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright; its numbers are those of the file."""

    path: Path
    values: Shaped[np.ndarray, "height width channels"] = field(repr=False)
    """Of type uint8, uint16 or float32; 1 channel is grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
    stored: StoredType
    """The type of the file's numbers: halves become float32 here."""
    maximum: int | None
    """The whole number that stands for 1, such as 255 or 65535; None for floats."""
    known: Bool[np.ndarray, "height width"] | None = field(repr=False)
    """False where a channel is NaN or infinite; None where all pixels are known."""
    premultiplied: bool
    """Whether the colours have been multiplied by alpha."""
    linear: bool
    """Whether the numbers are proportional to light, as EXR and HDR files have them."""
    profile: bytes | None = field(repr=False)
    """The ICC profile of the colours, which nothing here applies; None: sRGB, or nobody knows."""
    notes: tuple[str, ...]
    """What was done that the file alone does not say, a sentence each."""
    canvases: tuple[Canvas, ...] = field(repr=False)
    """What `values` and `known` are views of."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.values.shape[1], self.values.shape[0]

    @property
    def channels(self) -> int:
        """1 grey, 2 grey and alpha, 3 RGB, 4 RGBA."""
        return self.values.shape[2]

    @property
    def on_disk(self) -> bool:
        """Whether the pixels lie in a temporary file, being too many for memory."""
        return self.canvases[0].mapping is not None

    def at(self, rows: Int[np.ndarray, "n"], columns: Int[np.ndarray, "n"]) -> Float32[np.ndarray, "n channels"]:
        """Some pixels as floats: whole numbers over their maximum, in [0, 1]; floats as they are."""
        if not self.on_disk:
            return self._floats(self.values[rows, columns])
        found = np.empty((len(rows), self.channels), np.float32)
        row_step, column_step, _ = self.values.strides
        order = np.argsort(rows * row_step + columns * column_step)
        # In the order of the file and part by part, each letting go of what it read.
        for part in np.array_split(order, self.values.nbytes // _PART_BYTES + 1):
            found[part] = self._floats(self.values[rows[part], columns[part]])
        return found

    def take(self, places: Int[np.ndarray, "n"]) -> Float32[np.ndarray, "n channels"]:
        """Some pixels as `at` gives them, by their number row * width + column."""
        if self.on_disk or not self.values.flags.c_contiguous:  # a copy of the picture would be made of the latter
            return self.at(*np.divmod(places, self.values.shape[1]))
        return self._floats(self.values.reshape(-1, self.channels).take(places, axis=0))

    def rows(self, start: int, stop: int) -> Float32[np.ndarray, "rows width channels"]:
        """A band of rows as `at` gives them."""
        return self._floats(self.values[start:stop])

    def draw(self, generator: np.random.Generator, count: int) -> Int[np.ndarray, "count"]:
        """The numbers of pixels drawn evenly, with repetition, from those that are known."""
        width, height = self.size
        places = generator.integers(0, width * height, count)
        if self.known is not None:
            unknown = np.flatnonzero(~self.known[np.divmod(places, width)])
            while len(unknown):
                places[unknown] = generator.integers(0, width * height, len(unknown))
                unknown = unknown[~self.known[np.divmod(places[unknown], width)]]
            self._release()
        return places

    def _floats(self, values: np.ndarray) -> np.ndarray:
        found = values.astype(np.float32)
        self._release()
        if self.maximum is not None:
            found /= np.float32(self.maximum)
        return found

    def _release(self) -> None:
        for canvas in self.canvases:
            canvas.release()


def load_picture(path: Path, *, memory_bytes: int | None = None) -> Picture:
    """Decodes a picture of any kind that is read here, recognised by its content.

    Args:
        memory_bytes: What decoding and the decoded picture may take; half of the machine's memory by default. TIFF, EXR
            and npy files that take more are decoded in parts to a temporary file, which goes away with the picture.

    Raises:
        MissingFileError: if there is no such file.
        ImageFileError: if it is no picture, cut short, of a kind that is not read, or without a known pixel.
        ImageSizeError: if it can only be decoded whole and does not fit, or the disk is too small for it.
    """
    memory_bytes = machine_memory_bytes() // 2 if memory_bytes is None else memory_bytes
    source = _opened(path)
    width, height = source.size
    if width < 1 or height < 1:
        raise ImageFileError(f"{path}: expected at least one pixel, found {width}x{height}")
    shape, dtype = (height, width, source.channels), "float32" if source.maximum is None else source.stored
    if source.working_bytes > memory_bytes:
        raise ImageSizeError(_too_large(path, source, memory_bytes))
    mapped = array_bytes(shape, dtype) + source.working_bytes > memory_bytes
    canvas = Canvas.blank(shape, dtype, mapped=mapped, path=path)
    try:
        source.decode(canvas)
    except DataError:
        raise
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    canvas.release()
    known, unknown = _known(path, canvas) if source.maximum is None else (None, 0)
    notes = source.notes
    if source.orientation in _TURNS:
        notes += (f"it was {_TURNS[source.orientation]}, as its EXIF orientation asks for",)
    if unknown:
        notes += (f"{unknown:,} pixels that are NaN or infinite are unknown, and left out",)
    if mapped:
        notes += (f"it is larger than memory and was decoded to {in_units(canvas.values.nbytes)} on the disk",)
    return Picture(
        path=path,
        values=_upright(canvas.values, source.orientation),
        stored=source.stored,
        maximum=source.maximum,
        known=None if known is None else _upright(known.values, source.orientation),
        premultiplied=source.premultiplied,
        linear=source.linear,
        profile=source.profile,
        notes=notes,
        canvases=(canvas,) if known is None else (canvas, known),
    )


def _opened(path: Path) -> PictureSource:
    if not path.exists():
        raise MissingFileError(f"{path}: expected a picture, found nothing; check the path")
    if path.is_dir():
        raise MissingFileError(f"{path}: expected a picture, found a folder; name one of its files")
    try:
        with path.open("rb") as file:
            begin = file.read(16)
    except OSError as error:
        raise unreadable(path, error.strerror or error) from error
    if not begin:
        raise ImageFileError(f"{path}: is empty; copy it again from its source")
    for magic, opener in _OPENERS:
        if begin.startswith(magic):
            return opener(path)
    return open_deep_png(path) if begin.startswith(_PNG) and is_deep_png(path) else open_plain(path)


def _known(path: Path, canvas: Canvas) -> tuple[Canvas | None, int]:
    """Which pixels are finite, None where all are; and how many are not."""
    height, width, channels = canvas.values.shape
    known: Canvas | None = None
    unknown = 0
    for rows in bands(height, 4 * width * channels):
        finite = np.isfinite(canvas.values[rows]).all(axis=2)
        canvas.release()
        missing = finite.size - int(np.count_nonzero(finite))
        unknown += missing
        if missing and known is None:
            known = Canvas.blank((height, width), np.bool_, mapped=canvas.mapping is not None, path=path)
            for before in bands(rows.start, width):
                known.values[before] = True
                known.release()
        if known is not None:
            known.values[rows] = finite
            known.release()
    if unknown == height * width:
        raise ImageFileError(f"{path}: all its pixels are NaN or infinite; there is nothing to fit")
    return known, unknown


def _upright(array: np.ndarray, orientation: int) -> np.ndarray:
    """A view of the array turned as EXIF's orientation says."""
    vertical = -1 if orientation in (3, 4, 6, 7) else 1
    horizontal = -1 if orientation in (2, 3, 7, 8) else 1
    turned = array[::vertical, ::horizontal]
    return turned.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else turned


def _too_large(path: Path, source: PictureSource, memory_bytes: int) -> str:
    width, height = source.size
    remedy = (
        "save it in smaller tiles or strips" if source.pieces else "save it as tiled TIFF, which is read tile by tile"
    )
    return (
        f"{path}: decoding its {width}x{height} pixels needs {in_units(source.working_bytes)} of memory, found "
        f"{in_units(memory_bytes)}; allow more, make the picture smaller, or {remedy}"
    )
