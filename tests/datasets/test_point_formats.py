"""Point files as other programs write them, in every format that is read: the same points come out of each."""

import struct
from pathlib import Path

import numpy as np
import pytest

from neufield.datasets import FormatError, MissingFileError, MissingPackageError
from neufield.datasets.point_formats import read_points
from neufield.datasets.stored_points import StoredPoints, shades, triangles

POINTS = np.random.default_rng(3).normal(size=(12, 3)).round(4)
NORMALS = (POINTS / np.linalg.norm(POINTS, axis=1, keepdims=True)).round(6)
COLORS = np.random.default_rng(4).integers(0, 256, (12, 3))


def text(*columns: np.ndarray, separator: str = " ") -> str:
    return "".join(separator.join(f"{value:.8g}" for value in row) + "\n" for row in np.concatenate(columns, axis=1))


def read(path: Path, content: str | bytes) -> StoredPoints:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_points(path)


def assert_holds(stored: StoredPoints, *, normals: bool = False, colors: bool = False) -> None:
    np.testing.assert_allclose(stored.points, POINTS, rtol=1e-6)
    assert (stored.normals is not None) == normals
    assert (stored.colors is not None) == colors
    if stored.normals is not None:
        np.testing.assert_allclose(stored.normals, NORMALS, atol=1e-6)
    if stored.colors is not None:
        np.testing.assert_allclose(stored.colors, COLORS / 255.0, atol=1e-6)


DECIMAL_COMMAS = text(POINTS, NORMALS).replace(".", ",")


@pytest.mark.parametrize(
    "content",
    [
        text(POINTS),
        text(POINTS, separator="\t"),
        text(POINTS, separator=","),
        text(POINTS, separator=" , "),
        text(POINTS, separator=";"),
        text(POINTS, separator=";").replace(".", ","),
        text(POINTS).replace(".", ","),
        text(POINTS).replace("\n", "\r\n"),
        text(POINTS).replace("\n", "\r"),
        "\n\n" + text(POINTS) + "\n\n",
        text(POINTS).rstrip("\n"),
        "# from a scanner, in metres\n// two comments\n" + text(POINTS).replace("\n", "  # one more\n", 1),
        "x,y,z\n" + text(POINTS, separator=","),
        '"X";"Y";"Z"\n' + text(POINTS, separator=";"),
        "12\n" + text(POINTS),
        "z y x\n" + text(POINTS[:, ::-1]),
        "X Y Z\n# in metres\n" + text(POINTS),
        "\ufeff# by Windows\n" + text(POINTS),
        "\ufeff" + text(POINTS),
    ],
)
@pytest.mark.parametrize("name", ["a.xyz", "a.csv", "a.txt", "a"])
def test_tables(tmp_path: Path, content: str, name: str) -> None:
    stored = read(tmp_path / name, content)
    assert_holds(stored)
    assert not stored.notes


@pytest.mark.parametrize(
    ("content", "normals", "colors"),
    [
        (text(POINTS, NORMALS), True, False),
        (DECIMAL_COMMAS, True, False),
        (text(POINTS, COLORS), False, True),
        (text(POINTS, COLORS / 255.0), False, True),
        (text(POINTS, NORMALS, COLORS), True, True),
        (text(POINTS, COLORS, NORMALS), True, True),
        ("r g b x y z nx ny nz\n" + text(COLORS, POINTS, NORMALS), True, True),
        ("# x y z normal_x normal_y normal_z\n" + text(POINTS, NORMALS), True, False),
    ],
)
def test_what_more_columns_are(tmp_path: Path, content: str, normals: bool, colors: bool) -> None:
    stored = read(tmp_path / "a.xyz", content)
    assert_holds(stored, normals=normals, colors=colors)
    assert not stored.notes


def test_a_first_line_of_words_is_skipped_and_told(tmp_path: Path) -> None:
    stored = read(tmp_path / "a.txt", "easting northing height\n" + text(POINTS))
    assert_holds(stored)
    assert stored.notes == ("line 1, 'easting northing height', is no line of numbers, and was skipped",)


def test_an_intensity_is_no_colour(tmp_path: Path) -> None:
    intensity = np.arange(12.0)[:, None]
    assert_holds(read(tmp_path / "a.pts", "12\n" + text(POINTS, intensity, COLORS)), colors=True)
    assert_holds(read(tmp_path / "a.pts", text(POINTS, NORMALS, intensity)), normals=True)


def test_columns_of_no_known_meaning_are_told(tmp_path: Path) -> None:
    stored = read(tmp_path / "a.txt", text(POINTS, -3.0 * POINTS[:, :1], COLORS))
    assert_holds(stored, colors=True)
    assert stored.notes == (
        "column 4: neither unit normals nor colours, and left out; a first line such as `x y z nx ny nz` names them",
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("x y z\n", r"expected lines of numbers, x y z, found none"),
        ("1 2\n3 4\n", r"expected at least three columns, x y z, found 2"),
        ("x y z\n1 2 3\n4 5\n", r"line 3: expected 3 numbers, as the lines before it have, found 2"),
        ("1 2 3\n\n4 5 tree\n", r"line 3: expected numbers, found 'tree'"),
        ("3\n1 2 3\n4 5 6\n", r"expected 3 points, as its first line says, found 2"),
        ("", "is empty; copy it again"),
        (" \n\n", "is empty; copy it again"),
        ("\x89PNG\r\n\x1a\n\0\0", "expected points as ply, .* found another kind of file"),
    ],
)
def test_damaged_tables(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(FormatError, match=rf"a\.xyz: {message}"):
        read(tmp_path / "a.xyz", content)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="expected a file of points, found nothing; check the path"):
        read_points(tmp_path / "a.ply")
    with pytest.raises(MissingFileError, match="found a folder; name one of its files"):
        read_points(tmp_path)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_arrays(tmp_path: Path, dtype: type) -> None:
    for columns, normals in ((POINTS, False), (np.concatenate([POINTS, NORMALS], axis=1), True)):
        np.save(tmp_path / "a.npy", columns.astype(dtype))
        stored = read_points(tmp_path / "a.npy")
        assert stored.points.tolist() == columns[:, :3].astype(dtype).tolist()
        assert (stored.normals is not None) == normals
    np.savez(tmp_path / "a.npz", points=POINTS, normals=NORMALS, colors=COLORS.astype(np.uint8))
    assert_holds(read_points(tmp_path / "a.npz"), normals=True, colors=True)
    np.savez_compressed(tmp_path / "b.npz", whatever=POINTS)
    assert_holds(read_points(tmp_path / "b.npz"))
    rows = np.array([tuple(point) for point in POINTS], [(axis, "f8") for axis in "xyz"])
    np.save(tmp_path / "a.npy", rows)
    assert_holds(read_points(tmp_path / "a.npy"))


def test_wrong_arrays(tmp_path: Path) -> None:
    for array, message in (
        (
            POINTS.T[:2],
            r"expected points as an array \(n, 3\) or \(n, 6\), found \(2, 12\); save them with a row for each",
        ),
        (np.zeros((3, 1000)), r"found \(3, 1000\); save them with a row for each"),
        (POINTS.astype(complex), "expected points as numbers, found the type complex128"),
        (POINTS.astype(str), "expected points as numbers, found the type"),
    ):
        np.save(tmp_path / "a.npy", array)
        with pytest.raises(FormatError, match=message):
            read_points(tmp_path / "a.npy")
    np.save(tmp_path / "a.npy", np.array([None, {}]), allow_pickle=True)
    with pytest.raises(FormatError, match="cannot be read as numbers of numpy"):
        read_points(tmp_path / "a.npy")
    np.savez(tmp_path / "a.npz", left=POINTS, right=POINTS)
    with pytest.raises(FormatError, match="expected an array called 'points', found left, right"):
        read_points(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", points=POINTS, normals=NORMALS[:5])
    with pytest.raises(FormatError, match=r"normals and colours of shape \(12, 3\), as the points, found \(5, 3\)"):
        read_points(tmp_path / "a.npz")
    np.save(tmp_path / "a.npy", POINTS)
    content = (tmp_path / "a.npy").read_bytes()
    with pytest.raises(FormatError, match="cannot be read as numbers of numpy"):
        read(tmp_path / "a.npy", content[:-20])
    with pytest.raises(FormatError, match="cannot be read as numbers of numpy"):
        read(tmp_path / "a.npz", b"PK\x03\x04" + content)


def obj(prefix: str, *columns: np.ndarray) -> str:
    return "".join(f"{prefix} {line}\n" for line in text(*columns).splitlines())


@pytest.mark.parametrize(
    ("content", "normals", "colors", "faces"),
    [
        (obj("v", POINTS), False, False, []),
        ("# made\no thing\n" + obj("v", POINTS) + obj("vn", NORMALS), True, False, []),
        (obj("v", POINTS, COLORS / 255.0), False, True, []),
        (obj("v", POINTS) + "f 1 2 3\nf -1 -2 -3 -4\n", False, False, [[0, 1, 2], [11, 10, 9], [11, 9, 8]]),
        (obj("v", POINTS) + "vt 0 0\n" + obj("vn", NORMALS) + "f 1/1/1 2//2 3/1/3\n", True, False, [[0, 1, 2]]),
        (obj("v", POINTS) + obj("vn", NORMALS[:1]) + "f 1//1 2//1 3//1\n", False, False, [[0, 1, 2]]),
        (obj("v", POINTS) + obj("vn", NORMALS) + "f 1//2 2//1 3//3\n", False, False, [[0, 1, 2]]),
    ],
)
@pytest.mark.parametrize("name", ["a.obj", "a.dat"])
def test_obj(tmp_path: Path, content: str, normals: bool, colors: bool, faces: list[list[int]], name: str) -> None:
    stored = read(tmp_path / name, content)
    assert_holds(stored, normals=normals, colors=colors)
    assert stored.faces is not None
    assert stored.faces.tolist() == faces
    assert bool(stored.notes) == ("vn" in content and not normals)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("f 1 2 3\n", "expected vertices, lines `v x y z`, found none"),
        ("v 1 2\nv 1 2\n", "expected vertices, lines `v x y z`, found 2 numbers in each"),
        ("v 1 2 3\nv 1 2\n", "line 2: expected 3 numbers"),
        ("v 1 2 3\nvt 0 0\nv 1 2 q\n", "line 3: expected numbers, found 'q'"),
        ("v 1 2 3\nf 1 2 3\n", "faces between its 1 vertices, found one with vertex number 1"),
        ("v 1 2 3\nf 0 1 1\n", "found one with vertex number -1"),
        ("v 1 2 3\nf a b c\n", "expected numbers, found b'a'"),
        ("v 1 2 3\nf a/1 b/2 c/3\n", "expected faces as `f 1 2 3`"),
    ],
)
def test_damaged_obj(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        read(tmp_path / "a.obj", content)


SQUARE = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])


def test_off_and_stl_meshes(tmp_path: Path) -> None:
    stored = read(tmp_path / "a.off", "OFF\n4 1 0\n" + text(SQUARE) + "4 0 1 2 3\n")
    assert stored.points.tolist() == SQUARE.tolist()
    assert stored.faces is not None
    assert len(stored.faces) == 2
    corners = SQUARE[[[0, 1, 2], [0, 2, 3]]].astype("<f4")
    body = b"".join(struct.pack("<3f", 0, 0, 1) + triangle.tobytes() + b"\0\0" for triangle in corners)
    stored = read(tmp_path / "a.stl", b"\0" * 80 + struct.pack("<I", 2) + body)
    assert sorted(stored.points.tolist()) == sorted(SQUARE.tolist())
    assert stored.faces is not None
    assert stored.points[stored.faces].tolist() == corners.tolist()


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.off", b"OFF\n4 1"), ("a.stl", b"\0" * 80 + b"\5\0\0\0" + b"\0" * 70), ("a.glb", b"glTF\2\0\0\0")],
)
def test_damaged_meshes(tmp_path: Path, name: str, content: bytes) -> None:
    with pytest.raises(FormatError, match=r"cannot be read as (OFF|STL|GLB) mesh \(.*copy it again from its source"):
        read(tmp_path / name, content)


def test_las_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "laspy", None)
    with pytest.raises(MissingPackageError, match=r"need the package laspy, .* pip install .*'\.\[las\]'"):
        read(tmp_path / "a.laz", b"LASF" + b"\0" * 400)


@pytest.mark.parametrize("ending", ["las", "laz"])
def test_las(tmp_path: Path, ending: str) -> None:
    laspy = pytest.importorskip("laspy", reason="needs the package laspy")
    las = laspy.create(point_format=2)
    las.header.scales = np.full(3, 1e-4)
    las.x, las.y, las.z = POINTS.T
    las.red, las.green, las.blue = COLORS.T
    try:
        las.write(tmp_path / f"a.{ending}")
    except laspy.errors.LaspyException as error:
        pytest.skip(f"needs a backend for LAZ: {error}")
    stored = read_points(tmp_path / f"a.{ending}")
    np.testing.assert_allclose(stored.points, POINTS, atol=1e-9)
    np.testing.assert_allclose(stored.colors, COLORS / 255.0, atol=1e-6)
    content = (tmp_path / f"a.{ending}").read_bytes()
    with pytest.raises(FormatError, match="cannot be read as LAS points"):
        read(tmp_path / f"b.{ending}", content[:150])


def test_shades_and_triangles() -> None:
    assert shades(np.array([[0, 51, 255]], np.uint8)).tolist() == [[0.0, np.float32(0.2), 1.0]]
    assert shades(np.array([[0, 1, 1]], np.uint8)).max() == np.float32(1.0 / 255.0)
    assert shades(np.array([[0, 13107, 65535]], np.uint16)).tolist() == [[0.0, np.float32(0.2), 1.0]]
    assert shades(np.array([[0, 51, 255]], np.uint16)).tolist() == [[0.0, np.float32(0.2), 1.0]]
    assert shades(np.array([[0.0, 0.5, np.nan]])).tolist() == [[0.0, 0.5, 0.0]]
    assert shades(np.empty((0, 3))).shape == (0, 3)
    fans = triangles(np.array([4, 2, 3]), np.array([5, 6, 7, 8, 0, 1, 2, 3, 4]))
    assert fans.tolist() == [[5, 6, 7], [5, 7, 8], [2, 3, 4]]
