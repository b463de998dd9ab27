"""Pictures of 8 bits per channel by pillow: PNG, JPEG, WebP, AVIF, GIF, BMP, PPM, QOI."""

import io
import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from .errors import ImageFileError
from .image_files import orientation_of
from .picture_canvas import Canvas, bands
from .picture_source import READ_ERRORS, PictureSource, unreadable

_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "DIB", "PPM", "QOI")
NAMES = "PNG, JPEG, WebP, AVIF, GIF, BMP, PPM, QOI"
_MODES = {
    # mode of the file: (what it is converted to, the same with its transparent colour)
    "1": ("L", "LA"),
    "L": ("L", "LA"),
    "LA": ("LA", "LA"),
    "P": ("RGB", "RGBA"),
    "PA": ("RGBA", "RGBA"),
    "RGB": ("RGB", "RGBA"),
    "RGBX": ("RGB", "RGB"),
    "RGBA": ("RGBA", "RGBA"),
    "CMYK": ("RGB", "RGB"),
}
_ONE_BYTE_MODES = ("1", "L", "P")
_DECODER_BYTES = {"WEBP": 8, "AVIF": 8}
"""Per pixel, for the frames that these decoders keep beside pillow's own copy."""


@contextmanager
def any_size_allowed() -> Generator[None]:
    """Lifts pillow's limit of pixels: sizes are held against memory here. To be entered by the main thread only."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def open_plain(path: Path) -> PictureSource:
    """Reads the header of a picture that pillow decodes.

    Raises:
        ImageFileError: if it is none, or one of more than 8 bits per channel.
    """
    Image.init()  # else only the commonest formats are known
    try:
        with any_size_allowed(), Image.open(path, formats=_FORMATS) as image:
            kind, mode, size, info = image.format or "", image.mode, image.size, image.info
            notes = frame_notes(getattr(image, "n_frames", 1))
            orientation = orientation_of(image)
    except Image.UnidentifiedImageError as error:
        raise ImageFileError(
            f"{path}: its content is none of the kinds of pictures that are read here ({NAMES}, TIFF, OpenEXR, "
            "Radiance HDR, npy), or is cut short; copy it again from its source, or save it as one of them"
        ) from error
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    if mode not in _MODES or (kind == "PPM" and _ppm_maximum(path) > 255):
        raise ImageFileError(
            f"{path}: {kind} pixels of type {mode} with more than 8 bits or in an uncommon colour space are not read; "
            "save it as 16-bit PNG or TIFF in grey or RGB"
        )
    wanted = _MODES[mode]["transparency" in info]
    profile = info.get("icc_profile")
    if mode == "CMYK":
        notes += (cmyk_note(profile),)
    elif mode in ("P", "PA"):
        notes += (f"its palette was expanded to {wanted}",)
    elif mode == "1":
        notes += ("its single bits were expanded to 0 and 255",)
    if kind == "AVIF":
        notes += ("AVIF is read with 8 bits per channel",)

    def decode(canvas: Canvas) -> None:
        to_rgb = cmyk_converter(profile) if mode == "CMYK" else None
        with any_size_allowed(), Image.open(path, formats=_FORMATS) as opened:
            opened.load()
            for rows in bands(size[1], 4 * size[0]):
                band = opened.crop((0, rows.start, size[0], rows.stop))
                band = to_rgb(band) if to_rgb else band.convert(wanted)
                canvas.values[rows] = np.asarray(band).reshape(-1, size[0], len(wanted))
                canvas.release()

    decoded = 1 if mode in _ONE_BYTE_MODES else 4
    coefficients = 2 * len(image.getbands()) if info.get("progressive") else 0
    return PictureSource(
        size=size,
        channels=len(wanted),
        stored="uint8",
        maximum=255,
        working_bytes=size[0] * size[1] * (decoded + coefficients + _DECODER_BYTES.get(kind, 0)),
        decode=decode,
        orientation=orientation,
        profile=None if mode == "CMYK" else profile,
        notes=notes,
    )


def frame_notes(count: int) -> tuple[str, ...]:
    """What to tell of a file of several pictures."""
    return (f"the first of its {count} pictures was taken",) if count > 1 else ()


def cmyk_note(profile: bytes | None) -> str:
    """What to tell of a picture in printing colours."""
    return f"CMYK was converted to sRGB {'by its colour profile' if profile else 'without a colour profile'}"


def cmyk_converter(profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """Printing colours to sRGB: by the picture's own profile, or by the simple formula where it has none."""
    if not profile:
        return lambda image: image.convert("RGB")
    inks = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    transform = ImageCms.buildTransform(inks, ImageCms.createProfile("sRGB"), "CMYK", "RGB")
    return lambda image: _transformed(image, transform)


def _transformed(image: Image.Image, transform: ImageCms.ImageCmsTransform) -> Image.Image:
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None
    return converted


def _ppm_maximum(path: Path) -> int:
    """The largest number of a PPM file, which pillow reduces to 8 bits without a word."""
    with path.open("rb") as file:
        header = re.sub(rb"#[^\n]*\n", b"", file.read(4096)).split(maxsplit=4)
    return int(header[3]) if header[0] in (b"P2", b"P3", b"P5", b"P6") else 1
