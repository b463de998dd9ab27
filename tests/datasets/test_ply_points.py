"""PLY files as other programs write them: ASCII and binary, with colours and faces beside the points."""

from pathlib import Path

import numpy as np
import pytest

from neufield.datasets import FormatError
from neufield.datasets.ply_points import read_ply_points

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
        (HEADER.format(order="ascii", columns="property float x\n"), "vertices with x, y and z as their first element"),
        (HEADER.format(order="middle", columns=columns("float")), "vertices with x, y and z"),
        (HEADER.format(order="ascii", columns=columns("words")), "vertices with x, y and z"),
        (HEADER.format(order="ascii", columns=columns("float")) + "7 0 1.5 -2\n", "expected 2 lines of numbers"),
        (HEADER.format(order="ascii", columns=columns("float")) + "7 0 a b\n7 1 1 1\n", "expected 2 lines of numbers"),
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
