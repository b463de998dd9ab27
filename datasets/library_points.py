"""Points in files that a library decodes: numpy's arrays, LAS by laspy, and OFF, STL and GLB meshes by trimesh."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Shaped

from .errors import FormatError, MissingPackageError
from .stored_points import StoredPoints, named_points, require_corners, shades, unnamed_points

_POINT_NAMES = ("points", "xyz", "vertices", "positions", "pos", "coords")
_NORMAL_NAMES = ("normals", "normal")
_COLOR_NAMES = ("colors", "rgb", "color")


def read_array(path: Path) -> StoredPoints:
    """Reads an npy file: (n, 3), (n, 6) or more columns, or rows with names; or an npz file of such arrays.

    In npz files the points are called `points`, or are the only array; `normals` and `colors` may be beside them.

    Raises:
        FormatError: if it is no such array, or cannot be read.
    """
    try:
        with path.open("rb") as file:
            stored: Any = np.load(file, allow_pickle=False)
            arrays = {"points": stored} if isinstance(stored, np.ndarray) else {key: stored[key] for key in stored}
    except (ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        said = " ".join(str(error).split())
        raise FormatError(f"{path}: cannot be read as numbers of numpy ({said}); save the array again") from error
    only = next(iter(arrays.values())) if len(arrays) == 1 else None
    points = _named(arrays, _POINT_NAMES, only)
    if points is None:
        names = ", ".join(arrays) or "nothing"
        raise FormatError(f"{path}: expected an array called 'points', found {names}; save the points by this name")
    if points.dtype.names is not None:
        return named_points({name: points[name].ravel() for name in points.dtype.names}, path)
    table = unnamed_points(_table(points, path, "points"))
    normals, colors = _named(arrays, _NORMAL_NAMES, None), _named(arrays, _COLOR_NAMES, None)
    for beside in (normals, colors):
        if beside is not None and beside.shape != table.points.shape:
            raise FormatError(
                f"{path}: expected normals and colours of shape {table.points.shape}, as the points, found "
                f"{beside.shape}; save the arrays again"
            )
    return StoredPoints(
        table.points,
        table.normals if normals is None else _table(normals, path, "normals"),
        table.colors if colors is None else shades(colors),
        notes=table.notes,
    )


def read_las(path: Path) -> StoredPoints:
    """Reads a LAS or LAZ file by the optional package laspy.

    Raises:
        MissingPackageError: laspy is not installed.
        FormatError: The file cannot be read.
    """
    try:
        import laspy  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingPackageError(
            f"{path}: LAS and LAZ files need the package laspy, which is not installed: "
            "pip install -c constraints.txt -e '.[las]'"
        ) from error
    try:
        las: Any = laspy.read(path)
    except Exception as error:  # laspy raises errors of its own, of its backends, and numpy's
        raise _unreadable(path, "LAS points", error) from error
    names = set(las.point_format.dimension_names)
    columns = {axis: np.asarray(las[axis], np.float64) for axis in "xyz"}
    columns |= {name: np.asarray(las[name]) for name in ("red", "green", "blue") if name in names}
    columns |= {axis: np.asarray(las[axis], np.float64) for axis in ("nx", "ny", "nz") if axis in names}
    return named_points(columns, path)


def read_mesh_file(path: Path, kind: str) -> StoredPoints:
    """Reads the vertices and triangles of an OFF, STL or GLB mesh; STL corners at one place are one vertex.

    Args:
        kind: `off`, `stl` or `glb`.

    Raises:
        FormatError: The file cannot be read, or holds no mesh.
    """
    import trimesh

    try:
        with path.open("rb") as file:
            mesh: Any = trimesh.load_mesh(file, file_type=kind, process=False)
        points = np.asarray(mesh.vertices, np.float64).reshape(-1, 3)
        faces = np.asarray(mesh.faces, np.int64).reshape(-1, 3)
    except Exception as error:  # trimesh passes on whatever its parsers meet
        raise _unreadable(path, f"{kind.upper()} mesh", error) from error
    if not len(faces) and kind != "off":
        raise _unreadable(path, f"{kind.upper()} mesh", ValueError("no triangles in it"))
    if kind == "stl":
        points, corners = np.unique(points, axis=0, return_inverse=True)
        faces = corners.reshape(-1)[faces]
        return StoredPoints(points, faces=require_corners(faces, len(points), path))
    colors = mesh.visual.vertex_colors[:, :3] if mesh.visual.kind == "vertex" else None
    shade = None if colors is None else shades(np.asarray(colors))
    return StoredPoints(points, colors=shade, faces=require_corners(faces, len(points), path))


def _named(arrays: dict[str, Any], names: tuple[str, ...], otherwise: Any) -> Any:
    return next((arrays[name] for name in names if name in arrays), otherwise)


def _table(array: Shaped[np.ndarray, "..."], path: Path, what: str) -> Float64[np.ndarray, "n columns"]:
    if array.dtype.kind not in "fiu":
        raise FormatError(f"{path}: expected {what} as numbers, found the type {array.dtype}; save them as float32")
    if array.ndim != 2 or array.shape[1] < 3 or array.shape[0] < 10 <= array.shape[1]:
        raise FormatError(
            f"{path}: expected {what} as an array (n, 3) or (n, 6), found {array.shape}; save them with a row for each"
        )
    return array.astype(np.float64)


def _unreadable(path: Path, what: str, error: Exception) -> FormatError:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    return FormatError(f"{path}: cannot be read as {what} ({said}); copy it again from its source, or save it anew")
