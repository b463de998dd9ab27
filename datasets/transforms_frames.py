"""The frames of a `transforms*.json`: what Blender's, instant-ngp's and nerfstudio's files have in common."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .depth_maps import depth_of_frame
from .errors import DataError, FormatError
from .json_document import JsonObject
from .listed_files import find_image, inside, relative_name, smaller_copy
from .masks import mask_of_frame
from .poses import checked_pose, opencv_from_opengl
from .views import Part, Report, View, ViewLens

_FISHEYE_MODELS = ("OPENCV_FISHEYE", "FISHEYE")
_PERSPECTIVE_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "PERSPECTIVE")
_OTHER_LENSES = ("ftheta_p0", "ftheta", "latlong", "equirectangular", "orthographic")


@dataclass(frozen=True)
class Frames:
    """The frames of one file."""

    views: tuple[View, ...]
    missing: tuple[str, ...]
    """Listed files that are not there."""
    total: int


def read_frames(
    document: JsonObject, folder: Path, report: Report, *, part: Part | None = None, downscale: int = 1
) -> Frames:
    """Reads all frames of a document; a frame that is faulty goes to `report`, a missing file is counted."""
    views: list[View] = []
    missing: list[str] = []
    entries = document.objects("frames", "frame")
    for entry in entries:
        try:
            found = _read_frame(entry, document, folder, part, downscale)
        except DataError as error:
            report(error)
            continue
        if isinstance(found, str):
            missing.append(found)
        else:
            views.append(found)
    return Frames(tuple(views), tuple(missing), len(entries))


def _read_frame(entry: JsonObject, document: JsonObject, folder: Path, part: Part | None, downscale: int) -> View | str:
    """A view, or the name of the file that is not there."""
    listed = entry.text("file_path")
    if listed is None:
        raise entry.wrong("file_path", "the path of an image")
    path = find_image(inside(folder, listed, entry.where))
    if path is None:
        return listed
    path = inside(folder, str(path.relative_to(folder)), entry.where)  # with its ending it may be a link to elsewhere
    pose = opencv_from_opengl(checked_pose(entry.matrix("transform_matrix"), f"{entry.where} ({listed})"))
    lens = read_lens(entry, document)
    name = relative_name(path, folder)
    smaller = smaller_copy(folder, path, downscale)
    reduce = 1 if smaller else downscale
    mask, depth = mask_of_frame(entry, folder, path), depth_of_frame(entry, document, folder)
    return View(name, smaller or path, pose, lens, part, reduce, mask, depth)


def read_lens(entry: JsonObject, document: JsonObject) -> ViewLens:
    """The intrinsics of a frame: its own where it has any, else those of the document, key by key."""
    merged = JsonObject({**document.values, **entry.values}, entry.where)
    fisheye, model = _lens_kind(merged)
    focal, angles = _focal(entry)
    if focal is None and angles is None:
        focal, angles = _focal(document)
    if focal is None and angles is None:
        raise FormatError(
            f"{entry.where}: expected a focal length ('fl_x' in pixels or 'camera_angle_x' in radians), found none; "
            "add it to the frame or to the top of the file"
        )
    width, height = merged.side("w"), merged.side("h")
    size = (width, height) if width and height else None
    distortion = tuple(merged.number(key) or 0.0 for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
    if fisheye:
        distortion = (*distortion[:4], 0.0, 0.0)
    center = (merged.number("cx"), merged.number("cy"))
    return ViewLens(focal, angles, center, distortion, fisheye, size, model)


def _focal(source: JsonObject) -> tuple[tuple[float, float] | None, tuple[float, float | None] | None]:
    """Focal lengths, or else angles of view, as one object states them."""
    fx, fy = source.number("fl_x", above=0.0), source.number("fl_y", above=0.0)
    if fx is not None or fy is not None:
        first = fx if fx is not None else fy
        second = fy if fy is not None else fx
        assert first is not None
        assert second is not None
        return (first, second), None
    angles = [source.number(f"camera_angle_{axis}", above=0.0, below=math.pi) for axis in "xy"]
    degrees = [source.number(f"{axis}_fov", above=0.0, below=180.0) for axis in "xy"]
    x, y = (a if a is not None or d is None else math.radians(d) for a, d in zip(angles, degrees, strict=True))
    return (None, None) if x is None else (None, (x, y))


def _lens_kind(source: JsonObject) -> tuple[bool, str]:
    """Whether the lens is a fisheye, and what to call its model."""
    other = next(_unreadable_lenses(source), None)
    if other:
        raise FormatError(
            f"{source.where}: the lens '{other}' is not read here; undistort the images to a pinhole camera"
        )
    model = (source.text("camera_model") or "").upper()
    if model and model not in (*_FISHEYE_MODELS, *_PERSPECTIVE_MODELS):
        supported = ", ".join((*_PERSPECTIVE_MODELS[:-1], _FISHEYE_MODELS[0]))
        raise FormatError(
            f"{source.where}: expected a 'camera_model' out of {supported}, found {source.values['camera_model']!r}; "
            "undistort the images to a pinhole camera"
        )
    fisheye = source.flag("is_fisheye") or model in _FISHEYE_MODELS
    distorted = any(source.number(key) for key in ("k1", "k2", "k3", "k4", "p1", "p2"))
    return fisheye, "OPENCV_FISHEYE" if fisheye else model or ("OPENCV" if distorted else "PINHOLE")


def _unreadable_lenses(source: JsonObject) -> Iterator[str]:
    for key in _OTHER_LENSES:
        if source.values.get(key) not in (None, False):
            yield key
