"""Pictures larger than the memory that they may take: the same values from a temporary file that nobody ever sees."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import Image

from neufield.datasets import ImageFileError, ImageSizeError, load_picture

MIB = 2**20
VALUES = np.random.default_rng(0).integers(0, 9, (3_000, 1_100, 3)).astype(np.float32) / 8  # packs quickly
WRITERS: dict[str, Callable[[Path], Any]] = {
    "tiles.tif": lambda path: tifffile.imwrite(path, VALUES, photometric="rgb", compression="zlib", tile=(256, 256)),
    "strips.tif": lambda path: tifffile.imwrite(path, VALUES, photometric="rgb", compression="zlib", rowsperstrip=64),
    "raw.tif": lambda path: tifffile.imwrite(path, VALUES, photometric="rgb"),
    "a.exr": lambda path: OpenEXR.File(
        {"compression": OpenEXR.NO_COMPRESSION, "type": OpenEXR.scanlineimage}, {"RGB": VALUES}
    ).write(str(path)),
    "a.npy": lambda path: np.save(path, VALUES),
}


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.mark.parametrize("name", WRITERS)
def test_values_from_the_disk(tmp_path: Path, scratch: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    picture = load_picture(path, memory_bytes=50 * MIB if name in ("a.exr", "raw.tif") else 30 * MIB)
    assert picture.on_disk
    assert picture.notes == ("it is larger than memory and was decoded to 37.8 MiB on the disk",)
    assert not any(scratch.iterdir())
    np.testing.assert_array_equal(picture.values, VALUES)
    places = picture.draw(np.random.default_rng(0), 1_000)
    np.testing.assert_array_equal(picture.take(places), VALUES.reshape(-1, 3)[places])
    np.testing.assert_array_equal(picture.rows(7, 9), VALUES[7:9])
    assert not load_picture(path, memory_bytes=200 * MIB).on_disk


def test_unknown_pixels_and_orientation_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("neufield.datasets.pictures._PART_BYTES", MIB)
    values, path = VALUES.copy(), tmp_path / "a.tif"
    values[2_500:2_700, 3] = np.nan
    tags = [(274, 3, 1, 6, True)]  # turned by 90 degrees
    tifffile.imwrite(path, values, photometric="rgb", compression="zlib", rowsperstrip=64, extratags=tags)
    picture = load_picture(path, memory_bytes=30 * MIB)
    upright = np.rot90(values, -1)
    assert picture.on_disk
    assert picture.known is not None
    np.testing.assert_array_equal(picture.known, np.isfinite(upright).all(axis=2))
    places = picture.draw(np.random.default_rng(0), 50_000)
    np.testing.assert_array_equal(picture.take(places), upright.reshape(-1, 3)[places])
    assert picture.take(places[:0]).shape == (0, 3)
    assert "200 pixels that are NaN or infinite are unknown, and left out" in picture.notes


def test_nothing_is_left_after_an_error(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "a.tif"
    WRITERS["strips.tif"](path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 500] = bytes(500)
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match="cannot be read as a picture"):
        load_picture(path, memory_bytes=30 * MIB)
    assert not any(scratch.iterdir())


@pytest.mark.parametrize("name", ["a.png", "deep.png", "a.jpg"])
def test_files_that_are_decoded_whole(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    image = (VALUES * 255).astype(np.uint8)
    if name == "deep.png":
        path.write_bytes(png_encode(image.astype(np.uint16), level=1))
    else:
        Image.fromarray(image).save(path, compress_level=1)
    with pytest.raises(ImageSizeError) as caught:
        load_picture(path, memory_bytes=3 * MIB)
    message = str(caught.value)
    assert message.startswith(f"{path}: decoding its 1100x3000 pixels needs ")
    assert "of memory, found 3.0 MiB; allow more, make the picture smaller, or save it as tiled TIFF" in message


def test_a_strip_that_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, VALUES, photometric="rgb", compression="zlib", rowsperstrip=len(VALUES))
    with pytest.raises(ImageSizeError, match="or save it in smaller tiles or strips"):
        load_picture(path, memory_bytes=30 * MIB)


def test_a_disk_that_is_too_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    WRITERS["tiles.tif"](tmp_path / "a.tif")
    usage = shutil.disk_usage(tmp_path)._replace(free=5 * MIB)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(ImageSizeError, match=r"needs 37\.8 MiB for its 1100x3000 pixels, found 5\.0 MiB free for temp"):
        load_picture(tmp_path / "a.tif", memory_bytes=30 * MIB)


def test_more_pixels_than_pillow_takes_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 10)
    Image.new("L", (30, 20), 7).save(tmp_path / "a.png")
    assert load_picture(tmp_path / "a.png").size == (30, 20)
    assert Image.MAX_IMAGE_PIXELS == 10
