"""The pixels of many images in memory: all of them, or a random choice where they would not fit."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from .image_files import large_images_allowed, read_image
from .pixel_runs import PixelRuns
from .views import View

_PLACE_BYTES = 8
_DECODED_BYTES = 8  # per pixel, while a file is decoded and turned to RGBA
_FEWEST_PIXELS = 1 << 16


def default_memory_bytes() -> int:
    """Half of the machine's memory."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        return 4 * 2**30


def first_pixels(views: Sequence[View]) -> Int[Tensor, "starts"]:
    """Where each image begins among all pixels, and where the last one ends."""
    areas = torch.tensor([0, *(view.lens.size[0] * view.lens.size[1] for view in views if view.lens.size)])
    return areas.cumsum(0)


def is_transparent(view: View) -> bool:
    """Whether an image has a pixel that is not fully opaque."""
    return bool(read_image(view.path, view.name, channels=4)[:, :, 3].min() < 255)


def load_pixels(views: Sequence[View], *, channels: int) -> UInt8[Tensor, "pixels channels"]:
    """Decodes all images, in parallel, straight to their place.

    Raises:
        ImageFileError: if an image cannot be decoded.
    """
    starts = first_pixels(views).tolist()
    pixels = np.empty((starts[-1], channels), dtype=np.uint8)

    def place(i: int, image: np.ndarray) -> None:
        np.copyto(pixels[starts[i] : starts[i + 1]], image.reshape(-1, channels))

    decode_all(views, place, channels)
    return torch.from_numpy(pixels)


@dataclass(frozen=True)
class PixelPool:
    """A random choice of all pixels, every image in proportion to how many of its pixels count.

    Training on a choice of many millions is training on all of them, as long as no more are drawn than it holds; then
    another one is due.
    """

    views: tuple[View, ...]
    kept: PixelRuns | None
    """The pixels that count; None: all."""
    colors: UInt8[Tensor, "chosen channels"]
    places: Int[Tensor, "chosen"]
    """Where each chosen pixel lies among all pixels."""
    workers: int
    """How many files are decoded at a time."""

    @classmethod
    def planned(cls, views: Sequence[View], kept: PixelRuns | None, *, channels: int, memory_bytes: int) -> "PixelPool":
        """An empty pool that takes half of some memory, the other half being left to decoding."""
        largest = max(view.lens.size[0] * view.lens.size[1] * view.reduce**2 for view in views if view.lens.size)
        total = int(first_pixels(views)[-1]) if kept is None else len(kept)
        count = min(max(memory_bytes // 2 // (channels + _PLACE_BYTES), _FEWEST_PIXELS), total)
        workers = min(max(memory_bytes // 2 // (_DECODED_BYTES * largest), 1), os.cpu_count() or 1)
        colors, places = torch.zeros(count, channels, dtype=torch.uint8), torch.zeros(count, dtype=torch.long)
        return cls(tuple(views), kept, colors, places, workers)

    def fill(self, seed: int) -> None:
        """Chooses the pixels, anew for every seed, and decodes all images for them.

        Raises:
            ImageFileError: if an image cannot be decoded.
        """
        starts = first_pixels(self.views).numpy()
        # Places of pixels that count, in rising order, so that those of an image follow one another.
        bounds = starts if self.kept is None else self._kept_before(starts)
        shares = np.round(bounds / max(bounds[-1], 1) * len(self.places)).astype(np.int64)
        places, colors = self.places.numpy(), self.colors.numpy()

        def place(i: int, image: np.ndarray) -> None:
            span = slice(shares[i], shares[i + 1])
            generator = np.random.default_rng((seed, i))
            numbers = np.sort(
                generator.integers(bounds[i], max(bounds[i + 1], bounds[i] + 1), shares[i + 1] - shares[i])
            )
            if self.kept is not None:
                numbers = self.kept.places(torch.from_numpy(numbers)).numpy()
            places[span] = numbers
            colors[span] = image.reshape(-1, colors.shape[1])[numbers - starts[i]]

        decode_all(self.views, place, colors.shape[1], workers=self.workers)

    def _kept_before(self, starts: np.ndarray) -> np.ndarray:
        """How many pixels that count lie before each image, and in all."""
        assert self.kept is not None
        begin = (self.kept.before[:-1] + self.kept.shift).numpy()
        runs = np.searchsorted(begin, starts, side="left")  # no run reaches from one image into the next
        return self.kept.before.numpy()[runs]


def decode_all(
    views: Sequence[View], place: Callable[[int, np.ndarray], None], channels: int, *, workers: int | None = None
) -> None:
    """Decodes images in parallel and hands each one over with its number; the first fault by number is raised."""

    def work(i: int) -> None:
        view = views[i]
        image = read_image(view.path, view.name, channels=channels, reduce=view.reduce)
        place(i, image)

    with large_images_allowed(), ThreadPoolExecutor(max_workers=workers or min(32, os.cpu_count() or 1)) as pool:
        futures = [pool.submit(work, i) for i in range(len(views))]
        try:
            for future in futures:
                future.result()
        finally:
            for future in futures:
                future.cancel()
