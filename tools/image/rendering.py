"""`neufield render` of a picture's run: the whole or a part, at any resolution."""

import base64
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ...configs.run_options import Backend
from ...render import Raster
from ..device import choose_device, compiling_told, quiet_torch_threads
from ..picture_files import file_type, write_picture
from ..progress import Progress
from ..run_folder import RunFolder
from .drawing import drawn_bands
from .picture_facts import PictureFacts, read_facts
from .run import open_model, read_config

_LONGEST_SIDE = 1 << 18

LONGEST_JPEG_SIDE = 65_500
"""Pixels along a side of a JPEG, at most."""


def render_picture(
    run: RunFolder,
    *,
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    crop: tuple[float, float, float, float] | None = None,
    output: Path | None = None,
    progress: Progress,
    device: str | None = None,
    backend: Backend | None = None,
    force: bool = False,
) -> str:
    """Draws a fitted picture to a file, band by band; returns the result in one line.

    Args:
        run: A run of `neufield image`.
        size: Width and height of what is drawn; by default as many pixels as that part of the picture has.
        scale: How many times as many along each side, instead.
        crop: Left, top, width and height of a part, in pixels of the picture.
        output: The file, see `write_picture`; by default one in `outputs/` of the run, of a kind that holds the
            picture's numbers.
        progress: Told how far it is.
        device, backend: Instead of what the run was trained with.
        force: Whether a file that is there may be replaced.

    Raises:
        ValueError: A number is out of range, or the file exists or cannot hold the picture.
    """
    config, kind = read_config(run, device=device, backend=backend), read_facts(run)
    raster = raster_of(kind, size=size, scale=scale, crop=crop)
    target = output or run.outputs / f"{raster.width}x{raster.height}{'.png' if kind.maximum else '.exr'}"
    file_type(target, kind.stored, kind.channels)
    require_target(target, raster, force=force)
    model = open_model(run, config, kind)
    with quiet_torch_threads(choose_device(config.device)), compiling_told(progress), progress:
        bands = drawn_bands(model, kind, raster, area=config.pixels == "area")
        notes = write_picture(
            target,
            _told(bands, raster, progress),
            kind.stored,
            shape=(raster.height, raster.width, kind.channels),
            premultiplied=kind.has_alpha,
            linear=kind.linear,
            profile=None if kind.profile is None else base64.b64decode(kind.profile),
        )
    for note in notes:
        progress.say(f"Note: {target.name}: {note}.")
    return f"{target}: {raster.width}x{raster.height} pixels."


def raster_of(
    kind: PictureFacts,
    *,
    size: tuple[int, int] | None = None,
    scale: float | None = None,
    crop: tuple[float, float, float, float] | None = None,
) -> Raster:
    """The pixels that are asked for.

    Raises:
        ValueError: A number is out of range.
    """
    left, top, width, height = crop or (0.0, 0.0, float(kind.width), float(kind.height))
    right, bottom = left + width, top + height
    if not (
        width > 0.0 and height > 0.0 and left >= 0.0 and top >= 0.0 and right <= kind.width and bottom <= kind.height
    ):
        raise ValueError(
            f"--crop takes left, top, width and height of a part of the picture, which is {kind.width}x{kind.height}; "
            f"got {left:g} {top:g} {width:g} {height:g}."
        )
    if size is not None and scale is not None:
        raise ValueError("Give either --size or --scale: each says how many pixels are drawn.")
    if scale is not None and not 0.0 < scale * max(width, height) <= _LONGEST_SIDE:
        raise ValueError(
            f"--scale takes a number above 0 that makes neither side longer than {_LONGEST_SIDE} pixels, got {scale:g}."
        )
    pixels = size or tuple(max(1, round(side * (scale or 1.0))) for side in (width, height))
    if not 1 <= min(pixels) <= max(pixels) <= _LONGEST_SIDE:
        raise ValueError(
            f"A picture of 1 to {_LONGEST_SIDE} pixels along each side can be drawn, not {pixels[0]}x{pixels[1]}."
        )
    return Raster(pixels[0], pixels[1], left / kind.width, top / kind.height, right / kind.width, bottom / kind.height)


def require_target(target: Path, raster: Raster, *, force: bool) -> None:
    """Refuses a file that a drawing cannot be written to.

    Raises:
        ValueError: It is a JPEG, which has no sides that long, or exists and may not be replaced.
    """
    if target.suffix.lower() in (".jpg", ".jpeg") and max(raster.width, raster.height) > LONGEST_JPEG_SIDE:
        raise ValueError(f"A JPEG has at most {LONGEST_JPEG_SIDE} pixels along each side; take .tif for {target}.")
    if target.exists() and not force:
        raise ValueError(f"{target} exists; name another file by --output, or replace it with --force.")


def _told(bands: Iterator[np.ndarray], raster: Raster, progress: Progress) -> Iterator[np.ndarray]:
    """Passes bands on, and tells how far they are."""
    rows = 0
    for band in bands:
        yield band
        rows += len(band)
        progress.stage(rows / raster.height, "drawing")
