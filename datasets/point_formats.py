"""Which format a file of points or a mesh has, told by its content where that is possible, and by its ending else."""

import re
from pathlib import Path

from .errors import DataError, FormatError, MissingFileError
from .library_points import read_array, read_las, read_mesh_file
from .pcd_points import read_pcd
from .ply_points import read_ply
from .stored_points import StoredPoints
from .text_points import read_obj, read_table

_BEGIN_BYTES = 1 << 16
_PCD = re.compile(rb"(\s*#[^\n]*\n)*\s*(VERSION|FIELDS)\b")
_OBJ = re.compile(rb"^v[ \t]+[-+.\d]", re.MULTILINE)
_READ_HERE = "ply, xyz, txt, csv, npy, npz, obj, pcd, las, laz, off, stl or glb"


def read_points(path: Path) -> StoredPoints:
    """Reads a file of points, or a mesh, of any format that is read here.

    Raises:
        MissingFileError: if there is no such file.
        FormatError: if it is empty, of another format, or damaged.
        MissingPackageError: if it needs an optional package that is not installed.
    """
    if not path.is_file():
        found = "a folder; name one of its files" if path.is_dir() else "nothing; check the path"
        raise MissingFileError(f"{path}: expected a file of points, found {found}")
    try:
        with path.open("rb") as file:
            begin = file.read(_BEGIN_BYTES)
        if not begin.strip():
            raise FormatError(f"{path}: is empty; copy it again from its source")
        return _read(path, begin)
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror or error}); see to its permissions") from error
    except MemoryError as error:
        raise DataError(f"{path}: does not fit into memory; make the cloud thinner, or cut it into parts") from error


def _read(path: Path, begin: bytes) -> StoredPoints:
    ending = path.suffix.lower()
    if begin.startswith((b"ply\n", b"ply\r")) or ending == ".ply":
        return read_ply(path)
    if begin.startswith((b"\x93NUMPY", b"PK\x03\x04")) or ending in (".npy", ".npz"):
        return read_array(path)
    if begin.startswith(b"LASF") or ending in (".las", ".laz"):
        return read_las(path)
    if begin.startswith(b"glTF") or ending == ".glb":
        return read_mesh_file(path, "glb")
    if re.match(rb"(C|N|CN)?OFF\b", begin) or ending == ".off":
        return read_mesh_file(path, "off")
    if _PCD.match(begin) or ending == ".pcd":
        return read_pcd(path)
    if ending == ".stl" or (begin.lstrip().startswith(b"solid") and b"facet" in begin):
        return read_mesh_file(path, "stl")
    if b"\0" in begin:
        raise FormatError(f"{path}: expected points as {_READ_HERE}, found another kind of file; save the points so")
    return read_obj(path) if ending == ".obj" or _OBJ.search(begin) else read_table(path)
