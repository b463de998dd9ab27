"""Points of a PLY file, such as the sparse cloud that nerfstudio keeps beside its `transforms.json`."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

from .errors import FormatError

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_HEADER = 1 << 16


class _Header(NamedTuple):
    order: str
    vertices: int
    columns: dict[str, str]
    end: int


def read_ply_points(path: Path) -> Float64[np.ndarray, "points 3"]:
    """Reads the positions of a PLY file's vertices, which must be its first element.

    Raises:
        FormatError: if it is no PLY file, is cut short, or its vertices lack x, y or z.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FormatError(f"{path.name}: cannot be read ({error.strerror})") from error
    header = _read_header(content, path.name)
    if header.order:
        layout = np.dtype([(name, header.order + kind) for name, kind in header.columns.items()])
        if len(content) - header.end < header.vertices * layout.itemsize:
            raise _wrong(path.name, f"{header.vertices} vertices of {layout.itemsize} bytes, as its header announces")
        rows = np.frombuffer(content, layout, header.vertices, header.end)
        return np.stack([rows[axis].astype(np.float64) for axis in "xyz"], axis=1)
    lines = content[header.end :].split(b"\n")[: header.vertices]
    places = [list(header.columns).index(axis) for axis in "xyz"]
    try:
        points = [[float(line.split()[place]) for place in places] for line in lines]
    except (ValueError, IndexError):
        points = []
    if len(points) != header.vertices:
        raise _wrong(path.name, f"{header.vertices} lines of numbers, as its header announces")
    return np.array(points, dtype=np.float64).reshape(-1, 3)


def _read_header(content: bytes, name: str) -> _Header:
    end = content.find(b"end_header", 0, _LONGEST_HEADER)
    if not content.startswith(b"ply") or end < 0:
        raise _wrong(name, "a PLY header")
    order, count, elements, columns = None, 0, list[str](), dict[str, str]()
    for line in content[:end].decode("ascii", errors="replace").splitlines():
        words = [*line.split(), "", "", ""]
        if words[0] == "format":
            order = _ORDERS.get(words[1])
        elif words[0] == "element":
            elements.append(words[1])
            count = int(words[2]) if elements == ["vertex"] and words[2].isdigit() else count
        elif words[0] == "property" and elements == ["vertex"]:
            columns[words[2]] = _TYPES.get(words[1], "")
    after = content.find(b"\n", end) + 1
    if order is None or not after or not {"x", "y", "z"} <= columns.keys() or "" in columns.values():
        raise _wrong(name, "vertices with x, y and z as their first element")
    return _Header(order, count, columns, after)


def _wrong(name: str, expected: str) -> FormatError:
    return FormatError(f"{name}: expected {expected}; write the PLY file again")
