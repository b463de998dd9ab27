"""Points as a file stores them, before anything is left out, and what its columns of numbers mean."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64, Shaped

from .errors import FormatError

Column = Shaped[np.ndarray, "n"]

_NORMALS = (("nx", "ny", "nz"), ("normal_x", "normal_y", "normal_z"), ("normalx", "normaly", "normalz"))
_COLORS = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_UNIT_TOLERANCE = 0.02  # of a normal's length: files keep two digits or more
_MOST_UNIT = 0.9  # of the rows, for columns to be normals: some may be zero


@dataclass(frozen=True)
class StoredPoints:
    """What a file holds, in its order; nothing is left out yet."""

    points: Float64[np.ndarray, "n 3"]
    """May be NaN or infinite, where the file says so."""
    normals: Float64[np.ndarray, "n 3"] | None = None
    """Of any length."""
    colors: Float32[np.ndarray, "n 3"] | None = None
    """In [0, 1]."""
    faces: Int64[np.ndarray, "f 3"] | None = None
    """Triangles of a mesh, as rows of `points`; None or empty where the file is a cloud."""
    notes: tuple[str, ...] = ()


def named_points(columns: Mapping[str, Column], path: Path) -> StoredPoints:
    """Points of columns by the names that programs give them, such as x, y, z, nx, ny, nz, red, green and blue.

    Raises:
        FormatError: x, y or z is not there.
    """
    columns = {name.lower(): column for name, column in columns.items()}
    if not set("xyz") <= columns.keys():
        found = ", ".join(columns) or "none"
        raise FormatError(f"{path}: expected points with columns x, y and z, found {found}; save them with these")
    normals, colors = _first_of(_NORMALS, columns), _first_of(_COLORS, columns)
    return StoredPoints(
        points=_float64([columns[axis] for axis in "xyz"]),
        normals=None if normals is None else _float64(normals),
        colors=None if colors is None else shades(np.stack(colors, axis=1)),
    )


def unnamed_points(table: Float64[np.ndarray, "n columns"]) -> StoredPoints:
    """Points of a table without names: x y z, and after them normals and colours, which their values tell.

    Three neighbouring columns are normals where nine in ten rows have length 1, and colours where all are in [0, 1] or
    whole numbers up to 65535. What is neither is left out, as an intensity after z is, and a note says so.
    """
    normals = colors = None
    unused: list[int] = []
    column = 3
    if table.shape[1] % 3 == 1 and not _are_normals(table[:, 3:6]):  # an intensity, as scanners write it
        unused, column = [4], 4
    while column < table.shape[1]:
        triple = table[:, column : column + 3]
        if triple.shape[1] == 3 and normals is None and _are_normals(triple):
            normals = np.ascontiguousarray(triple)
        elif triple.shape[1] == 3 and colors is None and _are_colors(triple):
            colors = shades(triple)
        else:
            unused.append(column + 1)
            column += 1
            continue
        column += 3
    notes = (_unused_note(unused),) if unused else ()
    return StoredPoints(np.ascontiguousarray(table[:, :3]), normals, colors, notes=notes)


def shades(values: Shaped[np.ndarray, "n 3"]) -> Float32[np.ndarray, "n 3"]:
    """Colours in [0, 1] of numbers up to 1, 255 or 65535: bytes are of 255, others of what holds the largest."""
    peak = float(np.nanmax(values)) if values.size and not np.isnan(values).all() else 0.0
    if values.dtype == np.uint8 or (values.dtype.kind in "ui" and peak <= 255.0) or 1.0 < peak <= 255.0:
        maximum = 255.0
    else:
        maximum = 1.0 if peak <= 1.0 else 65535.0
    return np.clip(np.nan_to_num(values / maximum), 0.0, 1.0).astype(np.float32)


def triangles(counts: Int64[np.ndarray, "polygons"], corners: Int64[np.ndarray, "corners"]) -> Int64[np.ndarray, "f 3"]:
    """Cuts polygons into fans of triangles around their first corners; those of less than three corners have none.

    Args:
        counts: Corners of each polygon.
        corners: All polygons' corners, one after another.
    """
    fans = np.maximum(counts - 2, 0)
    first = np.repeat(np.cumsum(counts) - counts, fans)
    step = np.arange(fans.sum()) - np.repeat(np.cumsum(fans) - fans, fans)
    return np.stack([corners[first], corners[first + step + 1], corners[first + step + 2]], axis=1)


def require_corners(faces: Int64[np.ndarray, "f 3"], count: int, path: Path) -> Int64[np.ndarray, "f 3"]:
    """The faces themselves.

    Raises:
        FormatError: A face has a corner that is none of the `count` vertices.
    """
    wrong = (faces < 0) | (faces >= count)
    if wrong.any():
        corner = int(faces[wrong][0])
        raise FormatError(
            f"{path}: expected faces between its {count:,} vertices, found one with vertex number {corner:,} "
            "(counted from 0); save the mesh again"
        )
    return faces


def _first_of(names: Sequence[tuple[str, ...]], columns: Mapping[str, Column]) -> list[Column] | None:
    return next(([columns[name] for name in triple] for triple in names if set(triple) <= columns.keys()), None)


def _float64(columns: Sequence[Column]) -> Float64[np.ndarray, "n _"]:
    return np.stack([column.astype(np.float64, copy=False) for column in columns], axis=1)


def _share(mask: Bool[np.ndarray, "n"]) -> float:
    return float(mask.mean()) if len(mask) else 0.0


def _are_normals(columns: Float64[np.ndarray, "n _"]) -> bool:
    return (
        columns.shape[1] == 3 and _share(np.abs(np.linalg.norm(columns, axis=1) - 1.0) < _UNIT_TOLERANCE) >= _MOST_UNIT
    )


def _are_colors(triple: Float64[np.ndarray, "n 3"]) -> bool:
    if not len(triple) or not (triple >= 0.0).all():
        return False
    return bool((triple <= 1.0).all() or ((triple <= 65535.0).all() and (triple == triple.round()).all()))


def _unused_note(unused: Sequence[int]) -> str:
    which = ", ".join(map(str, unused))
    return (
        f"column{'s' * (len(unused) > 1)} {which}: neither unit normals nor colours, and left out; a first line such "
        "as `x y z nx ny nz` names them"
    )
