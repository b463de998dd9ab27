"""Pictures written and read again are the same; what a file cannot hold is told or refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageCms

from neufield.datasets import StoredType, load_picture
from neufield.datasets.screen_values import srgb_from_linear
from neufield.tools.picture_files import file_type, write_picture

PREMULTIPLIED = "its colours are premultiplied by alpha, and stay so"


def picture(channels: int, stored: StoredType, *, height: int = 19, width: int = 33) -> np.ndarray:
    """Floats that the type holds exactly: in [0, 1] for whole numbers, else in [-2, 4]."""
    generator, shape = np.random.default_rng(channels), (height, width, channels)
    if stored in ("uint8", "uint16"):
        largest = np.iinfo(stored).max
        return generator.integers(0, largest + 1, shape).astype(np.float32) / np.float32(largest)
    return generator.uniform(-2, 4, shape).astype(stored).astype(np.float32)


@pytest.mark.parametrize(
    ("ending", "stored"),
    [
        ("png", "uint8"),
        ("png", "uint16"),
        ("tif", "uint8"),
        ("tiff", "uint16"),
        ("tif", "float16"),
        ("tif", "float32"),
        ("exr", "float16"),
        ("exr", "float32"),
        ("npy", "uint8"),
        ("npy", "uint16"),
        ("npy", "float16"),
        ("npy", "float32"),
    ],
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_written_and_read_again(tmp_path: Path, ending: str, stored: StoredType, channels: int) -> None:
    values, path = picture(channels, stored), tmp_path / f"a.{ending}"
    assert write_picture(path, values, stored, premultiplied=ending == "exr") == ()
    found = load_picture(path)
    assert found.stored == stored
    np.testing.assert_array_equal(found.rows(0, 19), values)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("ending", ["png", "tif", "exr", "npy", "jpg", "hdr"])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (517, 2), (512, 256)])
def test_any_size(tmp_path: Path, ending: str, size: tuple[int, int]) -> None:
    values = picture(3, "uint8", height=size[0], width=size[1])
    write_picture(tmp_path / f"a.{ending}", values, "uint8")
    found = load_picture(tmp_path / f"a.{ending}")
    assert found.size == (size[1], size[0])
    if ending not in ("jpg", "hdr"):
        np.testing.assert_array_equal(found.rows(0, size[0]), values)


@pytest.mark.parametrize("channels", [1, 3])
def test_radiance_within_its_precision(tmp_path: Path, channels: int) -> None:
    values = np.abs(picture(channels, "float32", width=200)) * np.float32(1e3)
    assert write_picture(tmp_path / "a.hdr", values, "float32") == ()
    found = load_picture(tmp_path / "a.hdr").values
    assert np.all(np.abs(found - values) <= values.max(axis=2, keepdims=True) / 128)


def test_jpeg_is_close(tmp_path: Path) -> None:
    slope = np.linspace(0, 1, 64, dtype=np.float32)
    flat = np.full((64, 64), 0.5, np.float32)
    values = np.stack([slope[None].repeat(64, 0), slope[:, None].repeat(64, 1), flat], axis=2)
    write_picture(tmp_path / "a.jpg", values, "uint16")
    assert np.abs(load_picture(tmp_path / "a.jpg").rows(0, 64) - values).max() < 0.03


@pytest.mark.parametrize("ending", ["png", "tif", "exr", "npy", "hdr", "jpg"])
def test_bands_give_the_same_file(tmp_path: Path, ending: str) -> None:
    values = np.abs(picture(3, "float32", height=700, width=300))

    def bands() -> Iterator[np.ndarray]:
        for top in range(0, 700, 90):
            yield values[top : top + 90]

    write_picture(tmp_path / f"a.{ending}", values, "float32")
    write_picture(tmp_path / f"b.{ending}", bands(), "float32", shape=(700, 300, 3))
    whole, banded = (load_picture(tmp_path / f"{name}.{ending}").values for name in "ab")
    np.testing.assert_array_equal(whole, banded)


def test_bands_that_do_not_make_up_the_picture(tmp_path: Path) -> None:
    values, path = picture(3, "uint8"), tmp_path / "a.tif"
    with pytest.raises(ValueError, match=r"a\.tif: bands of rows need the shape of the whole picture"):
        write_picture(path, iter([values]), "uint8")
    with pytest.raises(ValueError, match=r"a\.tif: expected 20 rows in all, found 19"):
        write_picture(path, iter([values]), "uint8", shape=(20, 33, 3))
    with pytest.raises(ValueError, match=r"shape \(_, 33, 3\), found \(19, 33, 3\) after 19 rows"):
        write_picture(path, iter([values, values]), "uint8", shape=(20, 33, 3))
    with pytest.raises(ValueError, match=r"found \(19, 32, 3\) after 0 rows"):
        write_picture(path, iter([values[:, 1:]]), "uint8", shape=(19, 33, 3))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("ending", "stored", "expected"),
    [
        ("png", "float32", "uint16"),
        ("png", "float16", "uint16"),
        ("jpg", "uint16", "uint8"),
        ("JPG", "float32", "uint8"),
        ("exr", "uint8", "float32"),
        ("exr", "float16", "float16"),
        ("hdr", "float16", "float32"),
        ("tif", "float16", "float16"),
    ],
)
def test_type_follows_the_ending_and_the_source(ending: str, stored: Any, expected: str) -> None:
    assert file_type(Path(f"a.{ending}"), stored, 3) == expected


def test_names_that_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a\.xyz: a picture's name must end with one of \.png, \.jpg"):
        file_type(Path("a.xyz"), "uint8", 3)
    with pytest.raises(ValueError, match=r"\.jpg files have no alpha, and this picture has; take \.png, \.tif or"):
        file_type(Path("a.jpg"), "uint8", 4)
    with pytest.raises(ValueError, match="a picture has 1 to 4 channels, found 5"):
        file_type(Path("a.png"), "uint8", 5)


def test_floats_are_cut_off_with_a_note(tmp_path: Path) -> None:
    values = np.array([[[-0.5], [0.25], [1.5], [np.nan]]], np.float32)
    notes = write_picture(tmp_path / "a.png", values, "float32")
    assert notes == ("a.png: 2 values outside [0, 1] were cut off",)
    assert load_picture(tmp_path / "a.png").values.ravel().tolist() == [0, 16384, 65535, 0]
    assert write_picture(tmp_path / "a.png", values, "uint8") == ()
    notes = write_picture(tmp_path / "a.exr", np.full((1, 1, 3), 1e6, np.float32), "float16")
    assert notes == ("a.exr: 3 values outside the range of half precision were cut off",)


def test_linear_light_becomes_srgb_for_screens(tmp_path: Path) -> None:
    values = np.array([[[0.0], [0.001], [0.2140411], [1.0]]], np.float32)
    notes = write_picture(tmp_path / "a.png", values, "float32", linear=True)
    assert notes == ("a.png: linear light was encoded as sRGB, for screens",)
    found = load_picture(tmp_path / "a.png").rows(0, 1).ravel()
    np.testing.assert_allclose(found, [0, 0.01292, 0.5, 1], atol=1e-5)
    write_picture(tmp_path / "a.tif", values, "float32", linear=True)
    np.testing.assert_array_equal(load_picture(tmp_path / "a.tif").values, values)


def test_srgb_is_odd_and_continuous() -> None:
    x = np.linspace(-2, 2, 40_001, dtype=np.float32)
    y = srgb_from_linear(x)
    np.testing.assert_allclose(y, -y[::-1], atol=2e-6)
    assert np.diff(y).min() > 0
    assert np.diff(y).max() < 12.93 * 1.01e-4


def test_alpha_is_straight_in_png_and_premultiplied_in_exr(tmp_path: Path) -> None:
    straight = np.array([[[0.5, 0.25, 1.0, 0.5], [0.0, 0.0, 0.0, 0.0]]], np.float32)
    colors = straight * np.array([0.5, 0.5, 0.5, 1.0], np.float32)
    write_picture(tmp_path / "a.exr", straight, "float32")
    np.testing.assert_array_equal(load_picture(tmp_path / "a.exr").values, colors)
    write_picture(tmp_path / "a.png", colors, "uint16", premultiplied=True)
    np.testing.assert_allclose(load_picture(tmp_path / "a.png").rows(0, 1), straight, atol=1e-5)
    write_picture(tmp_path / "a.tif", colors, "float32", premultiplied=True)
    found = load_picture(tmp_path / "a.tif")
    assert (found.premultiplied, found.notes) == (True, (PREMULTIPLIED,))
    np.testing.assert_array_equal(found.values, colors)


@pytest.mark.parametrize(
    ("ending", "stored"), [("png", "uint8"), ("png", "uint16"), ("jpg", "uint8"), ("tif", "uint16")]
)
def test_profiles_come_back(tmp_path: Path, ending: str, stored: StoredType) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    write_picture(tmp_path / f"a.{ending}", picture(3, stored), stored, profile=profile)
    assert load_picture(tmp_path / f"a.{ending}").profile == profile
