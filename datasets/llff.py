"""LLFF's `poses_bounds.npy`: pose, image size, focal length and depth bounds of every image in `images`."""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from .errors import DataError, FormatError
from .image_files import IMAGE_ENDINGS
from .listed_files import inside, relative_name, smaller_copy
from .masks import mask_in_folder, strange_masks_note
from .poses import checked_pose
from .views import Capture, Report, View, ViewLens

_FILE = "poses_bounds.npy"
_OPENCV_FROM_LLFF = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])  # down, right, back


def read_llff(folder: Path, report: Report, *, downscale: int = 1) -> Capture:
    """Reads an LLFF capture: the rows belong to the images in `images`, sorted by name.

    Raises:
        DataError: if the array has another shape, or another number of rows than there are images, unless `report`
            collects the fault.
    """
    try:
        rows = _read_rows(folder)
        images = _images(folder, len(rows))
    except DataError as error:
        report(error)
        return Capture(())
    views: list[View] = []
    for i, (row, path) in enumerate(zip(rows, images, strict=True)):
        try:
            views.append(_read_view(row, path, folder, f"{_FILE}, row {i} ({path.name})", downscale))
        except DataError as error:
            report(error)
    bounds = rows[:, 15]
    nearest = float(bounds.min()) if len(bounds) and np.isfinite(bounds).all() and bounds.min() > 0.0 else None
    return Capture(tuple(views), nearest=nearest, notes=tuple(strange_masks_note(folder, views)))


def _read_rows(folder: Path) -> Float64[np.ndarray, "images 17"]:
    try:
        rows = np.load(folder / _FILE, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise FormatError(f"{_FILE}: expected an array that numpy.save wrote, found: {error}") from error
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.shape[1] != 17 or rows.dtype.kind not in "fiu":
        shape = f"{rows.dtype} of shape {rows.shape}" if isinstance(rows, np.ndarray) else type(rows).__name__
        raise FormatError(f"{_FILE}: expected N rows of 17 numbers (a 3x5 pose and two bounds), found {shape}")
    return np.array(rows, dtype=np.float64)


def _images(folder: Path, count: int) -> list[Path]:
    source = folder / "images"
    if not source.is_dir():
        raise FormatError(f"{_FILE}: expected the images in {source}, which is not there")
    found = sorted(
        inside(folder, f"images/{path.name}", _FILE)
        for path in source.iterdir()
        if path.suffix.lower() in IMAGE_ENDINGS
    )
    if len(found) != count:
        raise FormatError(
            f"{_FILE}: expected one row per image, found {count} rows and {len(found)} images in {source}; "
            "use the images that the poses were made from, and no others"
        )
    return found


def _read_view(row: Float64[np.ndarray, "17"], path: Path, folder: Path, where: str, downscale: int) -> View:
    numbers = row[:15].reshape(3, 5)
    height, width, focal = (float(value) for value in numbers[:, 4])
    if not (np.isfinite([height, width, focal]).all() and min(height, width, focal) > 0.0):
        raise FormatError(
            f"{where}: expected height, width and focal length above zero, found {numbers[:, 4].tolist()}"
        )
    pose = np.concatenate([numbers[:, :3] @ _OPENCV_FROM_LLFF, numbers[:, 3:4]], axis=1)
    lens = ViewLens((focal, focal), size=(round(width), round(height)), model="SIMPLE_PINHOLE")
    smaller = smaller_copy(folder, path, downscale)
    name, reduce = relative_name(path, folder), 1 if smaller else downscale
    mask = mask_in_folder(folder, path.name, where)
    return View(name, smaller or path, checked_pose(pose, where), lens, reduce=reduce, mask=mask)
