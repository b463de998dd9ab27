"""What every format's reader hands over before a pixel is decoded: posed views and what is known of the scene."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float64

from ..render.cameras import Cameras
from .errors import DataError, ImageSizeError
from .pixel_runs import PixelRuns
from .scene_frame import SceneFrame

Part = Literal["train", "test", "unused"]
Report = Callable[[DataError], None]
"""Takes note of a fault: raises it when loading, collects it when a folder is only inspected."""

_LARGEST_FACTOR = 16


@dataclass(frozen=True)
class ViewLens:
    """Intrinsics as a file states them; what depends on the image's size is filled in when that is known."""

    focal: tuple[float, float] | None = None
    """fx, fy in pixels; None where only angles are given."""
    angles: tuple[float, float | None] | None = None
    """Full horizontal and vertical angle of view; without the latter, pixels are square."""
    center: tuple[float | None, float | None] = (None, None)
    """Principal point in pixels; the middle of the image where None."""
    distortion: tuple[float, ...] = (0.0,) * 6
    fisheye: bool = False
    size: tuple[int, int] | None = None
    """Width and height that the numbers above refer to; that of the image file where None."""
    model: str = "PINHOLE"

    def at_size(self, size: tuple[int, int]) -> "ViewLens":
        """The same lens for an image of another size: pixel units grow with width and height."""
        width, height = self.size or size
        focal = self.focal or self._focal_from_angles(width, height)
        center = tuple(
            given if given is not None else 0.5 * side for given, side in zip(self.center, (width, height), strict=True)
        )
        x, y = size[0] / width, size[1] / height
        return replace(
            self, focal=(focal[0] * x, focal[1] * y), angles=None, center=(center[0] * x, center[1] * y), size=size
        )

    def reduced(self, factor: int) -> "ViewLens":
        """The lens of the image after squares of `factor` pixels became one; needs a known size."""
        assert self.focal is not None
        assert self.size is not None
        center = tuple(c / factor for c in self.center if c is not None)
        size = (self.size[0] // factor, self.size[1] // factor)
        return replace(
            self, focal=(self.focal[0] / factor, self.focal[1] / factor), center=(center[0], center[1]), size=size
        )

    def _focal_from_angles(self, width: int, height: int) -> tuple[float, float]:
        assert self.angles is not None
        fx = 0.5 * width / float(np.tan(0.5 * self.angles[0]))
        return fx, fx if self.angles[1] is None else 0.5 * height / float(np.tan(0.5 * self.angles[1]))


@dataclass(frozen=True)
class MaskFile:
    """An image of a photo's size that says which pixels to ignore."""

    path: Path
    name: str
    """Relative to the data folder."""
    ignored: Literal["black", "white"]
    source: str
    """Whose convention it follows, e.g. `nerfstudio mask_path`."""


@dataclass(frozen=True)
class DepthFile:
    """An array of a photo's size that says how far what it shows is away, along the camera's optical axis."""

    path: Path
    name: str
    """Relative to the data folder."""
    unit: float
    """What a stored 1 means, in units of the poses; 0 is unknown."""
    source: str
    """Whose convention it follows, e.g. `nerfstudio depth_file_path`."""

    @property
    def key(self) -> str:
        """Under which a frame lists it."""
        return self.source.split()[-1]


@dataclass(frozen=True)
class Landmarks:
    """Points of the scene that are known from elsewhere: depth maps are held against them."""

    points: Float64[np.ndarray, "points 3"]
    """World coordinates."""
    source: str
    """The file they come from."""


@dataclass(frozen=True)
class View:
    """One posed photograph whose file is there."""

    name: str
    """Relative to the data folder."""
    path: Path
    world_from_camera: Float64[np.ndarray, "3 4"]
    """OpenCV axes."""
    lens: ViewLens
    part: Part | None = None
    """Which part of the format's own split it belongs to; None where the format has no split."""
    reduce: int = 1
    """Squares of this side are averaged to a pixel on loading."""
    mask: MaskFile | None = None
    depth: DepthFile | None = None
    file_size: tuple[int, int] | None = None
    """Width and height of the image file, once they are known."""
    kept: PixelRuns | None = None
    """The pixels that the mask leaves, once it was read; None: all."""


@dataclass(frozen=True)
class Capture:
    """All that a format's reader found in a folder."""

    views: tuple[View, ...]
    split_rule: str | None = None
    """Where the parts of the views come from; None: no split, every nth view is held out."""
    frame: SceneFrame | None = None
    """None: to be chosen from the cameras and points."""
    points: Float64[np.ndarray, "points 3"] = field(default_factory=lambda: np.zeros((0, 3)))
    nearest: float | None = None
    """Distance of the nearest thing that a camera saw, world units."""
    landmarks: Landmarks | None = None
    """Given where there are depth maps to be held against them."""
    notes: tuple[str, ...] = ()


def cameras_of(views: Sequence[View]) -> Cameras:
    """Cameras of views whose sizes are known, in world coordinates and float64."""
    lenses = [view.lens for view in views]
    double = torch.float64
    return Cameras(
        torch.from_numpy(np.stack([view.world_from_camera for view in views])),
        torch.tensor([lens.focal for lens in lenses], dtype=double),
        torch.tensor([lens.center for lens in lenses], dtype=double),
        torch.tensor([lens.distortion for lens in lenses], dtype=double),
        torch.tensor([lens.fisheye for lens in lenses]),
        torch.tensor([lens.size for lens in lenses]),
    )


def require_photo_size(view: View, size: tuple[int, int], name: str, found: tuple[int, int], kind: str) -> None:
    """Holds a file beside a photo to the size of that photo's file, or to the one that its camera states.

    Args:
        size: Width and height of the photo's file.
        name, found, kind: The other file's name, its size, and what it is, for the message: mask or depth map.

    Raises:
        ImageSizeError: if it has another size.
    """
    if found not in (size, view.lens.size):
        raise ImageSizeError(
            f"{name}: expected {size[0]}x{size[1]} pixels as {view.name} has, whose {kind} it is, "
            f"found {found[0]}x{found[1]}; make the {kind} in the size of its photo"
        )


def lens_for_image(view: View, size: tuple[int, int], *, turned: bool = False) -> tuple[ViewLens, int]:
    """Fits a view's lens to the size of its image file.

    Returns:
        The lens in the file's pixels, and by what whole factor the file is smaller than the camera says.

    Raises:
        ImageSizeError: if the file is neither of the stated size nor smaller by a whole factor.
    """
    expected = view.lens.size
    if expected is None or expected == size:
        return view.lens.at_size(size), 1
    factor = round(expected[0] / size[0])
    if 1 < factor <= _LARGEST_FACTOR and all(abs(e / factor - s) < 1.0 for e, s in zip(expected, size, strict=True)):
        return view.lens.at_size(size), factor
    hint = "; its EXIF orientation asks for a quarter turn, which the poses do not know of" if turned else ""
    raise ImageSizeError(
        f"{view.name}: expected {expected[0]}x{expected[1]} pixels (its camera), found {size[0]}x{size[1]}{hint}; "
        "use the images that the poses were made from"
    )
