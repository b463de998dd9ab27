"""Point clouds from files of any kind: what can be fitted is kept, and what was left out or looks wrong is said."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64
from torch import Tensor

from .errors import PointCloudError
from .point_formats import read_points
from .stored_points import StoredPoints

FEWEST_POINTS = 10
"""Distinct points of the smallest cloud; fewer say nothing about a surface."""

_LARGEST = 1e100  # of a coordinate: the squares of larger ones leave the range of numbers
_FLAT = 1e-6  # of a cloud's extent: what is thinner has no thickness
_FAR = 100.0  # times the distance from the middle within which nine in ten points lie
_MOST_WITHOUT_NORMAL = 0.1


@dataclass(frozen=True)
class PointCloud:
    """Distinct points in finite numbers, in the user's coordinates."""

    path: Path
    points: Float64[Tensor, "n 3"] = field(repr=False)
    normals: Float32[Tensor, "n 3"] | None = field(repr=False)
    """Unit vectors, as the file has them; None if it has none."""
    colors: Float32[Tensor, "n 3"] | None = field(repr=False)
    """In [0, 1]; None if the file has none."""
    notes: tuple[str, ...] = ()
    """What was done that the file alone does not say, a sentence each."""


def load_point_cloud(path: Path) -> PointCloud:
    """Reads a point cloud, or the vertices of a mesh: ply, xyz, txt, csv, npy, npz, obj, pcd, las, laz, off, stl, glb.

    Points that are NaN, infinite or beyond 1e100, or were there before, are left out and counted in a note. Normals get
    unit length; those of no length become their nearest neighbours', and if more than a tenth are such, none is used.
    Points that lie far from all others stay, and a note names them.

    Raises:
        MissingFileError: if there is no such file.
        FormatError: if it is empty, of a format that is not read, or damaged.
        MissingPackageError: if its format needs an optional package that is not installed.
        PointCloudError: if less than `FEWEST_POINTS` distinct points are left, or all lie at one place or on a line.
    """
    stored = read_points(path)
    notes = [*stored.notes]
    if stored.faces is not None and len(stored.faces):
        notes.append(
            f"it is a mesh: its {len(stored.points):,} vertices are taken as the cloud, and its {len(stored.faces):,} "
            "triangles are not used"
        )
    stored = _distinct(_finite(stored, path, notes), path, notes)
    near = _without_far(stored.points, notes)
    extents = _extents(stored.points[near])
    if extents[1] <= _FLAT * extents[0]:
        raise PointCloudError(
            f"{path}: all its {len(stored.points):,} points lie on a line; a surface needs points beside it"
        )
    if extents[2] <= _FLAT * extents[0]:
        notes.append("its points lie in a plane")
    normals = _unit_normals(stored, notes)
    return PointCloud(
        path=path,
        points=torch.from_numpy(stored.points),
        normals=None if normals is None else torch.from_numpy(normals),
        colors=None if stored.colors is None else torch.from_numpy(stored.colors),
        notes=tuple(notes),
    )


def _kept(stored: StoredPoints, kept: Bool[np.ndarray, "n"]) -> StoredPoints:
    parts = (stored.points, stored.normals, stored.colors)
    points, normals, colors = (None if part is None else part[kept] for part in parts)
    assert points is not None
    return StoredPoints(points, normals, colors)


def _finite(stored: StoredPoints, path: Path, notes: list[str]) -> StoredPoints:
    finite = np.asarray((np.abs(stored.points) <= _LARGEST).all(axis=1))
    missing = len(finite) - int(finite.sum())
    if not len(finite):
        raise PointCloudError(f"{path}: expected at least {FEWEST_POINTS} points, found none; check what was exported")
    if missing == len(finite):
        raise PointCloudError(f"{path}: all its {missing:,} points are NaN or infinite; check what was exported")
    if missing:
        notes.append(f"{_counted(missing, 'point')} NaN or infinite, and left out")
        return _kept(stored, finite)
    return stored


def _distinct(stored: StoredPoints, path: Path, notes: list[str]) -> StoredPoints:
    first = _first_of_each(stored.points)
    count, found = len(first), int(first.sum())
    if found == 1 and count > 1:
        raise PointCloudError(f"{path}: all its {count:,} points lie at one place; check what was exported")
    if found < FEWEST_POINTS:
        raise PointCloudError(
            f"{path}: expected at least {FEWEST_POINTS} distinct points, found {found}; a surface needs far more"
        )
    if found < count:
        notes.append(f"{_counted(count - found, 'point')} at the place of an earlier one, and left out")
        return _kept(stored, first)
    return stored


def _first_of_each(points: Float64[np.ndarray, "n 3"]) -> Bool[np.ndarray, "n"]:
    """Which points differ from all before them. Sorting one hash of each is several times as fast as sorting rows."""
    bits = (points + 0.0).view(np.uint64)  # -0 becomes 0
    keys = np.zeros(len(points), np.uint64)
    for column, factor in enumerate((0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)):
        keys = (keys ^ bits[:, column]) * np.uint64(factor)
        keys ^= keys >> np.uint64(29)
    order = np.argsort(keys, kind="stable")
    ordered = points[order]
    first = np.ones(len(points), np.bool_)
    first[order[1:]] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return first


def _without_far(points: Float64[np.ndarray, "n 3"], notes: list[str]) -> Bool[np.ndarray, "n"]:
    """Which points are not isolated ones, far from all others; a note names those."""
    middle = np.median(points, axis=0)
    distances = np.linalg.norm(points - middle, axis=1)
    usual = np.quantile(distances, 0.9, method="lower")
    near = distances <= _FAR * usual
    if not near.all():
        count, farthest = len(near) - int(near.sum()), int(distances.argmax())
        place = ", ".join(f"{value:.6g}" for value in points[farthest])
        notes.append(
            f"{count:,} of {len(points):,} points {'lies' if count == 1 else 'lie'} far from all others, the farthest "
            f"({place}) {distances[farthest] / usual:,.0f} times as far from the middle as nine in ten points: the "
            f"surface shrinks to a dot beside {'it' if count == 1 else 'them'}; remove {'it' if count == 1 else 'them'}"
        )
    return near


def _extents(points: Float64[np.ndarray, "n 3"]) -> Float64[np.ndarray, "3"]:
    """Spread along the principal axes, largest first."""
    centered = points - points.mean(axis=0)
    largest = np.abs(centered).max()
    # By QR, not by the squares of a covariance, which would drown a millionth in rounding errors.
    return np.linalg.svd(np.linalg.qr(centered / (largest or 1.0), mode="r"), compute_uv=False)


def _unit_normals(stored: StoredPoints, notes: list[str]) -> Float32[np.ndarray, "n 3"] | None:
    if stored.normals is None:
        return None
    lengths = np.linalg.norm(stored.normals, axis=1, keepdims=True)
    known = np.isfinite(lengths[:, 0]) & (lengths[:, 0] > 0.0)
    unknown = len(known) - int(known.sum())
    if unknown > _MOST_WITHOUT_NORMAL * len(known):
        notes.append(f"{unknown:,} of its {len(known):,} normals have no length, and none is used")
        return None
    normals = np.divide(stored.normals, lengths, out=np.zeros_like(stored.normals), where=known[:, None])
    if unknown:
        from scipy.spatial import KDTree

        nearest = KDTree(stored.points[known]).query(stored.points[~known], workers=-1)[1]
        normals[~known] = normals[known][nearest]
        notes.append(
            f"{unknown:,} of its {len(known):,} normals have no length, and are replaced by their nearest neighbours'"
        )
    return normals.astype(np.float32)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun} is" if count == 1 else f"{count:,} {noun}s are"
