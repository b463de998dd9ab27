"""Every fault of a folder is named with its place and remedy: as an error on loading, in the report on inspection."""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neufield.datasets import DataError, inspect_folder, load_posed_scene
from neufield.datasets import errors as kinds

Write = Callable[..., Path]


def assert_refused(folder: Path, kind: type[DataError], *texts: str) -> None:
    """Loading raises, inspecting reports; both with all the texts in one message."""
    with pytest.raises(kind) as caught:
        load_posed_scene(folder)
    report = inspect_folder(folder)
    assert not report.ok
    for text in texts:
        assert text in str(caught.value)
        assert any(text in line for line in report.lines())


def matrix(**changes: float) -> list[list[float]]:
    """A pose with some entries changed: `m03=1.0` is row 0, column 3."""
    values = np.eye(4)
    for key, value in changes.items():
        values[int(key[1]), int(key[2])] = value
    return values.tolist()


def test_missing_folder(tmp_path: Path) -> None:
    assert_refused(tmp_path / "nowhere", kinds.MissingFolderError, "nowhere", "found nothing; check the path")
    (tmp_path / "file").write_text("")
    assert_refused(tmp_path / "file", kinds.MissingFolderError, "found a file")


def test_no_poses(tmp_path: Path) -> None:
    looked_for = ("transforms_train.json", "transforms.json", "sparse/0/cameras.bin", "poses_bounds.npy")
    assert_refused(tmp_path, kinds.NoPosesError, *looked_for, "no images")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert_refused(tmp_path, kinds.NoPosesError, "1 images; get poses by `neufield data pose ")


def test_no_poses_but_below(blender: Path) -> None:
    assert_refused(blender.parent, kinds.NoPosesError, "poses in these folders of it: solid")


def test_unreadable_image(write_transforms: Write) -> None:
    folder = write_transforms()
    (folder / "images/004.png").write_bytes(b"")
    assert_refused(folder, kinds.ImageFileError, "images/004.png: cannot be read as an image", "copy it again")


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_truncated_image(write_transforms: Write, ending: str) -> None:
    folder = write_transforms(frames={4: {"file_path": f"images/large.{ending}"}})
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    path = folder / f"images/large.{ending}"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:-120])
    assert_refused(folder, kinds.ImageFileError, f"images/large.{ending}: cannot be read as an image")


def test_image_with_16_bits(write_transforms: Write) -> None:
    folder = write_transforms()
    Image.fromarray(np.zeros((8, 12), dtype=np.uint16)).save(folder / "images/004.png")
    assert_refused(folder, kinds.ImageFileError, "images/004.png: expected 8 bits per channel", "save it as 8-bit PNG")


def test_image_that_claims_a_huge_size(write_transforms: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_transforms()
    monkeypatch.setattr("neufield.datasets.image_files.PIXEL_LIMIT", 90)
    assert_refused(folder, kinds.ImageSizeError, "expected at most 90 pixels, found 12x8 pixels")
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 40)
    assert_refused(folder, kinds.ImageSizeError, "expected at most 90 pixels, found more")


def test_image_of_another_size(write_transforms: Write) -> None:
    folder = write_transforms()
    Image.new("RGB", (8, 12)).save(folder / "images/004.png")
    assert_refused(folder, kinds.ImageSizeError, "images/004.png: expected 12x8 pixels (its camera), found 8x12")


def test_exif_orientation_turns_nothing_and_is_named(write_transforms: Write) -> None:
    folder = write_transforms(frames={4: {"file_path": "images/turned.jpg"}})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (12, 8)).save(folder / "images/turned.jpg", exif=exif)
    scene = load_posed_scene(folder)
    assert scene.train.image(scene.train.names.index("images/turned.jpg")).shape == (8, 12, 3)
    Image.new("RGB", (8, 12)).save(folder / "images/turned.jpg", exif=exif)
    assert_refused(
        folder, kinds.ImageSizeError, "images/turned.jpg: expected 12x8", "EXIF orientation asks for a quarter"
    )


@pytest.mark.parametrize(
    ("pose", "text"),
    [
        (matrix(m00=1.2), "expected a rotation (R Rᵀ = 1 up to 0.001), found a matrix that is off by 0.44"),
        (matrix(m00=2.0, m11=2.0, m22=2.0), "found a rotation scaled by 2; divide its 3x3 part by that"),
        (matrix(m00=-1.0), "found a reflection"),
        (matrix(m00=0.0, m11=0.0, m22=0.0), "found a matrix that is off by 1"),
        (matrix(m03=float("nan")), "found NaN or infinity"),
        (matrix(m11=float("inf")), "found NaN or infinity"),
        (matrix(m33=2.0), "expected 0, 0, 0, 1 in the matrix's last row"),
        (np.eye(3).tolist(), "expected a 3x4 or 4x4 matrix, found shape 3x3"),
    ],
)
def test_wrong_poses(write_transforms: Write, pose: list[list[float]], text: str) -> None:
    folder = write_transforms(frames={4: {"transform_matrix": pose}})
    assert_refused(folder, kinds.PoseError, "transforms.json, frame 4 (images/004.png)", text)


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ({"file_path": 3}, "expected 'file_path' to be a text, found 3"),
        ({"file_path": None}, "expected 'file_path' to be the path of an image, found null"),
        ({"transform_matrix": None}, "expected 'transform_matrix' to be a 4x4 matrix (a list of rows), found null"),
        (
            {"transform_matrix": [[1.0], [1.0, 2.0]]},
            "expected 'transform_matrix' to be a matrix whose rows have one length",
        ),
        ({"transform_matrix": [["a"]]}, "expected 'transform_matrix' to be a matrix of numbers"),
        ({"fl_x": "wide"}, "expected 'fl_x' to be a finite number above 0, found \"wide\""),
        ({"fl_x": 0}, "expected 'fl_x' to be a finite number above 0, found 0"),
        ({"fl_x": -3.0}, "expected 'fl_x' to be a finite number above 0, found -3.0"),
        ({"fl_x": True}, "expected 'fl_x' to be a finite number above 0, found true"),
        ({"cx": float("nan")}, "expected 'cx' to be a finite number, found NaN"),
        ({"k1": [1]}, "expected 'k1' to be a finite number, found [1]"),
        ({"w": 0}, "expected 'w' to be a finite number above 0, found 0"),
        ({"is_fisheye": "yes"}, "expected 'is_fisheye' to be true or false"),
        ({"camera_model": "EQUIRECTANGULAR"}, "expected a 'camera_model' out of"),
        ({"ftheta_p0": 1.0}, "the lens 'ftheta_p0' is not read here"),
    ],
)
def test_wrong_values_in_a_frame(write_transforms: Write, frame: dict[str, Any], text: str) -> None:
    assert_refused(write_transforms(frames={4: frame}), kinds.FormatError, "transforms.json, frame 4", text)


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"frames": 3}, "transforms.json: expected 'frames' to be a list, found 3"),
        ({"frames": [3]}, "transforms.json, frame 0: expected an object, found 3"),
        ({"frames": []}, "transforms.json: expected at least one posed image, found none"),
        ({"fl_x": None, "fl_y": None}, "expected a focal length ('fl_x' in pixels or 'camera_angle_x' in radians)"),
        ({"aabb_scale": "big"}, "expected 'aabb_scale' to be a finite number above 0 and below 1025, found \"big\""),
        ({"offset": [1, 2]}, "expected 'offset' to be a number or three"),
        ({"train_filenames": [1]}, "expected 'train_filenames' to be a list of texts"),
    ],
)
def test_wrong_values_in_the_document(write_transforms: Write, keys: dict[str, Any], text: str) -> None:
    assert_refused(write_transforms(**keys), kinds.FormatError, text)


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'{\n "frames": [,]\n}', "transforms.json: expected valid JSON, found a mistake at line 2, column 13"),
        (b"[]", "transforms.json: expected a JSON object, found list"),
        (b'"\xff"', "transforms.json: expected valid JSON in UTF-8"),
        (b"[" * 100_000, "transforms.json: expected valid JSON"),
    ],
)
def test_invalid_json(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "transforms.json").write_bytes(content)
    assert_refused(tmp_path, kinds.FormatError, text)


@pytest.mark.parametrize(
    "path", ["../secret.png", "images/../../secret.png", "/etc/hostname", "C:\\a.png", "images\\..\\..\\a"]
)
def test_paths_that_climb_out(write_transforms: Write, path: str) -> None:
    folder = write_transforms(frames={4: {"file_path": path}})
    Image.new("RGB", (12, 8)).save(folder.parent / "secret.png")
    assert_refused(
        folder, kinds.UnsafePathError, "transforms.json, frame 4: expected a path inside", "put the images into"
    )


def test_links_that_lead_out(write_transforms: Write) -> None:
    folder = write_transforms(frames={4: {"file_path": "images/link"}})
    Image.new("RGB", (12, 8)).save(folder.parent / "secret.png")
    (folder / "images/link.png").symlink_to(folder.parent / "secret.png")
    assert_refused(folder, kinds.UnsafePathError, "transforms.json, frame 4: expected a path inside")


def test_data_folder_that_is_a_link_itself_is_fine(write_transforms: Write, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(write_transforms())
    assert len(load_posed_scene(link).train) == 8


def test_no_listed_image_is_there(write_transforms: Write) -> None:
    folder = write_transforms()
    for path in (folder / "images").iterdir():
        path.unlink()
    assert_refused(
        folder, kinds.FormatError, "transforms.json: none of its 10 images is there (images/000.png, images/001"
    )


def test_too_few_images(write_transforms: Write) -> None:
    text = "expected at least 2 images to train on and 1 held out (every 8th image by name), found 1 and 1"
    assert_refused(write_transforms(count=2), kinds.TooFewImagesError, text, "add posed images")


@pytest.mark.parametrize(("keyword", "value"), [("downscale", 0), ("holdout_every", 1)])
def test_wrong_options(write_transforms: Write, keyword: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{keyword}: expected a whole number from"):
        load_posed_scene(write_transforms(), **{keyword: value})


def test_lens_that_folds(write_transforms: Write) -> None:
    folder = write_transforms(frames={4: {"k1": -2.0}})
    assert_refused(folder, kinds.FormatError, "images/004.png, camera 0: the distortion folds the image over")


@pytest.mark.parametrize("file", ["cameras", "images", "points3D"])
def test_truncated_colmap_binaries(write_colmap: Write, file: str) -> None:
    folder = write_colmap()
    path = folder / f"sparse/0/{file}.bin"
    content = path.read_bytes()
    for length in (0, 7, 30, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        assert_refused(folder, kinds.FormatError, f"{file}.bin: cut short", "copy the model again")


@pytest.mark.parametrize("file", ["cameras", "images", "points3D"])
@pytest.mark.parametrize("count", [10_000, 2**63])
def test_colmap_counts_beyond_the_file(write_colmap: Write, file: str, count: int) -> None:
    folder = write_colmap()
    path = folder / f"sparse/0/{file}.bin"
    path.write_bytes(struct.pack("<Q", count) + path.read_bytes()[8:])
    assert_refused(folder, kinds.FormatError, f"{file}.bin: cut short or damaged: it announces {count}")


@pytest.mark.parametrize(
    ("changes", "kind", "text"),
    [
        ({"camera_id": 7}, kinds.FormatError, "expected one of the cameras of the model (1), found camera 7"),
        ({"params": (float("nan"), 1.0, 1.0, 1.0)}, kinds.FormatError, "parameters that are not finite"),
        ({"params": (0.0, 1.0, 1.0, 1.0)}, kinds.FormatError, "needs focal lengths above zero; found 0, 1"),
        (
            {"model": (6, "FULL_OPENCV"), "params": (1.0,) * 12},
            kinds.FormatError,
            "camera model FULL_OPENCV is not supported",
        ),
        ({"image_size": (10, 8)}, kinds.ImageSizeError, "expected 12x8 pixels (its camera), found 10x8"),
        ({"names": ["../000.png"] * 10}, kinds.UnsafePathError, "expected a path inside"),
    ],
)
@pytest.mark.parametrize("ending", [".bin", ".txt"])
def test_wrong_colmap_models(
    write_colmap: Write, ending: str, changes: dict[str, Any], kind: type[DataError], text: str
) -> None:
    assert_refused(write_colmap(ending, **changes), kind, text)


def test_unknown_colmap_model(write_colmap: Write) -> None:
    text = "cameras.bin, camera 1: camera model number 99 is not known; undistort the images"
    assert_refused(write_colmap(model=(99, "")), kinds.FormatError, text)


@pytest.mark.parametrize(
    ("file", "content", "text"),
    [
        ("cameras", "1 PINHOLE wide 8 1 1 1 1", "cameras.txt, line 1: expected CAMERA_ID MODEL WIDTH HEIGHT PARAMS"),
        ("images", "1 1 0 0 0 0 0 0 1", "images.txt, line 1: expected IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME"),
        ("images", "1 1 0 0 0 0 0 0 1 a.png\n1.0 2.0", "images.txt, line 2: expected X Y POINT3D_ID"),
        ("images", "1 0 0 0 0 0 0 0 1 000.png\n", "expected a quaternion of length 1 as rotation, found length 0"),
        ("images", "1 nan 0 0 0 0 0 0 1 000.png\n", "found NaN or infinity"),
        ("points3D", "1 2 3", "points3D.txt, line 1: expected POINT3D_ID X Y Z"),
    ],
)
def test_wrong_colmap_text(write_colmap: Write, file: str, content: str, text: str) -> None:
    folder = write_colmap(".txt")
    (folder / f"sparse/0/{file}.txt").write_text(content)
    assert_refused(folder, DataError, text)


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (
            np.zeros((10, 15)),
            "expected N rows of 17 numbers (a 3x5 pose and two bounds), found float64 of shape (10, 15)",
        ),
        (np.zeros(17), "found float64 of shape (17,)"),
        (np.zeros((9, 17)), "expected one row per image, found 9 rows and 10 images"),
        (np.zeros((10, 17)), "row 0 (000.png): expected height, width and focal length above zero"),
        (np.array([{}]), "expected an array that numpy.save wrote"),
    ],
)
def test_wrong_poses_bounds(write_llff: Write, rows: np.ndarray, text: str) -> None:
    assert_refused(write_llff(rows=rows), kinds.FormatError, "poses_bounds.npy", text)


@pytest.mark.parametrize("length", [0, 5, 200])
def test_truncated_poses_bounds(write_llff: Write, length: int) -> None:
    folder = write_llff()
    path = folder / "poses_bounds.npy"
    path.write_bytes(path.read_bytes()[:length])
    assert_refused(folder, kinds.FormatError, "poses_bounds.npy: expected an array that numpy.save wrote")


def test_inspection_collects_all_faults(write_transforms: Write) -> None:
    folder = write_transforms(frames={2: {"fl_x": 0}, 4: {"transform_matrix": matrix(m00=3.0)}})
    (folder / "images/006.png").write_bytes(b"no image")
    (folder / "images/007.png").unlink()
    report = inspect_folder(folder)
    assert len(report.problems) == 3
    assert report.train_images + report.test_images == 6
    assert report.lines()[-1] == "not ready: 3 problems"
    assert any("1 of 10 frames" in line for line in report.lines())
