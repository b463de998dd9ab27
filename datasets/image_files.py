"""Images from files: sizes by header alone, pixels as stored (EXIF orientation turns nothing)."""

import struct
import warnings
import zlib
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import ExifTags, Image

from .errors import ImageFileError, ImageSizeError

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
PIXEL_LIMIT = 150_000_000
"""Larger images are refused before they are decoded: a small file can claim any size."""

DECODER_ERRORS = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)
"""What pillow raises on files that are not what they say."""
_ALPHA_MODES = ("RGBA", "LA", "PA", "RGBa", "La")
_DEEP_MODES = ("I", "F", "I;16", "I;16L", "I;16B", "I;16N")


@dataclass(frozen=True)
class ImageHeader:
    """What an image file says about itself before its pixels are decoded."""

    size: tuple[int, int]
    """Width and height of the pixels as stored."""
    has_alpha: bool
    turned: bool
    """Whether EXIF asks viewers to turn the image by a quarter; nothing here does."""


@contextmanager
def large_images_allowed() -> Generator[None, None, None]:
    """Keeps pillow from warning about large images: `PIXEL_LIMIT` decides. To be entered by the main thread only."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def read_image_header(path: Path, name: str | None = None) -> ImageHeader:
    """Reads the size and kind of an image without decoding it.

    Args:
        name: What to call the file in messages.

    Raises:
        ImageFileError: if it is no image of 8 bits per channel that pillow reads.
        ImageSizeError: if it has more than `PIXEL_LIMIT` pixels.
    """
    name = name or str(path)
    try:
        with large_images_allowed(), Image.open(path) as image:
            size, mode = image.size, image.mode
            has_alpha = mode in _ALPHA_MODES or "transparency" in image.info
            turned = orientation_of(image) in (5, 6, 7, 8)
    except Image.DecompressionBombError as error:
        raise ImageSizeError(_too_large(name)) from error
    except DECODER_ERRORS as error:
        raise ImageFileError(_unreadable(name, error)) from error
    if size[0] * size[1] > PIXEL_LIMIT:
        raise ImageSizeError(_too_large(name, size))
    if mode in _DEEP_MODES:
        raise ImageFileError(f"{name}: expected 8 bits per channel, found pixels of type {mode}; save it as 8-bit PNG")
    return ImageHeader(size, has_alpha, turned)


def orientation_of(image: Image.Image) -> int:
    """EXIF's number for how a picture is to be turned, without decoding it."""
    # Pillow would decode a PNG to look for EXIF behind its pixels.
    known = image.format != "PNG" or "exif" in image.info
    return image.getexif().get(ExifTags.Base.Orientation, 1) if known else 1


def read_image(
    path: Path, name: str | None = None, *, channels: int = 3, reduce: int = 1
) -> UInt8[np.ndarray, "height width channels"]:
    """Decodes an image to 8-bit RGB, or RGBA with straight alpha.

    Args:
        name: What to call the file in messages.
        channels: 3 drops an alpha channel, 4 adds an opaque one where there is none.
        reduce: Averages squares of this side to one pixel, premultiplied by alpha; pixels over at the right and bottom
            edges are cut off.

    Raises:
        ImageFileError: if it cannot be decoded to its end.
    """
    try:
        with Image.open(path) as image:
            # By way of RGBA where there is transparency: a palette's transparent entries are seen only there.
            wanted = "RGBA" if channels == 4 else "RGB"
            # Converting to what it is already would be a copy of the whole picture.
            pixels = image if image.mode == wanted and "transparency" not in image.info else image.convert(wanted)
            return np.asarray(_reduced(pixels, reduce) if reduce > 1 else pixels)
    except DECODER_ERRORS as error:
        raise ImageFileError(_unreadable(name or str(path), error)) from error


def reduced_pixels(
    pixels: UInt8[np.ndarray, "height width channels"], factor: int
) -> UInt8[np.ndarray, "_ _ channels"]:
    """Pixels averaged over squares of this side, as `read_image` reduces a file's."""
    return np.asarray(_reduced(Image.fromarray(pixels), factor))


def read_numbers_size(path: Path, name: str) -> tuple[int, int]:
    """Width and height of an image with one number per pixel, which is not decoded.

    Raises:
        ImageFileError: if its numbers do not have 16 or 32 bits.
    """
    try:
        with large_images_allowed(), Image.open(path) as image:
            size, mode = image.size, image.mode
    except DECODER_ERRORS as error:
        raise ImageFileError(_unreadable(name, error)) from error
    if mode not in _DEEP_MODES:
        raise ImageFileError(
            f"{name}: expected one number of 16 bits per pixel, found pixels of type {mode}; save it as 16-bit PNG"
        )
    return size


def read_numbers(path: Path, name: str) -> Float32[np.ndarray, "height width"]:
    """Decodes an image with one number of 16 or 32 bits per pixel.

    Raises:
        ImageFileError: if it cannot be decoded to its end.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image, dtype=np.float32)
    except DECODER_ERRORS as error:
        raise ImageFileError(_unreadable(name, error)) from error


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    width, height = image.width // factor * factor, image.height // factor * factor
    image = image.crop((0, 0, width, height))
    if image.mode == "RGBA":
        return image.convert("RGBa").reduce(factor).convert("RGBA")
    return image.reduce(factor)


def _unreadable(name: str, error: Exception) -> str:
    reason = str(error) or type(error).__name__
    if "cannot identify image file" in reason:
        reason = "its content is that of no image format that is read here, or it is empty"
    return f"{name}: cannot be read as an image ({reason}); copy it again from its source, or remove it from the data"


def _too_large(name: str, size: tuple[int, int] | None = None) -> str:
    found = f"{size[0]}x{size[1]} pixels" if size else "more"
    return f"{name}: expected at most {PIXEL_LIMIT:,} pixels, found {found}; make the image smaller"
