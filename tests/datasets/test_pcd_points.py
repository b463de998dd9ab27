"""PCD files in their three forms, and LZF against a compressor of its own."""

import struct
from pathlib import Path

import numpy as np
import pytest

from neufield.datasets import FormatError
from neufield.datasets.pcd_points import decompress_lzf
from neufield.datasets.point_formats import read_points

COUNT = 40
POINTS = np.random.default_rng(5).normal(size=(COUNT, 3)).astype(np.float32)
NORMALS = np.tile(np.eye(3, dtype=np.float32), (14, 1))[:COUNT]
COLORS = np.random.default_rng(6).integers(0, 256, (COUNT, 3)).astype(np.uint32)
PACKED = (COLORS[:, 0] << 16 | COLORS[:, 1] << 8 | COLORS[:, 2]).astype("<u4")
HEADER = """# .PCD v0.7 - Point Cloud Data file format
VERSION 0.7
FIELDS x _ y z normal_x normal_y normal_z rgb
SIZE 4 1 4 4 4 4 4 4
TYPE F U F F F F F {kind}
COUNT 1 3 1 1 1 1 1 1
WIDTH {count}
HEIGHT 1
VIEWPOINT 0 0 0 1 0 0 0
POINTS {count}
DATA {storage}
"""


def compress_lzf(data: bytes) -> bytes:
    """Greedy, by all earlier places: long and short copies, some of them over themselves, and literals."""
    out, literals, place = bytearray(), bytearray(), 0

    def flush() -> None:
        for start in range(0, len(literals), 32):
            part = literals[start : start + 32]
            out.extend([len(part) - 1, *part])
        literals.clear()

    while place < len(data):
        best, distance = 0, 0
        for back in range(1, min(place, 8192) + 1):
            length = 0
            while length < 264 and place + length < len(data) and data[place + length] == data[place - back + length]:
                length += 1
            if length > best:
                best, distance = length, back - 1
        if best < 3:
            literals.append(data[place])
            place += 1
            continue
        flush()
        if best - 2 < 7:
            out.extend([(best - 2) << 5 | distance >> 8, distance & 255])
        else:
            out.extend([7 << 5 | distance >> 8, best - 9, distance & 255])
        place += best
    flush()
    return bytes(out)


def body(storage: str, kind: str) -> bytes:
    rgb = PACKED.view("<f4") if kind == "F" else PACKED
    columns = [POINTS[:, 0], np.zeros((COUNT, 3), "u1"), POINTS[:, 1], POINTS[:, 2], *NORMALS.T, rgb]
    if storage == "ascii":
        rows = (
            " ".join(
                [repr(x.item()), "0 0 0", repr(y.item()), repr(z.item()), *(f"{n:g}" for n in normal), repr(c.item())]
            )
            for (x, y, z), normal, c in zip(POINTS, NORMALS, rgb, strict=True)
        )
        return "\n".join(rows).encode() + b"\n"
    if storage == "binary":
        return b"".join(column[i].tobytes() for i in range(COUNT) for column in columns)
    plain = b"".join(np.ascontiguousarray(column).tobytes() for column in columns)
    packed = compress_lzf(plain)
    assert len(packed) < len(plain)
    return struct.pack("<2I", len(packed), len(plain)) + packed


@pytest.mark.parametrize("storage", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("kind", ["F", "U"])
@pytest.mark.parametrize("name", ["a.pcd", "a"])
def test_all_forms(tmp_path: Path, storage: str, kind: str, name: str) -> None:
    header = HEADER.format(count=COUNT, storage=storage, kind=kind).encode()
    content = body(storage, kind)
    (tmp_path / name).write_bytes(header + content)
    stored = read_points(tmp_path / name)
    np.testing.assert_array_equal(stored.points.astype(np.float32), POINTS)
    np.testing.assert_array_equal(stored.normals, NORMALS)
    np.testing.assert_allclose(stored.colors, COLORS / 255.0, atol=1e-6)
    (tmp_path / name).write_bytes(header + content[: len(content) * 3 // 4])
    with pytest.raises(
        FormatError, match=r"expected ([\d,]+ (points|lines|bytes)|numbers|11 numbers).*copy the file again"
    ):
        read_points(tmp_path / name)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("DATA binary", "DATA zip", "found 'zip'"),
        ("TYPE F", "TYPE Q", "its PCD header is damaged at 'Q'"),
        ("SIZE 4 1", "SIZE 1", "its PCD header is damaged"),
        ("FIELDS x", "FIELDS u", "expected points with columns x, y and z, found u"),
        (f"POINTS {COUNT}", "POINTS 1000", "expected 1,000 points of 31 bytes, as its header announces, found 40"),
        ("DATA binary", "ATAD", "expected a PCD header that ends with DATA"),
    ],
)
def test_damaged_headers(tmp_path: Path, old: str, new: str, message: str) -> None:
    header = HEADER.format(count=COUNT, storage="binary", kind="F").replace(old, new)
    (tmp_path / "a.pcd").write_bytes(header.encode() + body("binary", "F"))
    with pytest.raises(FormatError, match=message):
        read_points(tmp_path / "a.pcd")


@pytest.mark.parametrize("data", [b"", b"a", b"ab" * 300, b"x" * 1000, bytes(range(256)) * 3, b"abcabcabcd" * 7])
def test_lzf_undoes_its_compression(data: bytes) -> None:
    assert decompress_lzf(compress_lzf(data), len(data)) == data


@pytest.mark.parametrize(
    ("packed", "size", "message"),
    [
        (b"\x01ab", 3, "2 bytes instead of 3"),
        (b"\x05ab", 6, "bytes instead of 6"),
        (b"\x00a\x20\x05", 4, "a copy from before the beginning"),
        (b"\x00a\xe0", 4, "the data end early"),
    ],
)
def test_damaged_lzf(packed: bytes, size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        decompress_lzf(packed, size)
