"""Captures that COLMAP has posed: `sparse/0` (or `sparse`) with the photographs in `images`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from ..render.camera_models import intrinsics_from_colmap
from .colmap_files import ColmapCamera, ColmapImage, ColmapModel, read_colmap_model
from .errors import DataError, FormatError, PoseError
from .listed_files import find_image, inside, missing_note, relative_name, require_images, smaller_copy
from .masks import mask_in_folder, strange_masks_note
from .poses import checked_pose
from .views import Capture, Report, View, ViewLens

_MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", ".")
_IMAGE_FOLDERS = ("images", "input", ".")
_NEAREST_SHARE = 0.01  # share of an image's points that may be nearer: strays


@dataclass(frozen=True)
class ModelFolder:
    """Where a model lies, relative to the data folder, and how it is written."""

    name: str
    ending: str


def find_colmap_model(folder: Path) -> ModelFolder | None:
    """The first model folder, binary before text; None if there is none."""
    for name in _MODEL_FOLDERS:
        for ending in (".bin", ".txt"):
            if all((folder / name / f"{part}{ending}").is_file() for part in ("cameras", "images")):
                return ModelFolder(name, ending)
    return None


def read_colmap(folder: Path, report: Report, *, downscale: int = 1) -> Capture:
    """Reads a COLMAP capture.

    Raises:
        DataError: if a file is not what it should be, unless `report` collects the fault.
    """
    found = find_colmap_model(folder)
    assert found is not None
    source = folder / found.name
    missing: list[str] = []
    views: list[View] = []
    try:
        inside(folder, f"{found.name}/cameras{found.ending}", found.name)
        model = read_colmap_model(source, found.ending)
        lenses = {
            key: _read_lens(camera, f"cameras{found.ending}, camera {key}") for key, camera in model.cameras.items()
        }
    except DataError as error:
        report(error)
        return Capture(())
    file = f"images{found.ending}"
    for image in sorted(model.images, key=lambda image: image.name):
        try:
            view = _read_view(image, lenses, folder, file, downscale)
        except DataError as error:
            report(error)
            continue
        if view is None:
            missing.append(image.name)
        else:
            views.append(view)
    try:
        require_images(len(views), len(model.images), missing, file)
    except DataError as error:
        report(error)
    notes = [missing_note(missing, len(model.images), file)] if missing else []
    notes += [*_other_models(folder, found), *strange_masks_note(folder, views)]
    points = model.points[np.isfinite(model.points).all(axis=1)]
    return Capture(tuple(views), points=points, nearest=_nearest(model), notes=tuple(notes))


def pose_of(image: ColmapImage, where: str) -> Float64[np.ndarray, "3 4"]:
    """The pose `world_from_camera` of a COLMAP image, which states the opposite.

    Raises:
        PoseError: if a number is not finite, or the quaternion is zero.
    """
    quaternion = np.array(image.quaternion)
    translation = np.array(image.translation)
    length = float(np.linalg.norm(quaternion))
    if not (np.isfinite(length) and np.isfinite(translation).all()):
        raise PoseError(f"{where}: expected finite numbers in the pose, found NaN or infinity; remove the image")
    if abs(length - 1.0) > 0.1:
        raise PoseError(f"{where}: expected a quaternion of length 1 as rotation, found length {length:g}")
    w, x, y, z = quaternion / length
    camera_from_world = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    pose = np.concatenate([camera_from_world.T, -(camera_from_world.T @ translation)[:, None]], axis=1)
    return checked_pose(pose, where)


def _read_lens(camera: ColmapCamera, where: str) -> ViewLens:
    try:
        lens = intrinsics_from_colmap(camera.model, camera.params)
    except ValueError as error:
        raise FormatError(f"{where}: {error}") from error
    if min(camera.size) <= 0:
        raise FormatError(f"{where}: expected a width and height above zero, found {camera.size[0]}x{camera.size[1]}")
    return ViewLens(lens.focal, None, lens.center, lens.distortion, lens.fisheye, camera.size, camera.model)


def _read_view(image: ColmapImage, lenses: dict[int, ViewLens], folder: Path, file: str, downscale: int) -> View | None:
    """A view; None if its image is not there."""
    where = f"{file}, {image.name}"
    if image.camera_id not in lenses:
        known = ", ".join(map(str, sorted(lenses)[:20])) or "none"
        raise FormatError(
            f"{where}: expected one of the cameras of the model ({known}), found camera {image.camera_id}"
        )
    candidates = [inside(folder / name, image.name, where) for name in _IMAGE_FOLDERS if (folder / name).is_dir()]
    path = next((found for candidate in candidates if (found := find_image(candidate))), None)
    smaller = smaller_copy(folder, inside(folder, f"images/{image.name}", where), downscale)
    if path is None and smaller is None:
        return None
    name = relative_name(path or folder / "images" / image.name, folder)
    inside(folder, name, where)
    mask = mask_in_folder(folder, image.name, where)
    pose, lens = pose_of(image, where), lenses[image.camera_id]
    return View(name, smaller or path or folder, pose, lens, reduce=1 if smaller else downscale, mask=mask)


def _other_models(folder: Path, taken: ModelFolder) -> Sequence[str]:
    others = [path.name for path in (folder / "sparse").glob("[0-9]*") if path.is_dir() and taken.name == "sparse/0"]
    others = sorted(name for name in others if name != "0")
    return [f"sparse/0 is used; other models are not: {', '.join(others)}"] if others else []


def _nearest(model: ColmapModel) -> float | None:
    """Depth of the nearest point that an image shows, strays left out; None without points."""
    if not len(model.points):
        return None
    order = np.argsort(model.point_ids)
    ids, points = model.point_ids[order], model.points[order]
    nearest: list[float] = []
    for image in model.images:
        at = np.searchsorted(ids, image.point_ids).clip(max=len(ids) - 1)
        seen = points[at[ids[at] == image.point_ids]]
        try:
            pose = pose_of(image, image.name)
        except PoseError:
            continue
        depths = (seen - pose[:, 3]) @ pose[:, 2]
        depths = depths[depths > 0.0]
        if len(depths):
            nearest.append(float(np.quantile(depths, _NEAREST_SHARE)))
    return min(nearest) if nearest else None
