"""OpenEXR pictures, by bands of scanlines."""

import os
import struct
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ImageFileError
from .picture_canvas import Canvas, bands
from .picture_source import READ_ERRORS, PictureSource, unreadable

_BLOCK_ROWS = 256  # the most that any of its compressions packs together
_DEEP, _PARTS = 0x800, 0x1000  # flags of the version


def open_exr(path: Path) -> PictureSource:
    """Reads the header of an EXR file: R, G, B or Y, with or without A, of its top layer or of its only one.

    Raises:
        ImageFileError: if it cannot be read, or has no such channels of halves or floats.
    """
    import Imath
    import OpenEXR

    with path.open("rb") as file:
        version = struct.unpack("<II", file.read(8).ljust(8, b"\0"))[1]
    if version & _DEEP:
        raise ImageFileError(f"{path}: holds deep samples, expected one colour per pixel; flatten it first")
    try:
        with _quiet_library():
            exr = OpenEXR.InputFile(str(path))
            header = exr.header()
            exr.close()
    except READ_ERRORS as error:
        raise unreadable(path, error) from error
    channels: Mapping[str, Any] = header["channels"]
    names = _colors(path, channels)
    kinds = {channels[name].type.v for name in names}
    if Imath.PixelType.UINT in kinds or any((channels[n].xSampling, channels[n].ySampling) != (1, 1) for n in names):
        raise ImageFileError(
            f"{path}: expected channels of halves or floats at every pixel, found {_listed(channels)}; "
            "save it as RGB of half or float"
        )
    window, shown = header["dataWindow"], header["displayWindow"]
    top, left = window.min.y, window.min.x
    width, height = window.max.x - left + 1, window.max.y - top + 1
    row_bytes = 4 * width * len(names)

    def decode(canvas: Canvas) -> None:
        kind = Imath.PixelType(Imath.PixelType.FLOAT)
        with _quiet_library():
            exr = OpenEXR.InputFile(str(path))
            try:
                for rows in bands(height, row_bytes, multiple=_BLOCK_ROWS):
                    planes = exr.channels(names, kind, top + rows.start, top + rows.stop - 1)
                    for i, plane in enumerate(planes):
                        canvas.values[rows, :, i] = np.frombuffer(plane, np.float32).reshape(-1, width)
                    canvas.release()
            finally:
                exr.close()

    notes: list[str] = []
    if version & _PARTS:
        notes.append("the first of its parts was taken")
    others = sorted(set(channels) - set(names))
    if others:
        notes.append(f"of its channels {', '.join(names)} were taken and {', '.join(others)} left out")
    if (left, top) != (shown.min.x, shown.min.y) or (window.max.x, window.max.y) != (shown.max.x, shown.max.y):
        notes.append(f"its data window of {width}x{height} pixels was taken, which is not its display window")
    if len(names) in (2, 4):
        notes.append("its colours are premultiplied by alpha, and stay so")
    return PictureSource(
        size=(width, height),
        channels=len(names),
        stored="float16" if kinds == {Imath.PixelType.HALF} else "float32",
        maximum=None,
        working_bytes=3 * min(max(16 * 2**20, _BLOCK_ROWS * row_bytes), height * row_bytes),
        decode=decode,
        pieces=True,
        premultiplied=len(names) in (2, 4),
        linear=True,
        notes=tuple(notes),
    )


def _colors(path: Path, channels: Mapping[str, Any]) -> list[str]:
    """The names of the colours and of alpha, in order: those without a layer, else those of the only layer."""
    layers = sorted({name.rpartition(".")[0] for name in channels}, key=lambda layer: (layer != "", layer))
    found: dict[str, list[str]] = {}
    for layer in layers:
        prefix = f"{layer}." if layer else ""
        for colors in ("RGB", "Y"):
            names = [prefix + color for color in colors]
            chroma = colors == "Y" and {f"{prefix}RY", f"{prefix}BY"} & set(channels)
            if set(names) <= set(channels) and not chroma:
                found[layer] = names + ([f"{prefix}A"] if f"{prefix}A" in channels else [])
                break
    if "" in found:
        return found[""]
    if len(found) != 1:
        raise ImageFileError(
            f"{path}: expected the channels R, G, B or Y, with or without A, found {_listed(channels)}; save it as RGB"
        )
    return next(iter(found.values()))


def _listed(channels: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} ({str(channel).partition(' ')[0].lower()})" for name, channel in sorted(channels.items()))


@contextmanager
def _quiet_library() -> Generator[None]:
    """Keeps the library from writing a line for every damaged block to the terminal: its errors say what is wrong."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
