"""A random choice of the pixels of photos that do not fit into memory all together."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from .pixel_runs import PixelRuns
from .pixel_store import DEPTH_BYTES, first_pixels, in_parallel, read_pixels, read_scene_depth
from .views import View

_PLACE_BYTES = 8
_DECODED_BYTES = 8  # per pixel, while a file is decoded and turned to RGBA
_FEWEST_PIXELS = 1 << 16


@dataclass(frozen=True)
class PixelPool:
    """A random choice of all pixels, every image in proportion to how many of its pixels count.

    Training on a choice of many millions is training on all of them, as long as no more are drawn than it holds; then
    another one is due.
    """

    views: tuple[View, ...]
    kept: PixelRuns | None
    """The pixels that count; None: all."""
    scale: float
    """Scene units per unit of the poses, for depth."""
    colors: UInt8[Tensor, "chosen channels"]
    depth: Float[Tensor, "chosen"] | None
    """Scene units in half precision, 0 where it is not known; None where no image has a depth map."""
    places: Int[Tensor, "chosen"]
    """Where each chosen pixel lies among all pixels."""
    workers: int
    """How many files are decoded at a time."""

    @classmethod
    def planned(
        cls, views: Sequence[View], kept: PixelRuns | None, *, scale: float, channels: int, memory_bytes: int
    ) -> "PixelPool":
        """An empty pool that takes half of some memory, the other half being left to decoding."""
        largest = max(view.lens.size[0] * view.lens.size[1] * view.reduce**2 for view in views if view.lens.size)
        total = int(first_pixels(views)[-1]) if kept is None else len(kept)
        deep = any(view.depth is not None for view in views)
        size = channels + _PLACE_BYTES + deep * DEPTH_BYTES
        count = min(max(memory_bytes // 2 // size, _FEWEST_PIXELS), total)
        workers = min(max(memory_bytes // 2 // (_DECODED_BYTES * largest), 1), os.cpu_count() or 1)
        colors, places = torch.zeros(count, channels, dtype=torch.uint8), torch.zeros(count, dtype=torch.long)
        depth = torch.zeros(count, dtype=torch.float16) if deep else None
        return cls(tuple(views), kept, scale, colors, depth, places, workers)

    def fill(self, seed: int) -> None:
        """Chooses the pixels, anew for every seed, and decodes all images for them.

        Raises:
            ImageFileError, FormatError: if an image or a depth map cannot be decoded.
        """
        starts = first_pixels(self.views).numpy()
        # Pixels that count are numbered through, so that those of an image follow one another.
        bounds = starts if self.kept is None else self._kept_before(starts)
        shares = np.round(bounds / max(bounds[-1], 1) * len(self.places)).astype(np.int64)

        def choose(i: int, view: View) -> None:
            count, generator = shares[i + 1] - shares[i], np.random.default_rng((seed, i))
            numbers = np.sort(generator.integers(bounds[i], max(bounds[i + 1], bounds[i] + 1), count))
            places = numbers if self.kept is None else self.kept.places(torch.from_numpy(numbers)).numpy()
            self._place(slice(shares[i], shares[i + 1]), view, places, places - starts[i])

        in_parallel(self.views, choose, workers=self.workers)

    def _place(self, span: slice, view: View, places: np.ndarray, within: np.ndarray) -> None:
        channels = self.colors.shape[1]
        self.places.numpy()[span] = places
        self.colors.numpy()[span] = read_pixels(view, channels).reshape(-1, channels)[within]
        if self.depth is not None:
            self.depth.numpy()[span] = read_scene_depth(view, self.scale).ravel()[within]

    def _kept_before(self, starts: np.ndarray) -> np.ndarray:
        """How many pixels that count lie before each image, and in all."""
        assert self.kept is not None
        begin = (self.kept.before[:-1] + self.kept.shift).numpy()
        runs = np.searchsorted(begin, starts, side="left")  # no run reaches from one image into the next
        return self.kept.before.numpy()[runs]
