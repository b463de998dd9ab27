"""Points in text files: tables of numbers with any separator, and Wavefront OBJ."""

import io
import re
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from .errors import FormatError
from .stored_points import StoredPoints, named_points, require_corners, shades, triangles, unnamed_points

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_COMMENTS = re.compile(rb"(#|//|%)[^\n]*")
_DECIMAL_COMMA = re.compile(rb"[-+]?\d*,\d+([eE][-+]?\d+)?")
_HEADER_LINES = 100  # looked through for the first line of numbers


def read_table(path: Path) -> StoredPoints:
    """Reads a table of points: xyz, txt, csv, pts and the like.

    Columns are separated by blanks, commas or semicolons, also with decimal commas. `#`, `//` and `%` begin comments.
    Lines before the first number are a header: one with x, y and z names the columns, else
    `unnamed_points` tells what they are. A first line of one whole number is the count of points, as pts files have it.

    Raises:
        FormatError: if there are no numbers, or a line is not like the others.
    """
    content = path.read_bytes().removeprefix(_BYTE_ORDER_MARK).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    lines = content.split(b"\n", _HEADER_LINES)[:_HEADER_LINES]
    names, notes = list[str](), list[str]()
    promised, start = None, len(lines)
    for number, line in enumerate(lines):
        words = _split(_COMMENTS.sub(b"", line))
        if words and _is_number(words[0]):
            if len(words) > 1 or promised is not None:
                start = number
                break
            promised = words[0]
        else:
            header = [word.decode("latin-1").strip("\"'").lower() for word in _split(line.strip().lstrip(b"#/%"))]
            if set("xyz") <= set(header):
                names = header
            elif words:
                shown = line[:40].decode("utf-8", errors="replace")
                notes.append(f"line {number + 1}, {shown!r}, is no line of numbers, and was skipped")
    if start == len(lines):
        raise FormatError(f"{path}: expected lines of numbers, x y z, found none; save the points as text with these")
    body = content.split(b"\n", start)[start]
    if b"#" in body or b"//" in body or b"%" in body:
        body = _COMMENTS.sub(b"", body)
    table = read_numbers(_with_blanks(body, lines[start]), path, first_line=start + 1)
    if table.shape[1] < 3:
        raise FormatError(f"{path}: expected at least three columns, x y z, found {table.shape[1]}; save all of them")
    if promised is not None and promised != b"%d" % len(table):
        raise FormatError(
            f"{path}: expected {promised.decode()} points, as its first line says, found {len(table):,}; "
            "copy the file again, or mend its first line"
        )
    if len(names) == table.shape[1]:
        stored = named_points(dict(zip(names, table.T, strict=True)), path)
    else:
        stored = unnamed_points(table)
    return replace(stored, notes=(*notes, *stored.notes))


def read_numbers(content: bytes, path: Path, *, first_line: int = 1) -> Float64[np.ndarray, "rows columns"]:
    """Reads a table of numbers between blanks; blank lines do not count.

    Args:
        first_line: What number its first line has in the file.

    Raises:
        FormatError: naming the first line that is not like those before it.
    """
    if not content.strip():
        return np.empty((0, 0))
    try:
        return np.loadtxt(io.BytesIO(content), dtype=np.float64, comments=None, ndmin=2, encoding="latin-1")
    except ValueError as error:
        raise _wrong_line(content, path, first_line) from error


def flat_numbers(content: bytes, path: Path) -> Float64[np.ndarray, "numbers"]:
    """Reads numbers between blanks and ends of lines, however many a line has.

    Raises:
        FormatError: if something is no number.
    """
    try:
        return np.fromstring(content.decode("latin-1"), dtype=np.float64, sep=" ")
    except (ValueError, DeprecationWarning) as error:
        wrong = next((word for word in content.split() if not _is_number(word)), b"")
        raise FormatError(f"{path}: expected numbers, found {wrong[:40]!r}; save the file again") from error


class _Corners(NamedTuple):
    """Corners of all faces, one after another, by OBJ's own numbers: from 1, or negative from the last."""

    counts: Int64[np.ndarray, "faces"]
    vertices: Int64[np.ndarray, "corners"]
    normals: Int64[np.ndarray, "_"]


def read_obj(path: Path) -> StoredPoints:
    """Reads the vertices of an OBJ file: `v x y z`, with red, green and blue where they follow; `vn`; and its faces.

    Normals are taken where there is one for each vertex and faces, if any, pair them so. Polygons become triangles.

    Raises:
        FormatError: if there are no vertices, or a line is not what it should be.
    """
    lines = path.read_bytes().split(b"\n")
    points = _obj_rows(lines, b"v", path)
    if points.shape[1] not in (3, 4, 6, 7):
        found = f"{points.shape[1]} numbers in each" if len(points) else "none"
        raise FormatError(f"{path}: expected vertices, lines `v x y z`, found {found}; save the file again")
    colors = shades(points[:, -3:]) if points.shape[1] >= 6 else None
    points, stored_normals = np.ascontiguousarray(points[:, :3]), _obj_rows(lines, b"vn", path)
    counts, vertices, of_normals = _obj_corners([line[2:] for line in lines if line.startswith((b"f ", b"f\t"))], path)
    vertices = np.where(vertices < 0, vertices + len(points), vertices - 1)
    of_normals = np.where(of_normals < 0, of_normals + len(stored_normals), of_normals - 1)
    faces = require_corners(triangles(counts, vertices), len(points), path)
    normals, notes = None, ()
    if stored_normals.shape == points.shape and (not len(vertices) or np.array_equal(of_normals, vertices)):
        normals = stored_normals
    elif len(stored_normals):
        notes = ("its normals belong to corners of faces, not to points, and are left out",)
    return StoredPoints(points, normals, colors, faces, notes)


def _obj_rows(lines: list[bytes], keyword: bytes, path: Path) -> Float64[np.ndarray, "rows columns"]:
    """The numbers after a keyword; other lines are blanked, so that messages number lines as the file does."""
    starts = keyword + b" ", keyword + b"\t"
    return read_numbers(b"\n".join(line[len(keyword) :] if line.startswith(starts) else b"" for line in lines), path)


def _obj_corners(lines: list[bytes], path: Path) -> _Corners:
    """Corners as `v`, `v/vt`, `v//vn` or `v/vt/vn`; none has a normal where one of them has none."""
    counts, corners = np.array([len(line.split()) for line in lines], np.int64), b" ".join(lines)
    if b"/" not in corners:
        vertices = flat_numbers(corners, path).astype(np.int64)
        if len(vertices) != counts.sum():  # numpy before 2.4 stops at what is no number
            raise FormatError(f"{path}: expected faces as `f 1 2 3`, found other words in them; save it again")
        return _Corners(counts, vertices, np.empty(0, np.int64))
    parts = [corner.split(b"/") for corner in corners.split()]
    complete = all(len(part) == 3 and part[2] for part in parts)
    try:
        vertices, normals = [int(part[0]) for part in parts], [int(part[2]) for part in parts if complete]
    except ValueError as error:
        raise FormatError(f"{path}: expected faces as `f 1 2 3` or `f 1/1/1 ...`: {error}; save it again") from error
    return _Corners(counts, np.array(vertices, np.int64), np.array(normals, np.int64))


def _split(line: bytes) -> list[bytes]:
    return line.replace(b",", b" ").replace(b";", b" ").split()


def _is_number(word: bytes) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return b"_" not in word


def _with_blanks(body: bytes, example: bytes) -> bytes:
    """Blanks in place of commas and semicolons, points in place of decimal commas."""
    words = example.split()
    has_decimal_commas = len(words) >= 3 and all(_DECIMAL_COMMA.fullmatch(word) for word in words)
    if has_decimal_commas or b";" in example:
        return body.translate(bytes.maketrans(b",;", b". "))
    return body.translate(bytes.maketrans(b",", b" ")) if b"," in example else body


def _wrong_line(content: bytes, path: Path, first_line: int) -> FormatError:
    columns = None
    for number, line in enumerate(content.split(b"\n"), first_line):
        words = line.split()
        columns = columns or len(words)
        wrong = next((word for word in words if not _is_number(word)), None)
        if wrong is not None:
            shown = wrong[:40].decode("utf-8", errors="replace")
            return FormatError(
                f"{path}: line {number}: expected numbers, found {shown!r}; mend or remove it, or copy the file again"
            )
        if words and len(words) != columns:
            return FormatError(
                f"{path}: line {number}: expected {columns} numbers, as the lines before it have, found {len(words)}; "
                "mend or remove the line, or copy the file again"
            )
    return FormatError(f"{path}: expected a table of numbers; save the points again")
