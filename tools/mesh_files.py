"""Meshes to files and back: ply, obj, off and glb are written, stl is read beside them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..datasets.errors import FormatError, OutputError
from ..datasets.point_formats import read_points
from ..datasets.whole_output import whole_file
from ..render.meshes import Mesh

_PRECISE_ENOUGH = 1e-6  # of the bounding box's diagonal: what float32 may move a vertex by
_AT_ONCE = 100_000  # lines of text


def read_mesh(path: Path) -> Mesh:
    """Reads a mesh from ply, obj, off, glb or stl; polygons become triangles.

    Raises:
        MissingFileError, FormatError: There is no such file, it is damaged, has no faces, or vertices that are not
            finite.
    """
    stored = read_points(path)
    if stored.faces is None or not len(stored.faces):
        raise FormatError(f"{path}: expected a mesh, found {len(stored.points):,} points without faces; name a mesh")
    if not np.isfinite(stored.points).all():
        raise FormatError(f"{path}: expected vertices in finite numbers, found NaN or infinity; save the mesh again")
    normals = None if stored.normals is None else torch.from_numpy(stored.normals).float()
    return Mesh(
        vertices=torch.from_numpy(stored.points),
        faces=torch.from_numpy(stored.faces),
        normals=None if normals is None else torch.nn.functional.normalize(normals, dim=1),
        colors=None if stored.colors is None else torch.from_numpy(stored.colors),
    )


def write_mesh(path: Path, mesh: Mesh) -> None:
    """Writes a mesh whole or not at all, as the ending says: ply (binary), obj, off or glb.

    Normals that the mesh does not have are computed; off has none. Coordinates are single precision in glb always,
    and in ply where that moves no vertex by more than a millionth of the bounding box's diagonal.

    Raises:
        OutputError: The ending is another, a vertex is not finite, or nothing can be written there.
    """
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise OutputError(f"{path}: expected a mesh file's ending, {', '.join(_WRITERS)}; choose one of these")
    if not mesh.vertices.isfinite().all():
        raise OutputError(f"{path}: not written, for the mesh has vertices that are NaN or infinite; report this")
    with whole_file(path) as aside, aside.open("wb") as file:
        for part in write(mesh):
            file.write(part)


def _ply(mesh: Mesh) -> list[bytes]:
    reach = float(mesh.vertices.abs().max()) if len(mesh.vertices) else 0.0
    is_precise = reach * 2.0**-24 <= _PRECISE_ENOUGH * mesh.diagonal()
    number, code = ("float", "<f4") if is_precise else ("double", "<f8")
    properties = [(axis, number, code) for axis in "xyz"]
    properties += [(axis, "float", "<f4") for axis in ("nx", "ny", "nz")]
    columns = [*mesh.vertices.unbind(dim=1), *_normals(mesh).unbind(dim=1)]
    if mesh.colors is not None:
        properties += [(name, "uchar", "u1") for name in ("red", "green", "blue")]
        columns += list(_bytes(mesh.colors).unbind(dim=1))
    rows = np.empty(len(mesh.vertices), np.dtype([(name, code) for name, _, code in properties]))
    for (name, _, _), column in zip(properties, columns, strict=True):
        rows[name] = column.numpy()
    polygons = np.empty(len(mesh.faces), np.dtype([("count", "u1"), ("corners", "<i4", (3,))]))
    polygons["count"], polygons["corners"] = 3, mesh.faces.numpy()
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {len(rows)}"]
    lines += [f"property {kind} {name}" for name, kind, _ in properties]
    lines += [f"element face {len(polygons)}", "property list uchar int vertex_indices", "end_header", ""]
    return ["\n".join(lines).encode(), rows.tobytes(), polygons.tobytes()]


def _obj(mesh: Mesh) -> list[bytes]:
    places = mesh.vertices if mesh.colors is None else torch.cat([mesh.vertices, mesh.colors.double()], dim=1)
    vertex = "v %.12g %.12g %.12g" + ("\n" if mesh.colors is None else " %.4g %.4g %.4g\n")
    numbers = (mesh.faces + 1).repeat_interleave(2, dim=1)
    return [
        *_lines(vertex, places),
        *_lines("vn %.6g %.6g %.6g\n", _normals(mesh)),
        *_lines("f %d//%d %d//%d %d//%d\n", numbers),
    ]


def _off(mesh: Mesh) -> list[bytes]:
    head = f"OFF\n{len(mesh.vertices)} {len(mesh.faces)} 0\n".encode()
    return [head, *_lines("%.12g %.12g %.12g\n", mesh.vertices), *_lines("3 %d %d %d\n", mesh.faces)]


def _glb(mesh: Mesh) -> list[bytes]:
    import trimesh
    from trimesh.exchange.gltf import export_glb

    made = trimesh.Trimesh(
        vertices=mesh.vertices.numpy(),
        faces=mesh.faces.numpy(),
        vertex_normals=_normals(mesh).numpy(),
        vertex_colors=None if mesh.colors is None else _bytes(mesh.colors).numpy(),
        process=False,
    )
    return [export_glb(trimesh.Scene(made), include_normals=True)]


_WRITERS: dict[str, Callable[[Mesh], list[bytes]]] = {".ply": _ply, ".obj": _obj, ".off": _off, ".glb": _glb}


def _lines(form: str, rows: torch.Tensor) -> list[bytes]:
    """Rows of numbers as text, a line each."""
    return [(form * len(part) % tuple(part.flatten().tolist())).encode() for part in rows.split(_AT_ONCE)]


def _normals(mesh: Mesh) -> torch.Tensor:
    return mesh.vertex_normals() if mesh.normals is None else mesh.normals


def _bytes(colors: torch.Tensor) -> torch.Tensor:
    return (colors.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
