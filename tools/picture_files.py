"""Pictures to files, by the ending of the name: png, jpg, tif, exr, hdr, npy; 8 or 16 bits, halves or floats."""

import math
import struct
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ..datasets.picture_canvas import bands
from ..datasets.picture_source import StoredType
from ..datasets.screen_values import srgb_from_linear
from ..datasets.whole_output import whole_file

Values = Float32[np.ndarray, "_ width channels"]

_TILE = 256
_LARGEST_TIFF = 2**32 - 2**25  # bytes; larger ones become BigTIFF
_PNG_HEADER = 33  # bytes of its signature and its first chunk
_LARGEST_HALF = 65504.0
_INTEGERS: tuple[StoredType, ...] = ("uint8", "uint16")
_TYPES: dict[str, tuple[StoredType, ...]] = {
    ".png": _INTEGERS,
    ".jpg": ("uint8",),
    ".jpeg": ("uint8",),
    ".tif": ("uint8", "uint16", "float16", "float32"),
    ".tiff": ("uint8", "uint16", "float16", "float32"),
    ".exr": ("float16", "float32"),
    ".hdr": ("float32",),
    ".npy": ("uint8", "uint16", "float16", "float32"),
}
"""What each kind of file can hold, best last."""
_OPAQUE = (".jpg", ".jpeg", ".hdr")


def file_type(path: Path, stored: StoredType, channels: int) -> StoredType:
    """The type of numbers in which a picture is written: that of its source, or the best that the kind of file has.

    Args:
        path: Named in messages; need not exist.
        stored: The source's type.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.

    Raises:
        ValueError: The ending is none that is written, or its kind of file has no alpha and the picture has.
    """
    ending = path.suffix.lower()
    if ending not in _TYPES:
        raise ValueError(f"{path.name}: a picture's name must end with one of {', '.join(_TYPES)}")
    if channels not in (1, 2, 3, 4):
        raise ValueError(f"{path.name}: a picture has 1 to 4 channels, found {channels}")
    if ending in _OPAQUE and channels in (2, 4):
        raise ValueError(f"{path.name}: {ending} files have no alpha, and this picture has; take .png, .tif or .exr")
    return stored if stored in _TYPES[ending] else _TYPES[ending][-1]


def write_picture(
    path: Path,
    values: Values | Iterable[Values],
    stored: StoredType,
    *,
    shape: tuple[int, int, int] | None = None,
    premultiplied: bool = False,
    linear: bool = False,
    profile: bytes | None = None,
) -> tuple[str, ...]:
    """Writes a picture; the file appears complete or not at all.

    TIFF, EXR and npy files are written band by band, so that they may be larger than memory.

    Args:
        path: Its ending says the kind of file.
        values: (height, width, channels), or bands of rows of it from top to bottom. What [0, 1] is to floats is 0 to
            255 or 65535 to whole numbers.
        stored: The source's type of numbers, kept where the kind of file has it.
        shape: Height, width and channels; needed with bands.
        premultiplied: Whether the colours have been multiplied by alpha. EXR files want that, PNG files do not.
        linear: Whether values are proportional to light; they become sRGB where the file holds whole numbers.
        profile: The ICC profile of the colours; kept in PNG, JPEG and TIFF files.

    Returns:
        What the file does not hold of the values, a sentence each.

    Raises:
        ValueError: The ending does not go with the picture, or the bands do not make up the shape.
    """
    if isinstance(values, np.ndarray):
        shape, values = values.shape, [values]
    if shape is None:
        raise ValueError(f"{path.name}: bands of rows need the shape of the whole picture")
    kind = file_type(path, stored, shape[2])
    ending = path.suffix.lower()
    to_screen = linear and kind in _INTEGERS
    wants_premultiplied = {".png": False, ".npy": False, ".exr": True}.get(ending, premultiplied and not to_screen)
    encoded = _Encoded(
        path.name,
        values,
        shape,
        kind,
        divided=premultiplied and not wants_premultiplied,
        multiplied=wants_premultiplied and not premultiplied,
        to_screen=to_screen,
    )
    profile = None if to_screen else profile
    with whole_file(path) as aside:
        if ending in (".tif", ".tiff"):
            _write_tiff(aside, encoded, premultiplied=wants_premultiplied, profile=profile)
        elif ending == ".exr":
            _write_exr(aside, encoded)
        elif ending == ".npy":
            _write_array(aside, encoded)
        elif ending == ".hdr":
            _write_hdr(aside, encoded)
        else:
            _write_image(aside, encoded, profile)
    return encoded.notes(of_floats=stored not in _INTEGERS)


class _Encoded:
    """The numbers that a file holds, band by band; counts what it cannot hold."""

    def __init__(
        self,
        name: str,
        source: Iterable[np.ndarray],
        shape: tuple[int, int, int],
        kind: StoredType,
        *,
        divided: bool,
        multiplied: bool,
        to_screen: bool,
    ):
        self.shape, self.dtype, self.to_screen = shape, np.dtype(kind), to_screen
        self._name, self._source = name, source
        self._with_alpha = shape[2] in (2, 4)
        self._divided, self._multiplied = divided, multiplied
        self._cut_off = 0

    @property
    def size(self) -> int:
        """Bytes of all bands together."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __iter__(self) -> Iterator[np.ndarray]:
        height, width, channels = self.shape
        done = 0
        for band in self._source:
            if band.ndim != 3 or band.shape[1:] != (width, channels) or done + len(band) > height:
                raise ValueError(
                    f"{self._name}: expected bands of {height} rows in all and shape (_, {width}, {channels}), "
                    f"found {band.shape} after {done} rows"
                )
            done += len(band)
            for rows in bands(len(band), 4 * width * channels):
                yield self._encode(band[rows])
        if done != height:
            raise ValueError(f"{self._name}: expected {height} rows in all, found {done}")

    def whole(self) -> np.ndarray:
        """All bands in one array."""
        values = np.empty(self.shape, self.dtype)
        top = 0
        for band in self:
            values[top : top + len(band)] = band
            top += len(band)
        return values

    def notes(self, *, of_floats: bool) -> tuple[str, ...]:
        """What to tell when all bands have been taken."""
        notes: list[str] = []
        if self.to_screen:
            notes.append(f"{self._name}: linear light was encoded as sRGB, for screens")
        if of_floats and self._cut_off:
            limit = "[0, 1]" if self.dtype.kind == "u" else "the range of half precision"
            notes.append(f"{self._name}: {self._cut_off:,} values outside {limit} were cut off")
        return tuple(notes)

    def _encode(self, band: np.ndarray) -> np.ndarray:
        values = band.astype(np.float32)
        if self._with_alpha and (self._divided or self._multiplied):
            colors, alpha = values[..., :-1], values[..., -1:]
            factor = 1 / np.where(alpha > 0, alpha, 1) if self._divided else alpha
            colors *= factor
        if self.to_screen:
            colors = values[..., :-1] if self._with_alpha else values
            colors[...] = srgb_from_linear(colors)
        low, high = (0.0, 1.0) if self.dtype.kind == "u" else (-_LARGEST_HALF, _LARGEST_HALF)
        if self.dtype != np.float32:
            self._cut_off += int(np.count_nonzero((values < low) | (values > high)))
            np.clip(values, low, high, out=values)
        if self.dtype.kind == "u":
            values = np.rint(np.nan_to_num(values, copy=False) * np.float32(np.iinfo(self.dtype).max))
        return values.astype(self.dtype)


def _write_image(aside: Path, encoded: _Encoded, profile: bytes | None) -> None:
    if encoded.dtype == np.uint16:
        from imagecodecs import png_encode

        aside.write_bytes(_with_profile(bytes(png_encode(encoded.whole())), profile))
        return
    from PIL import Image

    values = encoded.whole()
    image = Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)
    image.save(aside, quality=95, subsampling=0, icc_profile=profile)


def _with_profile(png: bytes, profile: bytes | None) -> bytes:
    """A PNG file with an ICC profile behind its header, PNG specification 11.3.2.3."""
    if profile is None:
        return png
    content = b"iCCPICC profile\0\0" + zlib.compress(profile)
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return png[:_PNG_HEADER] + chunk + png[_PNG_HEADER:]


def _write_tiff(aside: Path, encoded: _Encoded, *, premultiplied: bool, profile: bytes | None) -> None:
    import tifffile

    height, width, channels = encoded.shape
    alpha = ["assocalpha" if premultiplied else "unassalpha"] if channels in (2, 4) else None
    tifffile.imwrite(
        aside,
        _tiles(encoded),
        bigtiff=encoded.size > _LARGEST_TIFF,
        shape=encoded.shape if channels > 1 else (height, width),
        dtype=encoded.dtype,
        photometric="rgb" if channels > 2 else "minisblack",
        planarconfig="contig" if channels > 1 else None,
        extrasamples=alpha,
        tile=(_TILE, _TILE),
        compression="zlib",
        predictor=True,
        iccprofile=profile,
        metadata=None,
        software=False,
    )


def _tiles(encoded: _Encoded) -> Iterator[np.ndarray]:
    """The tiles of a picture in rows, from its bands."""
    _, width, channels = encoded.shape
    waiting, rows = np.empty((_TILE, width, channels), encoded.dtype), 0
    for band in encoded:
        first = 0
        while first < len(band):
            part = band[first : first + _TILE - rows]
            waiting[rows : rows + len(part)] = part
            first, rows = first + len(part), rows + len(part)
            if rows == _TILE:
                yield from _tiles_of_rows(waiting)
                rows = 0
    yield from _tiles_of_rows(waiting[:rows])


def _tiles_of_rows(rows: np.ndarray) -> Iterator[np.ndarray]:
    for top in range(0, rows.shape[0], _TILE):
        for left in range(0, rows.shape[1], _TILE):
            tile = rows[top : top + _TILE, left : left + _TILE]
            yield tile.squeeze(2) if tile.shape[2] == 1 else tile


def _write_exr(aside: Path, encoded: _Encoded) -> None:
    import Imath
    import OpenEXR

    height, width, channels = encoded.shape
    half = encoded.dtype == np.float16
    names = {1: "Y", 2: "YA", 3: "RGB", 4: "RGBA"}[channels]
    kind = Imath.PixelType(Imath.PixelType.HALF if half else Imath.PixelType.FLOAT)
    header = OpenEXR.Header(width, height)
    header["channels"] = {name: Imath.Channel(kind) for name in names}
    file = OpenEXR.OutputFile(str(aside), header)
    try:
        for band in encoded:
            file.writePixels({name: band[..., i].tobytes() for i, name in enumerate(names)}, len(band))
    finally:
        file.close()


def _write_hdr(aside: Path, encoded: _Encoded) -> None:
    from imagecodecs import rgbe_encode

    values = np.maximum(np.nan_to_num(encoded.whole(), copy=False), 0)
    height, width, _ = values.shape
    rgb = np.ascontiguousarray(np.broadcast_to(values, (height, width, 3)))
    # Run lengths make noise longer by up to one byte in 128, which the library does not reckon with by itself.
    most = height * (4 * width + width // 16 + 16) + 1024
    aside.write_bytes(rgbe_encode(rgb, header=True, out=most))


def _write_array(aside: Path, encoded: _Encoded) -> None:
    header = {"descr": np.lib.format.dtype_to_descr(encoded.dtype), "fortran_order": False, "shape": encoded.shape}
    with aside.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for band in encoded:
            file.write(np.ascontiguousarray(band).data)
