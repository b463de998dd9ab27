"""PLY files as other programs write them: ASCII and binary, with colours and faces beside the points."""

from pathlib import Path

import numpy as np
import pytest

from neufield.datasets import FormatError
from neufield.datasets.ply_points import read_ply, read_ply_points

POINTS = np.array([[0.0, 1.5, -2.0], [3.0, 4.0, 5.25]])
HEADER = """ply
format {order} 1.0
comment made by hand
element vertex 2
{columns}element face 0
property list uchar int i
end_header
"""


def columns(kind: str) -> str:
    return f"property uchar red\nproperty {kind} x\nproperty {kind} y\nproperty {kind} z\n"


@pytest.mark.parametrize(("order", "mark"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
@pytest.mark.parametrize(("kind", "code"), [("float", "f4"), ("double", "f8"), ("float32", "f4")])
def test_binary_points(tmp_path: Path, order: str, mark: str, kind: str, code: str) -> None:
    layout = np.dtype([("red", mark + "u1"), *((axis, mark + code) for axis in "xyz")])
    rows = np.array([(7, *point) for point in POINTS], dtype=layout)
    header = HEADER.format(order=order, columns=columns(kind))
    (tmp_path / "a.ply").write_bytes(header.encode() + rows.tobytes())
    assert read_ply_points(tmp_path / "a.ply").tolist() == POINTS.tolist()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_text_points(tmp_path: Path, newline: str) -> None:
    text = HEADER.format(order="ascii", columns=columns("float")) + "7 0 1.5 -2\n8 3 4 5.25\n"
    (tmp_path / "a.ply").write_bytes(text.replace("\n", newline).encode())
    assert read_ply_points(tmp_path / "a.ply").tolist() == POINTS.tolist()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", "a.ply: expected a PLY header"),
        ("ply\nformat ascii 1.0\n", "expected a PLY header"),
        (HEADER.format(order="ascii", columns="property float x\n"), "expected vertices with x, y and z;"),
        (HEADER.format(order="middle", columns=columns("float")), "header with its format"),
        (HEADER.format(order="ascii", columns=columns("words")), "found the line 'property words x'"),
        (HEADER.format(order="ascii", columns=columns("float")) + "7 0 1.5 -2\n", "expected 2 vertices, as its header"),
        (HEADER.format(order="ascii", columns=columns("float")) + "7 0 a b\n7 1 1 1\n", "numbers, found b'a'"),
        (
            HEADER.format(order="binary_little_endian", columns=columns("float")) + "7",
            "expected 2 vertices of 13 bytes",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, content: str, text: str) -> None:
    (tmp_path / "a.ply").write_text(content)
    with pytest.raises(FormatError, match=text):
        read_ply_points(tmp_path / "a.ply")
    with pytest.raises(FormatError, match=r"b\.ply: cannot be read"):
        read_ply_points(tmp_path / "b.ply")


MIXED = """ply
format {order} 1.0
element camera 1
property float zoom
property list uchar short tags
element vertex 5
property float nx
property double z
property float ny
property double y
property float nz
property double x
property ushort red
property ushort green
property ushort blue
element face {faces}
property uchar flag
property list {count} int vertex_index
property list uchar float texcoord
end_header
"""
VERTICES = np.arange(15, dtype=np.float64).reshape(5, 3) / 7.0
NORMALS = np.eye(3, dtype=np.float64)[[0, 1, 2, 0, 1]]
COLORS = np.array([[0, 65535, 13107]] * 5)


def mixed_body(order: str, count: str, polygons: list[list[int]]) -> bytes:
    """What follows the header, in one of the three ways."""
    rows: list[tuple[tuple[str, object], ...]] = [(("f4", 1.5), ("u1", 2), ("i2", -4), ("i2", 9))]
    for (x, y, z), (nx, ny, nz), rgb in zip(VERTICES, NORMALS, COLORS, strict=True):
        place = (("f4", nx), ("f8", z), ("f4", ny), ("f8", y), ("f4", nz), ("f8", x))
        rows.append((*place, *(("u2", value) for value in rgb)))
    for polygon in polygons:
        corners = (("i4", corner) for corner in polygon)
        rows.append((("u1", 1), (count, len(polygon)), *corners, ("u1", 1), ("f4", 0.5)))
    if order == "ascii":
        return "\n".join(" ".join(str(value) for _, value in row) for row in rows).encode()
    mark = {"binary_little_endian": "<", "binary_big_endian": ">"}[order]
    return b"".join(np.array(value, mark + kind).tobytes() for row in rows for kind, value in row)


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian", "binary_big_endian"])
@pytest.mark.parametrize(("count_name", "count"), [("uchar", "u1"), ("int", "i4")])
@pytest.mark.parametrize(
    ("polygons", "faces"),
    [
        ([], []),
        ([[0, 1, 2], [2, 3, 4]], [[0, 1, 2], [2, 3, 4]]),
        (
            [[0, 1, 2, 3], [2, 3, 4], [0, 1], [4, 3, 2, 1, 0]],
            [[0, 1, 2], [0, 2, 3], [2, 3, 4], [4, 3, 2], [4, 2, 1], [4, 1, 0]],
        ),
    ],
)
def test_any_order_of_elements_and_properties(
    tmp_path: Path, order: str, count_name: str, count: str, polygons: list[list[int]], faces: list[list[int]]
) -> None:
    header = MIXED.format(order=order, count=count_name, faces=len(polygons)).encode()
    body = mixed_body(order, count, polygons)
    (tmp_path / "a.ply").write_bytes(header + body)
    stored = read_ply(tmp_path / "a.ply")
    assert stored.points.tolist() == VERTICES.tolist()
    assert stored.normals is not None
    assert stored.normals.tolist() == NORMALS.tolist()
    assert stored.colors is not None
    np.testing.assert_allclose(stored.colors, COLORS / 65535.0, rtol=1e-6)
    assert (stored.faces is None and not faces) or (stored.faces is not None and stored.faces.tolist() == faces)
    (tmp_path / "a.ply").write_bytes(header + body[: -6 if order != "ascii" else -8])
    with pytest.raises(FormatError, match=f"expected {len(polygons)} faces" if polygons else "expected 5 vertices"):
        read_ply(tmp_path / "a.ply")


def test_headers_that_lie(tmp_path: Path) -> None:
    good = MIXED.format(order="ascii", count="uchar", faces=1)
    body = mixed_body("ascii", "u1", [[0, 1, 7]]).decode()
    for old, new, text in (
        ("", "", "faces between its 5 vertices, found one with vertex number 7"),
        ("vertex 5", "vertex -5", "rows of 'vertex' with properties of different names"),
        ("property float ny", "property float nx", "rows of 'vertex' with properties of different names"),
        ("vertex 5", "vertex 5000000000", "expected 5,000,000,000 vertices, as its header announces, found fewer"),
        ("vertex 5", "vertex many", "found the line 'element vertex many'"),
    ):
        (tmp_path / "a.ply").write_text(good.replace(old, new) + body if old else good + body)
        with pytest.raises(FormatError, match=text):
            read_ply(tmp_path / "a.ply")
