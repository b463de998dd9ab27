"""Where decoded pictures lie: in memory, or in a temporary file that is mapped into it."""

import mmap
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from .errors import ImageSizeError

_BAND_BYTES = 16 * 2**20


@dataclass(frozen=True)
class Canvas:
    """An array of zeros to be filled; a temporary file behind it has no name and goes away with the array."""

    values: np.ndarray
    mapping: mmap.mmap | None
    """The file that `values` is a view of; None in memory."""

    @classmethod
    def blank(cls, shape: tuple[int, ...], dtype: DTypeLike, *, mapped: bool, path: Path) -> "Canvas":
        """A canvas of any size that the disk for temporary files has room for.

        Args:
            path: The picture that it is for, named in messages.

        Raises:
            ImageSizeError: if the disk, or the address space, is too small.
        """
        size = array_bytes(shape, dtype)
        if not mapped:
            return cls(np.zeros(shape, dtype), None)
        folder = tempfile.gettempdir()
        free = shutil.disk_usage(folder).free
        if size > free:
            raise ImageSizeError(
                f"{path}: needs {in_units(size)} for its {shape[1]}x{shape[0]} pixels, found {in_units(free)} free for "
                f"temporary files in {folder}; make room, or set TMPDIR to a larger disk"
            )
        with tempfile.TemporaryFile() as file:
            file.truncate(size)
            mapping = mmap.mmap(file.fileno(), size)
        return cls(np.frombuffer(mapping, dtype).reshape(shape), mapping)

    def release(self) -> None:
        """Lets go of the memory that the mapped file takes at the moment, where the system can; nothing is lost."""
        if self.mapping is not None and hasattr(mmap, "MADV_DONTNEED"):
            self.mapping.madvise(mmap.MADV_DONTNEED)


def bands(height: int, row_bytes: int, *, multiple: int = 1) -> Iterator[slice]:
    """The rows of a picture in bands of about 16 MiB, a multiple of some number of rows each."""
    rows = max(_BAND_BYTES // max(row_bytes, 1) // multiple, 1) * multiple
    for top in range(0, height, rows):
        yield slice(top, min(top + rows, height))


def array_bytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    """What an array takes, counted without overflow."""
    count = np.dtype(dtype).itemsize
    for side in shape:
        count *= int(side)
    return count


def in_units(size: int) -> str:
    """A size of memory for people."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:,.1f} {name}"
    return f"{size / 2**10:.1f} KiB"
