"""Where the pixels of many images live: one array in memory, or a file that is mapped where they would not fit."""

import hashlib
import math
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from .depth_maps import read_depth
from .errors import DataError
from .image_files import large_images_allowed, read_image
from .views import View

_DISK_MARGIN = 1.05
DEPTH_BYTES = 2
"""What a pixel's depth takes."""
_LARGEST_DEPTH = 65_000.0  # scene units, in half precision; what is farther counts as unknown


def default_memory_bytes() -> int:
    """Half of the machine's memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        return 4 * 2**30


def default_cache() -> Path:
    """`neufield` in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "neufield"


def first_pixels(views: Sequence[View]) -> Int[Tensor, "starts"]:
    """Where each image begins among all pixels, and where the last one ends."""
    areas = torch.tensor([0, *(view.lens.size[0] * view.lens.size[1] for view in views if view.lens.size)])
    return areas.cumsum(0)


def is_transparent(view: View) -> bool:
    """Whether an image has a pixel that is not fully opaque."""
    return bool(read_image(view.path, view.name, channels=4)[:, :, 3].min() < 255)


def load_pixels(
    views: Sequence[View], *, channels: int, memory_map: bool, cache: Path | None
) -> UInt8[Tensor, "pixels channels"]:
    """Decodes all images, in parallel, straight to their place.

    Args:
        views: Images whose sizes are known.
        memory_map: Whether the pixels go to a file. One that an earlier call wrote from the same files is used again.
        cache: The folder of that file; the user's cache folder if None.

    Raises:
        ImageFileError: if an image cannot be decoded.
        DataError: if the disk has not enough room.
    """

    def read(view: View) -> np.ndarray:
        return read_image(view.path, view.name, channels=channels, reduce=view.reduce).reshape(-1, channels)

    name = f"pixels-{_fingerprint(views, str(channels))}.uint8" if memory_map and views else None
    return torch.from_numpy(_stored(views, read, np.dtype(np.uint8), (channels,), name, cache))


def load_depth(views: Sequence[View], *, scale: float, memory_map: bool, cache: Path | None) -> Float[Tensor, "pixels"]:
    """Decodes the depth maps of all images, in parallel; images without one get zeros.

    Args:
        views, memory_map, cache: As in `load_pixels`.
        scale: Scene units per unit of the poses.

    Returns:
        Depth in half precision, whose rounding of one part in two thousand is less than any sensor's; 0: not known.

    Raises:
        ImageFileError, FormatError: if a depth map cannot be decoded.
        DataError: if the disk has not enough room.
    """

    def read(view: View) -> np.ndarray:
        if view.depth is None:
            return np.zeros(1, dtype=np.float16)
        depth = read_depth(view).ravel() * np.float32(scale)
        return np.where(depth < _LARGEST_DEPTH, depth, 0.0).astype(np.float16)

    name = f"depth-{_fingerprint(views, str(scale))}.float16" if memory_map and views else None
    return torch.from_numpy(_stored(views, read, np.dtype(np.float16), (), name, cache))


def _stored(
    views: Sequence[View],
    read: Callable[[View], np.ndarray],
    dtype: np.dtype,
    per_pixel: tuple[int, ...],
    name: str | None,
    cache: Path | None,
) -> np.ndarray:
    """What is read of each view, one after the other: in memory, or in the file of that name in the cache folder."""
    starts = first_pixels(views).tolist()
    shape = (starts[-1], *per_pixel)

    def fill(values: np.ndarray) -> None:
        _in_parallel(views, lambda i, view: np.copyto(values[starts[i] : starts[i + 1]], read(view)))

    if name is None:
        values = np.empty(shape, dtype=dtype)
        fill(values)
        return values
    path = (cache or default_cache()) / name
    if not (path.is_file() and path.stat().st_size == math.prod(shape) * dtype.itemsize):
        _write_aside(path, shape, dtype, fill)
    # Copy on write: torch asks for writable memory, and the file stays as it is.
    return np.memmap(path, dtype=dtype, mode="c", shape=shape)


def _in_parallel(views: Sequence[View], work: Callable[[int, View], None]) -> None:
    """Does the work for every view, in parallel; the first fault by number is raised."""
    with large_images_allowed(), ThreadPoolExecutor(max_workers=min(32, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(work, i, view) for i, view in enumerate(views)]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()


def _write_aside(path: Path, shape: tuple[int, ...], dtype: np.dtype, fill: Callable[[np.ndarray], None]) -> None:
    """Writes the file under another name and renames it when complete, so that it is never seen half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = math.prod(shape) * dtype.itemsize, shutil.disk_usage(path.parent).free
    if needed * _DISK_MARGIN > free:
        raise DataError(
            f"{path.parent}: expected {needed / 2**30:.1f} GiB of free disk for the pixels, "
            f"found {free / 2**30:.1f} GiB; "
            "give a larger disk as cache, more memory, or a larger downscale"
        )
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        pixels = np.memmap(aside, dtype=dtype, mode="w+", shape=shape)
        fill(pixels)
        pixels.flush()
        del pixels
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _fingerprint(views: Sequence[View], kind: str) -> str:
    """Differs whenever another file, a changed file or another size is asked for."""
    digest = hashlib.sha256(kind.encode())
    for view in views:
        files = [view.path, view.depth.path] if view.depth else [view.path]
        stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        entry = (stats, view.lens.size, view.reduce, view.depth and view.depth.unit)
        digest.update(repr(entry).encode("utf-8", errors="surrogateescape"))
    return digest.hexdigest()[:24]
