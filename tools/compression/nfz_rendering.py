"""`neufield render FILE.nfz`: a compressed picture to an ordinary one, the whole or a part, at any resolution."""

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from ...render import Raster
from ..image.picture_facts import PictureFacts
from ..image.rendering import raster_of, require_target
from ..picture_files import file_type, write_picture
from ..progress import Progress
from .nfz_decoding import Span, drawn_bands
from .nfz_file import NfzContent, read_nfz


def render_nfz(
    path: Path,
    output: Path,
    *,
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    crop: tuple[float, float, float, float] | None = None,
    progress: Progress,
    force: bool = False,
) -> str:
    """Draws a compressed picture to a file, band by band; returns the result in one line.

    Args:
        path: The compressed picture.
        output: The file, see `write_picture`, or a folder for it.
        size, scale, crop: What is drawn, see `render_picture`.
        progress: Told how far it is.
        force: Whether a file that is there may be replaced.

    Raises:
        ValueError: A number is out of range, the file exists or cannot hold the picture, or the compressed one is
            damaged.
    """
    content = read_nfz(path)
    kind = facts_of(content)
    raster = raster_of(kind, size=size, scale=scale, crop=crop)
    whole = size is None and scale is None and crop is None
    name = path.stem if whole else f"{path.stem}-{raster.width}x{raster.height}"
    target = output / f"{name}.png" if output.is_dir() else output
    file_type(target, kind.stored, kind.channels)
    require_target(target, raster, force=force)
    with progress:
        notes = write_picture(
            target,
            _values(content, raster, progress),
            kind.stored,
            shape=(raster.height, raster.width, kind.channels),
            premultiplied=kind.has_alpha,
            profile=content.profile,
        )
    for note in notes:
        progress.say(f"Note: {target.name}: {note}.")
    return f"{target}: {raster.width}x{raster.height} pixels."


def facts_of(content: NfzContent) -> PictureFacts:
    """The kind of a compressed picture."""
    profile = None if content.profile is None else base64.b64encode(content.profile).decode()
    stored = "uint8" if content.bits == 8 else "uint16"
    maximum = (1 << content.bits) - 1
    return PictureFacts(content.width, content.height, content.channels, stored, maximum, False, profile=profile)


def _values(
    content: NfzContent, raster: Raster, progress: Progress
) -> Iterator[Float32[np.ndarray, "rows width channels"]]:
    """The drawing in [0, 1], from top to bottom; tells how far it is."""
    rows = _span(raster.top, raster.bottom, content.height, raster.height)
    columns = _span(raster.left, raster.right, content.width, raster.width)
    done = 0
    for band in drawn_bands(content, rows, columns):
        yield band.astype(np.float32) / np.float32((1 << content.bits) - 1)
        done += len(band)
        progress.stage(done / raster.height, "drawing")


def _span(first: float, last: float, pixels: int, count: int) -> Span:
    return Span(round(first * pixels * 65536), round(last * pixels * 65536), count)
