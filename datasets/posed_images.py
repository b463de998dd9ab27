"""Posed photographs in memory: one flat tensor of bytes for their pixels, and the cameras that saw them."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from ..render.cameras import Cameras
from ..render.similarity import Similarity
from .image_files import reduced_pixels
from .pixel_pool import PixelPool
from .pixel_runs import PixelRuns
from .pixel_store import read_pixels, read_scene_depth


@dataclass(frozen=True)
class PixelBatch:
    """Pixels drawn at random, with where they were seen."""

    camera_indices: Int[Tensor, "n"]
    pixels: Float[Tensor, "n 2"]
    """Positions in the image, at pixel centres."""
    colors: UInt8[Tensor, "n channels"]
    depth: Float[Tensor, "n"] | None = None
    """Along the camera's optical axis, scene units, 0 where it is not known; None where no image has a depth map."""


@dataclass
class PosedImages:
    """Images of any sizes with their cameras."""

    cameras: Cameras
    """In scene coordinates."""
    names: tuple[str, ...]
    """File names relative to the data folder."""
    pixels: UInt8[Tensor, "pixels channels"]
    """All images one after the other, each row by row: RGB or RGBA with straight alpha; or the colours of `pool`."""
    first_pixel: Int[Tensor, "starts"]
    """The pixels of image i are `pixels[first_pixel[i]:first_pixel[i + 1]]`; one entry more than images."""
    kept: PixelRuns | None = None
    """The pixels that count, by their places in `pixels`; None: all. The others are neither drawn nor scored."""
    depth: Float[Tensor, "pixels"] | None = None
    """Depth of `pixels` along their cameras' optical axes, scene units in half precision; 0 where it is not known."""
    pool: PixelPool | None = None
    """The pixels to draw from, where they do not all fit into memory; images are then decoded when asked for."""
    _turn: int = -1

    def __len__(self) -> int:
        return len(self.names)

    def image(self, i: int, *, reduce: int = 1) -> UInt8[Tensor, "height width channels"]:
        """One image: a view of the pixels, or decoded now.

        Args:
            i: Which.
            reduce: Averages squares of this side to one pixel, as `read_image` does.

        Raises:
            ImageFileError: if it is decoded now, and its file is no longer what it was.
        """
        if not -len(self) <= i < len(self):
            raise IndexError(f"image {i} of {len(self)}")
        i %= len(self)
        if self.pool is not None:
            view = self.pool.views[i]
            view = replace(view, reduce=view.reduce * reduce)
            return torch.from_numpy(read_pixels(view, self.pixels.shape[1]).copy())
        width, height = self.cameras.sizes[i].tolist()
        pixels = self.pixels[int(self.first_pixel[i]) : int(self.first_pixel[i + 1])].view(height, width, -1)
        return pixels if reduce == 1 else torch.from_numpy(reduced_pixels(pixels.numpy(), reduce).copy())

    def kept_in(self, i: int) -> Bool[Tensor, "height width"] | None:
        """Which pixels of one image count; None: all of all images."""
        if self.kept is None:
            return None
        first, last = int(self.first_pixel[i]), int(self.first_pixel[i + 1])
        width, height = self.cameras.sizes[i].tolist()
        return self.kept.within(first, last).view(height, width)

    def depth_in(self, i: int) -> Float[Tensor, "height width"] | None:
        """Depth of one image along its optical axis, 0 where it is not known; None where no image has a depth map."""
        if self.depth is None:
            return None
        if self.pool is not None:
            return torch.from_numpy(read_scene_depth(self.pool.views[i], self.pool.scale)).float()
        width, height = self.cameras.sizes[i].tolist()
        return self.depth[int(self.first_pixel[i]) : int(self.first_pixel[i + 1])].view(height, width).float()

    def sample(self, count: int, generator: torch.Generator) -> PixelBatch:
        """Draws pixels uniformly over all pixels that count of all images, with replacement."""
        if self.pool is not None:
            self.turn_over(max(self._turn, 0) * len(self.pool.places))
            chosen = torch.randint(len(self.pixels), (count,), generator=generator)
            places = self.pool.places.index_select(0, chosen)
        else:
            pixels = self.pixels if self.kept is None else self.kept
            chosen = torch.randint(len(pixels), (count,), generator=generator, device=self.pixels.device)
            places = chosen = chosen if self.kept is None else self.kept.places(chosen)
        camera_indices, within = self._locate(places)
        widths = self._widths if len(self._widths) == 1 else self._widths.index_select(0, camera_indices)
        rows = torch.div(within, widths, rounding_mode="floor")
        positions = torch.stack([within - rows * widths, rows], dim=-1).float().add_(0.5)
        depth = None if self.depth is None else self.depth.index_select(0, chosen).float()
        return PixelBatch(camera_indices, positions, self._gather(chosen), depth)

    def turn_over(self, drawn: int) -> None:
        """Chooses other pixels for the pool each time that as many were drawn, in all, as it holds."""
        if self.pool is None:
            return
        turn = drawn // max(len(self.pool.places), 1)
        if turn != self._turn:
            self.pool.fill(turn)
            self._turn = turn

    def _locate(self, chosen: Int[Tensor, "n"]) -> tuple[Int[Tensor, "n"], Int[Tensor, "n"]]:
        """Image and place within it of pixels that are counted through."""
        if len(self._widths) == 1:
            area = int(self.first_pixel[1])
            images = torch.div(chosen, area, rounding_mode="floor")
            return images, chosen - images * area
        images = torch.searchsorted(self.first_pixel, chosen, right=True) - 1
        return images, chosen - self.first_pixel.index_select(0, images)

    def _gather(self, chosen: Int[Tensor, "n"]) -> UInt8[Tensor, "n channels"]:
        if self.pixels.shape[1] != 4:
            return self.pixels.index_select(0, chosen)
        whole = self.pixels.view(torch.int32).index_select(0, chosen)  # one load a pixel rather than four
        return whole.view(torch.uint8)

    @cached_property
    def _widths(self) -> Int[Tensor, "images"]:
        """Widths of all images, or a single one where all have the same size."""
        sizes = self.cameras.sizes
        return sizes[: 1 if bool((sizes == sizes[:1]).all()) else None, 0].contiguous()


@dataclass
class PosedScene:
    """A capture, ready for training: photographs to learn from, photographs held out, and the frame of the scene."""

    name: str
    folder: Path
    format: str
    """blender, instant-ngp, nerfstudio, colmap, llff or synthetic."""
    train: PosedImages
    test: PosedImages
    split_rule: str
    """How the held-out images were chosen, e.g. `transforms_test.json` or `every 8th image by name`."""
    scene_from_world: Similarity
    """The user's world to the scene, whose region of interest is the unit cube [0, 1]³."""
    extent: int
    """The scene's box is the cube of this side (a power of two) around (0.5, 0.5, 0.5)."""
    near: float
    """Nothing is sampled closer to a camera than this, scene units."""
    notes: tuple[str, ...]
    """What the user should know, e.g. which listed images are not there."""
    background: Literal["none", "alpha"]
    """alpha: the images have transparency."""
