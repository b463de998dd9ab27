"""The pixels of many images in memory, one after the other, and what their depth maps say of them."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float, Float16, Int, UInt8
from torch import Tensor

from .depth_maps import read_depth
from .image_files import large_images_allowed, read_image
from .views import View

DEPTH_BYTES = 2
"""What a pixel's depth takes."""
_LARGEST_DEPTH = 65_000.0  # scene units, in half precision; what is farther counts as unknown


def machine_memory_bytes() -> int:
    """How much memory the machine has; 8 GiB where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return 8 * 2**30


def first_pixels(views: Sequence[View]) -> Int[Tensor, "starts"]:
    """Where each image begins among all pixels, and where the last one ends."""
    areas = torch.tensor([0, *(view.lens.size[0] * view.lens.size[1] for view in views if view.lens.size)])
    return areas.cumsum(0)


def is_transparent(view: View) -> bool:
    """Whether an image has a pixel that is not fully opaque."""
    return bool(read_image(view.path, view.name, channels=4)[:, :, 3].min() < 255)


def read_pixels(view: View, channels: int) -> UInt8[np.ndarray, "height width channels"]:
    """Decodes one image.

    Raises:
        ImageFileError: if it cannot be decoded.
    """
    return read_image(view.path, view.name, channels=channels, reduce=view.reduce)


def read_scene_depth(view: View, scale: float) -> Float16[np.ndarray, "height width"]:
    """Decodes one image's depth map to scene units, `scale` of them to a unit of the poses; zeros where it has none.

    Half precision rounds by one part in two thousand, less than any sensor does.

    Raises:
        ImageFileError, FormatError: if it cannot be decoded.
    """
    if view.depth is None:
        assert view.lens.size is not None
        return np.zeros((view.lens.size[1], view.lens.size[0]), np.float16)
    depth = read_depth(view) * np.float32(scale)
    return np.where(depth < _LARGEST_DEPTH, depth, 0.0).astype(np.float16)


def load_pixels(views: Sequence[View], *, channels: int) -> UInt8[Tensor, "pixels channels"]:
    """Decodes all images, in parallel, straight to their place.

    Raises:
        ImageFileError: if an image cannot be decoded.
    """
    starts = first_pixels(views).tolist()
    pixels = np.empty((starts[-1], channels), np.uint8)

    def place(i: int, view: View) -> None:
        pixels[starts[i] : starts[i + 1]] = read_pixels(view, channels).reshape(-1, channels)

    in_parallel(views, place)
    return torch.from_numpy(pixels)


def load_depth(views: Sequence[View], *, scale: float) -> Float[Tensor, "pixels"]:
    """Decodes the depth maps of all images, in parallel, see `read_scene_depth`.

    Raises:
        ImageFileError, FormatError: if a depth map cannot be decoded.
    """
    starts = first_pixels(views).tolist()
    depth = np.empty(starts[-1], np.float16)

    def place(i: int, view: View) -> None:
        depth[starts[i] : starts[i + 1]] = read_scene_depth(view, scale).ravel()

    in_parallel(views, place)
    return torch.from_numpy(depth)


def in_parallel(views: Sequence[View], work: Callable[[int, View], None], *, workers: int | None = None) -> None:
    """Does the work for every view and its number, so many at a time; the first fault by number is raised."""
    with large_images_allowed(), ThreadPoolExecutor(max_workers=workers or min(32, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(work, i, view) for i, view in enumerate(views)]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
