"""Depth maps: how far away every pixel of a photo is, by the conventions of nerfstudio and instant-ngp.

Both store z, the distance along the camera's optical axis, and not the distance along the pixel's ray.
"""

import threading
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from .errors import FormatError
from .image_files import read_numbers, read_numbers_size
from .json_document import JsonObject
from .listed_files import listed_companion, relative_name
from .views import DepthFile, View, require_photo_size

_MILLIMETRE = 0.001
_one_at_a_time = threading.Lock()  # numpy parses headers by `ast`, which is not safe under threads in Python 3.11
_NERFSTUDIO, _INSTANT_NGP = "nerfstudio depth_file_path", "instant-ngp depth_path"


def depth_of_frame(entry: JsonObject, document: JsonObject, folder: Path) -> DepthFile | None:
    """The depth map of a frame of a `transforms*.json`; None if it lists none, or one whose unit is not known.

    nerfstudio's `depth_file_path` counts in thousandths of the poses' unit, millimetres where poses are in metres.
    instant-ngp's `depth_path` counts in `integer_depth_scale`, and `enable_depth_loading` may switch it off.

    Raises:
        FormatError: if the file is not there, or the frame lists two that differ.
    """
    found: list[DepthFile] = []
    path = listed_companion(entry, "depth_file_path", folder, "depth map")
    if path is not None:
        found.append(DepthFile(path, relative_name(path, folder), _MILLIMETRE, _NERFSTUDIO))
    if "depth_path" in entry and _off_because(document) is None:
        path, unit = listed_companion(entry, "depth_path", folder, "depth map"), _integer_scale(document)
        assert path is not None
        assert unit is not None
        found.append(DepthFile(path, relative_name(path, folder), unit, _INSTANT_NGP))
    if len({(depth.path, depth.unit) for depth in found}) > 1:
        told = " and ".join(f"{depth.name} ({depth.source}, a stored 1 is {depth.unit:g})" for depth in found)
        raise FormatError(f"{entry.where}: expected one depth map, found {told}; remove one of the keys")
    return found[0] if found else None


def _integer_scale(document: JsonObject) -> float | None:
    return document.number("integer_depth_scale", above=0.0)


def _off_because(document: JsonObject) -> str | None:
    """Why instant-ngp's depth maps are not used; None if they are."""
    if "enable_depth_loading" in document and not document.flag("enable_depth_loading"):
        return "'enable_depth_loading' is false"
    if _integer_scale(document) is None:
        return "'integer_depth_scale', what a stored 1 means, is not given"
    return None


def unused_depth_notes(document: JsonObject) -> list[str]:
    """Says that depth maps are listed and not used; empty if they are, or there are none."""
    count = sum("depth_path" in entry for entry in document.objects("frames", "frame"))
    reason = _off_because(document)
    return [f"depth maps ('depth_path' of {count} frames) are not used: {reason}"] if count and reason else []


def require_depth_size(view: View, size: tuple[int, int]) -> None:
    """Holds a photo's depth map, where it has one, to the size of the photo's file.

    Raises:
        ImageSizeError: if it has another one.
        ImageFileError: if it is no image of 16 or 32 bits per pixel.
        FormatError: if it is an array of another kind.
    """
    if view.depth is not None:
        height, width = _open_array(view.depth).shape if _is_array(view.depth) else _image_shape(view.depth)
        require_photo_size(view, size, view.depth.name, (width, height), "depth map")


def _is_array(depth: DepthFile) -> bool:
    return depth.path.suffix.lower() == ".npy"


def _image_shape(depth: DepthFile) -> tuple[int, int]:
    width, height = read_numbers_size(depth.path, depth.name)
    return height, width


def _open_array(depth: DepthFile) -> np.ndarray:
    """An array that numpy has saved, mapped from disk."""
    try:
        with _one_at_a_time:
            array = np.load(depth.path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError, SyntaxError) as error:
        raise FormatError(f"{depth.name}: expected an array that numpy.save wrote, found: {error}") from error
    if isinstance(array, np.ndarray) and array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind not in "fiu":
        found = f"{array.dtype} of shape {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
        raise FormatError(f"{depth.name}: expected a number for every row and column of its photo, found {found}")
    return array


def read_depth(view: View) -> Float32[np.ndarray, "height width"]:
    """A photo's depth map at the size that the photo is read at: z in units of the poses, 0 where it is not known.

    A smaller size takes the values next to the pixels' centres: the mean of what is near and far is neither.

    Raises:
        ImageFileError, FormatError: if it cannot be decoded.
    """
    assert view.depth is not None
    assert view.file_size is not None
    assert view.lens.size is not None
    if _is_array(view.depth):
        numbers = np.asarray(_open_array(view.depth), dtype=np.float32)
    else:
        numbers = read_numbers(view.depth.path, view.depth.name)
    numbers = _nearest(numbers, view.file_size)
    width, height = view.lens.size
    numbers = _nearest(numbers[: height * view.reduce, : width * view.reduce], view.lens.size)
    return np.where(np.isfinite(numbers) & (numbers > 0.0), numbers * np.float32(view.depth.unit), np.float32(0.0))


def _nearest(values: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    for axis, target in enumerate(reversed(size)):
        if values.shape[axis] != target:
            values = values.take((2 * np.arange(target) + 1) * values.shape[axis] // (2 * target), axis)
    return values
