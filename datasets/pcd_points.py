"""PCD files of the Point Cloud Library: text, binary, and binary compressed by LZF."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped

from .errors import FormatError
from .stored_points import StoredPoints, named_points
from .text_points import read_numbers

_KINDS = {"F": "f", "I": "i", "U": "u"}
_LONGEST_HEADER = 1 << 14


class _Field(NamedTuple):
    name: str
    kind: str
    """numpy's name of its type."""
    width: int


class _Header(NamedTuple):
    fields: list[_Field]
    points: int
    storage: str
    end: int


def read_pcd(path: Path) -> StoredPoints:
    """Reads the points of a PCD file; colours are taken from `rgb` or `rgba`, where they are packed into one number.

    Raises:
        FormatError: if the header is not PCD's, x, y or z is missing, or the file holds less than the header announces.
    """
    content = path.read_bytes()
    header = _read_header(content, path)
    width = sum(field.width for field in header.fields)
    size = sum(field.width * np.dtype(field.kind).itemsize for field in header.fields)
    columns: dict[str, Shaped[np.ndarray, "n"]] = {}
    if not header.points:
        return StoredPoints(np.empty((0, 3)))
    if header.storage == "ascii":
        table = read_numbers(content[header.end :], path, first_line=content.count(b"\n", 0, header.end) + 1)
        if len(table) < header.points or table.shape[1] != width:
            raise _wrong(path, f"{header.points:,} lines of {width} numbers, as its header announces", len(table))
        column = 0
        for field in header.fields:
            # Packed colours are four bytes, written as a float or as a whole number.
            columns[field.name] = table[: header.points, column].astype(field.kind)
            column += field.width
    elif header.storage == "binary":
        layout = np.dtype([(f.name, f.kind, (f.width,)) for f in header.fields])
        if len(content) - header.end < header.points * size:
            found = (len(content) - header.end) // size
            raise _wrong(path, f"{header.points:,} points of {size} bytes, as its header announces", found)
        rows = np.frombuffer(content, layout, header.points, header.end)
        columns = {f.name: rows[f.name][:, 0] for f in header.fields}
    else:
        packed = _unpacked(content, header.end, header.points * size, path)
        place = 0
        for f in header.fields:
            values = np.frombuffer(packed, f.kind, header.points * f.width, place)
            columns[f.name] = values.reshape(header.points, f.width)[:, 0]
            place += values.nbytes
    for name in ("rgb", "rgba"):
        if name in columns and columns[name].dtype.itemsize == 4:
            bits = np.ascontiguousarray(columns[name]).view("<u4")
            for channel, shift in (("r", 16), ("g", 8), ("b", 0)):
                columns[channel] = (bits >> shift & 255).astype(np.uint8)
    return named_points(columns, path)


def decompress_lzf(packed: bytes, size: int) -> bytes:
    """Undoes LZF, the byte-wise compression of PCD files.

    A control byte below 32 is followed by one more literal bytes than it says. Any other begins a copy of what was
    written before: its upper three bits, or the next byte where they are 7, give the length less 2; its lower five
    bits and the byte that follows give the distance less 1. (LibLZF's format, Marc Lehmann.)

    Args:
        size: Bytes of the result.

    Raises:
        ValueError: The data end early, reach before their beginning, or give another size.
    """
    out, place, end = bytearray(), 0, len(packed)
    try:
        while place < end:
            control = packed[place]
            place += 1
            if control < 32:
                out += packed[place : place + control + 1]
                place += control + 1
                continue
            length = control >> 5
            if length == 7:
                length += packed[place]
                place += 1
            begin = len(out) - ((control & 31) << 8) - packed[place] - 1
            place += 1
            length += 2
            if begin < 0:
                raise ValueError("a copy from before the beginning")
            piece = out[begin : begin + length]
            out += piece if len(piece) == length else (piece * (length // len(piece) + 1))[:length]
    except IndexError as error:
        raise ValueError("the data end early") from error
    if len(out) != size or place != end:
        raise ValueError(f"{len(out):,} bytes instead of {size:,}")
    return bytes(out)


def _unpacked(content: bytes, start: int, size: int, path: Path) -> bytes:
    if len(content) < start + 8:
        raise _wrong(path, "the two sizes of its compressed points", 0)
    packed, unpacked = (int(value) for value in np.frombuffer(content, "<u4", 2, start))
    if unpacked != size or len(content) < start + 8 + packed:
        raise _wrong(path, f"{size:,} bytes of points, {packed:,} compressed, as announced", len(content) - start - 8)
    try:
        return decompress_lzf(content[start + 8 : start + 8 + packed], size)
    except ValueError as error:
        raise FormatError(f"{path}: its compressed points are damaged ({error}); copy the file again") from error


def _read_header(content: bytes, path: Path) -> _Header:
    entries: dict[str, list[str]] = {}
    place = 0
    while "DATA" not in entries:
        end = content.find(b"\n", place, _LONGEST_HEADER)
        if end < 0:
            raise FormatError(f"{path}: expected a PCD header that ends with DATA; save the file again")
        keyword, *words = content[place:end].decode("latin-1").split() or [""]
        entries[keyword.upper()] = words
        place = end + 1
    try:
        names, counts = entries["FIELDS"], [int(word) for word in entries.get("COUNT", [])]
        kinds = [f"<{_KINDS[kind]}{int(size)}" for kind, size in zip(entries["TYPE"], entries["SIZE"], strict=True)]
        counts = counts or [1] * len(names)
        # PCL calls bytes between fields `_`, which may come more than once.
        names = [f"_{i}" if name == "_" else name for i, name in enumerate(names)]
        fields = [_Field(*field) for field in zip(names, kinds, counts, strict=True)]
        np.dtype([(field.name, field.kind, (field.width,)) for field in fields])
        points = (
            int(entries["POINTS"][0]) if "POINTS" in entries else int(entries["WIDTH"][0]) * int(entries["HEIGHT"][0])
        )
        storage = entries["DATA"][0].lower()
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise FormatError(f"{path}: its PCD header is damaged at {error}; save the file again") from error
    if storage not in ("ascii", "binary", "binary_compressed") or points < 0 or min(counts, default=0) < 1:
        raise FormatError(f"{path}: expected PCD points as ascii, binary or binary_compressed, found {storage!r}")
    return _Header(fields, points, storage, place)


def _wrong(path: Path, expected: str, found: int) -> FormatError:
    return FormatError(f"{path}: expected {expected}, found {found:,}; copy the file again from its source")
