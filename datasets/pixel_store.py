"""Where the pixels of many images live: one array in memory, or a file that is mapped where they would not fit."""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from .errors import DataError
from .image_files import large_images_allowed, read_image
from .views import View

_DISK_MARGIN = 1.05


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
    starts = first_pixels(views).tolist()
    shape = (starts[-1], channels)

    def fill(pixels: np.ndarray) -> None:
        decode_all(
            views, lambda i, image: np.copyto(pixels[starts[i] : starts[i + 1]], image.reshape(-1, channels)), channels
        )

    if not memory_map or not views:
        pixels = np.empty(shape, dtype=np.uint8)
        fill(pixels)
        return torch.from_numpy(pixels)
    path = (cache or default_cache()) / f"pixels-{_fingerprint(views, channels)}.uint8"
    if not (path.is_file() and path.stat().st_size == shape[0] * channels):
        _write_aside(path, shape, fill)
    # Copy on write: torch asks for writable memory, and the file stays as it is.
    return torch.from_numpy(np.memmap(path, dtype=np.uint8, mode="c", shape=shape))


def decode_all(views: Sequence[View], place: Callable[[int, np.ndarray], None], channels: int) -> None:
    """Decodes images in parallel and hands each one over with its number; the first fault by number is raised."""

    def work(i: int) -> None:
        view = views[i]
        image = read_image(view.path, view.name, channels=channels, reduce=view.reduce)
        place(i, image)

    with large_images_allowed(), ThreadPoolExecutor(max_workers=min(32, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(work, i) for i in range(len(views))]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()


def _write_aside(path: Path, shape: tuple[int, int], fill: Callable[[np.ndarray], None]) -> None:
    """Writes the file under another name and renames it when complete, so that it is never seen half-written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    needed, free = shape[0] * shape[1], shutil.disk_usage(path.parent).free
    if needed * _DISK_MARGIN > free:
        raise DataError(
            f"{path.parent}: expected {needed / 2**30:.1f} GiB of free disk for the pixels, "
            f"found {free / 2**30:.1f} GiB; "
            "give a larger disk as cache, more memory, or a larger downscale"
        )
    aside = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        pixels = np.memmap(aside, dtype=np.uint8, mode="w+", shape=shape)
        fill(pixels)
        pixels.flush()
        del pixels
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _fingerprint(views: Sequence[View], channels: int) -> str:
    """Differs whenever another file, a changed file or another size is asked for."""
    digest = hashlib.sha256(f"{channels}".encode())
    for view in views:
        status = view.path.stat()
        entry = (str(view.path.resolve()), status.st_size, status.st_mtime_ns, view.lens.size, view.reduce)
        digest.update(repr(entry).encode("utf-8", errors="surrogateescape"))
    return digest.hexdigest()[:24]
