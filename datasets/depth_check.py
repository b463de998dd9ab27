"""What is said of depth maps before any training: whose they are, what they know, and whether their unit fits."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from .colmap import find_colmap_model
from .colmap_files import read_colmap_model
from .depth_maps import read_depth
from .errors import DataError
from .json_document import JsonObject
from .listed_files import inside
from .ply_points import read_ply_points
from .views import Landmarks, View, cameras_of

_LOOKED_AT = 8  # depth maps that the notes are made from
_FEWEST_POINTS = 20
_VISIBLE_SHARE = 0.25  # of the landmarks in front of a camera, at least, are not hidden behind something
_LARGEST_FACTOR = 1.25  # between a depth map and landmarks in the same unit


def depth_notes(views: Sequence[View], landmarks: Landmarks | None) -> list[str]:
    """Says which photos have depth maps, how they are read, and whether their unit is that of the poses.

    Args:
        views: With known sizes.
        landmarks: Points that the maps are held against, where the data has some.

    Raises:
        DataError: if a depth map cannot be decoded.
    """
    with_depth = [view for view in views if view.depth]
    if not with_depth:
        return []
    rules = Counter((view.depth.source, view.depth.unit) for view in with_depth if view.depth)
    told = ", and ".join(
        f"{count} of {len(views)} photos, a stored 1 is {unit:g} units of the poses ({source})"
        for (source, unit), count in rules.items()
    )
    chosen = [with_depth[i] for i in np.linspace(0, len(with_depth) - 1, _LOOKED_AT).round().astype(int)]
    maps = {view.name: (view, read_depth(view)) for view in chosen}
    known = np.mean([(depth > 0.0).mean() for _, depth in maps.values()])
    if not known and not any((read_depth(view) > 0.0).any() for view in with_depth):
        return [f"depth maps: {told}; they are of no use, all their pixels are 0, which is unknown: write them again"]
    notes = [f"depth maps: {told}; z along the optical axis; about {100.0 * known:.0f} % of their pixels are known"]
    return notes + _unit_notes(list(maps.values()), landmarks)


def _unit_notes(maps: Sequence[tuple[View, np.ndarray]], landmarks: Landmarks | None) -> list[str]:
    if landmarks is None:
        return ["the unit of the depth maps was not checked: there are no sparse points to hold them against"]
    ratios = np.concatenate([_ratios(view, depth, landmarks.points) for view, depth in maps])
    if len(ratios) < _FEWEST_POINTS:
        return [f"the unit of the depth maps was not checked: they know too few of the points of {landmarks.source}"]
    factor = float(np.quantile(ratios, 1.0 - _VISIBLE_SHARE))
    if 1.0 / _LARGEST_FACTOR < factor < _LARGEST_FACTOR:
        return []
    return [
        f"the depth maps seem to be in another unit than the poses: what they show is {factor:.3g} times as far away "
        f"as the points of {landmarks.source} ({len(ratios)} points in {len(maps)} photos); divide them by that, or "
        "train without them (--optimizer.depth 0)"
    ]


def _ratios(view: View, depth: np.ndarray, points: Float64[np.ndarray, "points 3"]) -> Float64[np.ndarray, "found"]:
    """Depth by the map over depth by the point, for the points that the map knows; those hidden give less than 1."""
    indices = torch.zeros(len(points), dtype=torch.int64)
    pixels, z = cameras_of([view]).project(torch.from_numpy(points), indices)
    x, y, far = pixels[:, 0].numpy(), pixels[:, 1].numpy(), z.numpy()
    height, width = depth.shape
    seen = (far > 0.0) & (x >= 0.0) & (x < width) & (y >= 0.0) & (y < height)
    found = depth[y[seen].astype(int), x[seen].astype(int)]
    return (found.astype(np.float64) / far[seen])[found > 0.0]


def landmarks_of(document: JsonObject, folder: Path) -> Landmarks | None:
    """The sparse points of a nerfstudio capture: its `ply_file_path`, or else the COLMAP model that it was made from.

    Points that cannot be read are no points: nothing but a check depends on them.
    """
    try:
        name = document.text("ply_file_path")
        if name and (path := inside(folder, name, document.where)).is_file():
            return Landmarks(read_ply_points(path), name)
        return _colmap_landmarks(document, folder)
    except DataError:
        return None


def _colmap_landmarks(document: JsonObject, folder: Path) -> Landmarks | None:
    """The points of a COLMAP model in the data folder, brought to the poses by `applied_transform` and its scale."""
    model = find_colmap_model(folder)
    if model is None or "applied_transform" not in document:
        return None
    matrix, scale = document.matrix("applied_transform"), document.number("applied_scale", above=0.0) or 1.0
    if matrix.shape not in ((3, 4), (4, 4)):
        return None
    points = read_colmap_model(folder / model.name, model.ending).points
    return Landmarks(scale * (points @ matrix[:3, :3].T + matrix[:3, 3]), f"{model.name}/points3D{model.ending}")
