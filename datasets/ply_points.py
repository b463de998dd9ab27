"""PLY files, ASCII and binary of either byte order: positions, normals, colours and faces of their vertices."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from .errors import FormatError
from .stored_points import StoredPoints, named_points, require_corners, triangles
from .text_points import flat_numbers

_TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4", "float": "f4",
    "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4",
    "float32": "f4", "float64": "f8",
}  # fmt: skip
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_LONGEST_HEADER = 1 << 16
_Stream = bytes | Float64[np.ndarray, "numbers"]
"""What follows the header: bytes, or the numbers of a text."""
_CORNERS = ("vertex_indices", "vertex_index")


class _Property(NamedTuple):
    name: str
    kind: str
    count_kind: str
    """Of the number before a list's items; empty for a single value."""


class _Element(NamedTuple):
    name: str
    rows: int
    properties: list[_Property]


class _Header(NamedTuple):
    order: str
    """`<` or `>`; empty for text."""
    elements: list[_Element]
    end: int


class _Lists(NamedTuple):
    """A list of each row, one after another."""

    counts: Int64[np.ndarray, "rows"]
    items: Int64[np.ndarray, "items"]


class _Rows(NamedTuple):
    """The rows of an element, and where the next one begins."""

    values: dict[str, Shaped[np.ndarray, "rows"]]
    lists: dict[str, _Lists]
    end: int


def read_ply_points(path: Path) -> Float64[np.ndarray, "points 3"]:
    """Reads the positions of a PLY file's vertices.

    Raises:
        FormatError: as `read_ply`, or the file cannot be opened.
    """
    try:
        return read_ply(path).points
    except OSError as error:
        raise FormatError(f"{path}: cannot be read ({error.strerror})") from error


def read_ply(path: Path) -> StoredPoints:
    """Reads vertices and faces; other elements and properties may be there in any order, and are skipped.

    Raises:
        FormatError: if it is no PLY file, is cut short, its vertices lack x, y or z, or a face has other corners.
    """
    content = path.read_bytes()
    header = _read_header(content, path)
    stream = content if header.order else flat_numbers(content[header.end :], path)
    place = header.end if header.order else 0
    wanted = [element.name for element in header.elements if element.name in ("vertex", "face")]
    rows: dict[str, _Rows] = {}
    for element in header.elements:
        if len(rows) == len(wanted):
            break
        found = _read_rows(stream, element, header.order, place) if element.rows else _Rows({}, {}, place)
        if found is None:
            of = f" of {_itemsize(element)} bytes" if header.order and not _has_lists(element) else ""
            kind = {"vertex": "vertices", "face": "faces"}.get(element.name, f"rows of {element.name!r}")
            raise _wrong(path, f"{element.rows:,} {kind}{of}, as its header announces, found fewer")
        place = found.end
        if element.name in wanted:
            rows[element.name] = found
    if not rows["vertex"].values:
        return StoredPoints(np.empty((0, 3)))
    stored = named_points(rows["vertex"].values, path)
    lists = rows["face"].lists if "face" in rows else {}
    corners = next((lists[name] for name in _CORNERS if name in lists), None)
    if corners is None:
        return stored
    faces = require_corners(triangles(*corners), len(stored.points), path)
    return StoredPoints(stored.points, stored.normals, stored.colors, faces)


def _read_header(content: bytes, path: Path) -> _Header:
    end = content.find(b"end_header", 0, _LONGEST_HEADER)
    if not content.startswith(b"ply") or end < 0:
        raise _wrong(path, "a PLY header")
    order, elements = None, list[_Element]()
    for line in content[:end].decode("ascii", errors="replace").splitlines():
        words = line.split()
        try:
            if words[:1] == ["format"]:
                order = _ORDERS.get(words[1])
            elif words[:1] == ["element"]:
                elements.append(_Element(words[1], int(words[2]), []))
            elif words[:2] == ["property", "list"]:
                elements[-1].properties.append(_Property(words[4], _TYPES[words[3]], _TYPES[words[2]]))
            elif words[:1] == ["property"]:
                elements[-1].properties.append(_Property(words[2], _TYPES[words[1]], ""))
        except (IndexError, KeyError, ValueError) as error:
            raise _wrong(path, f"a PLY header, and found the line {line.strip()[:60]!r} in it") from error
    after = content.find(b"\n", end) + 1
    if order is None or not after:
        raise _wrong(path, "a PLY header with its format: ascii, binary_little_endian or binary_big_endian")
    for element in elements:
        if element.rows < 0 or len({item.name for item in element.properties}) < len(element.properties):
            raise _wrong(path, f"rows of {element.name!r} with properties of different names")
    vertex = next((element for element in elements if element.name == "vertex"), _Element("", 0, []))
    if not set("xyz") <= {item.name for item in vertex.properties if not item.count_kind}:
        raise _wrong(path, "vertices with x, y and z")
    return _Header(order, elements, after)


def _has_lists(element: _Element) -> bool:
    return any(item.count_kind for item in element.properties)


def _itemsize(element: _Element) -> int:
    return sum(np.dtype(item.kind).itemsize for item in element.properties)


def _read_rows(stream: _Stream, element: _Element, order: str, start: int) -> _Rows | None:
    """Rows of one element, with what is alike in all of them read at once; None if the stream ends before them."""
    if isinstance(stream, bytes):
        found = _read_alike(stream, element, order, start)
    else:
        found = None if _has_lists(element) else _read_columns(stream, element, start)
    return _read_ragged(stream, element, order, start) if found is None and _has_lists(element) else found


def _read_alike(content: bytes, element: _Element, order: str, start: int) -> _Rows | None:
    """Binary rows; None if the content ends before them, or the lengths of lists differ."""
    layout = _layout(content, element, order, start)
    if layout is None or len(content) - start < element.rows * layout.itemsize:
        return None
    rows = np.frombuffer(content, layout, element.rows, start)
    names = [item.name for item in element.properties if item.count_kind]
    if any((rows[f"{name} count"] != layout[name].shape[0]).any() for name in names):
        return None
    values = {item.name: rows[item.name] for item in element.properties if not item.count_kind}
    counts = {name: rows[f"{name} count"].astype(np.int64) for name in names}
    lists = {name: _Lists(counts[name], rows[name].astype(np.int64).ravel()) for name in names}
    return _Rows(values, lists, start + element.rows * layout.itemsize)


def _read_columns(numbers: Float64[np.ndarray, "numbers"], element: _Element, start: int) -> _Rows | None:
    """Rows of text without lists; None if there are fewer."""
    end = start + element.rows * len(element.properties)
    if end > len(numbers):
        return None
    columns = numbers[start:end].reshape(element.rows, len(element.properties)).T
    # A colour's type says what its largest value is; all other numbers stay as precise as they are written.
    values = {
        item.name: column.astype("u1") if item.kind == "u1" else column
        for item, column in zip(element.properties, columns, strict=True)
    }
    return _Rows(values, {}, end)


def _layout(content: bytes, element: _Element, order: str, start: int) -> np.dtype | None:
    """How a row lies in the file if all are like the first; None if the content ends within that."""
    fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
    for item in element.properties:
        if not item.count_kind:
            fields.append((item.name, order + item.kind))
            continue
        count_type = np.dtype(order + item.count_kind)
        place = start + np.dtype(fields).itemsize
        if place + count_type.itemsize > len(content):
            return None
        count = int(np.frombuffer(content, count_type, 1, place)[0])
        if not 0 <= count * np.dtype(item.kind).itemsize <= len(content):
            return None
        fields += [(f"{item.name} count", order + item.count_kind), (item.name, order + item.kind, (count,))]
    return np.dtype(fields)


def _read_ragged(stream: _Stream, element: _Element, order: str, place: int) -> _Rows | None:
    """As `_read_rows` where the lengths of lists differ, row by row."""
    is_binary = isinstance(stream, bytes)
    counts: list[list[int]] = [[] for _ in element.properties]
    places: list[list[int]] = [[] for _ in element.properties]
    sizes = [np.dtype(item.kind).itemsize if is_binary else 1 for item in element.properties]
    count_sizes = [np.dtype(item.count_kind).itemsize if item.count_kind else 0 for item in element.properties]
    for _ in range(element.rows):
        for i, (size, count_size) in enumerate(zip(sizes, count_sizes, strict=True)):
            count = 1
            if count_size and is_binary:
                count = int.from_bytes(stream[place : place + count_size], "big" if order == ">" else "little")
                place += count_size
            elif count_size:
                count = int(stream[place]) if place < len(stream) and stream[place] >= 0 else len(stream)
                place += 1
            counts[i].append(count)
            places[i].append(place)
            place += count * size
        if place > len(stream):
            return None
    values: dict[str, np.ndarray] = {}
    lists: dict[str, _Lists] = {}
    for item, size, lengths, begins in zip(element.properties, sizes, counts, places, strict=True):
        parts = [slice(begin, begin + size * length) for begin, length in zip(begins, lengths, strict=True)]
        if isinstance(stream, bytes):
            items = np.frombuffer(b"".join(stream[part] for part in parts), order + item.kind)
        else:
            items = np.concatenate([stream[part] for part in parts])
        if item.count_kind:
            lists[item.name] = _Lists(np.array(lengths, np.int64), items.astype(np.int64))
        else:
            values[item.name] = items
    return _Rows(values, lists, place)


def _wrong(path: Path, expected: str) -> FormatError:
    return FormatError(f"{path}: expected {expected}; write the PLY file again, or copy it again from its source")
