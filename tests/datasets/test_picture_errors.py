"""Every picture that cannot be read is refused in one sentence that names the file and what to do."""

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import tifffile
from imagecodecs import png_encode, rgbe_encode
from PIL import Image

from neufield.datasets import DataError, load_picture
from neufield.datasets import errors as kinds

NOISE = np.random.default_rng(0).integers(0, 65536, (40, 30, 3), dtype=np.uint16)


def assert_refused(path: Path, kind: type[DataError], *texts: str) -> None:
    with pytest.raises(kind) as caught:
        load_picture(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for text in texts:
        assert text in message


def write_exr(path: Path, channels: dict[str, Any], **header: Any) -> None:
    layout = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File({**layout, **header}, channels).write(str(path))


def test_no_file(tmp_path: Path) -> None:
    assert_refused(tmp_path / "a.png", kinds.MissingFileError, "expected a picture, found nothing; check the path")
    assert_refused(tmp_path, kinds.MissingFileError, "found a folder; name one of its files")


@pytest.mark.parametrize("ending", ["png", "exr", "tif", "hdr", "npy", "jpg"])
def test_empty_or_text(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    path.write_bytes(b"")
    assert_refused(path, kinds.ImageFileError, "is empty; copy it again from its source")
    path.write_text("no picture\n" * 20)
    assert_refused(path, kinds.ImageFileError, "none of the kinds of pictures", "PNG, JPEG", "OpenEXR", "save it as")


WRITERS: dict[str, Callable[[Path], Any]] = {
    "8.png": lambda path: Image.fromarray((NOISE >> 8).astype(np.uint8)).save(path),
    "16.png": lambda path: path.write_bytes(png_encode(NOISE)),
    "a.jpg": lambda path: Image.fromarray((NOISE >> 8).astype(np.uint8)).save(path),
    "a.webp": lambda path: Image.fromarray((NOISE >> 8).astype(np.uint8)).save(path),
    "a.gif": lambda path: Image.fromarray((NOISE >> 8).astype(np.uint8)).save(path),
    "raw.tif": lambda path: tifffile.imwrite(path, NOISE, photometric="rgb"),
    "strips.tif": lambda path: tifffile.imwrite(path, NOISE, photometric="rgb", compression="zlib", rowsperstrip=8),
    "tiles.tif": lambda path: tifffile.imwrite(path, NOISE, photometric="rgb", compression="lzw", tile=(16, 16)),
    "a.exr": lambda path: write_exr(path, {"RGB": (NOISE >> 12).astype(np.float32)}),
    "a.hdr": lambda path: path.write_bytes(rgbe_encode(NOISE.astype(np.float32), header=True, out=9_999)),
    "a.npy": lambda path: np.save(path, NOISE),
}


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.97])
def test_cut_short(tmp_path: Path, name: str, share: float, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    load_picture(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert_refused(path, kinds.ImageFileError, "copy it again from its source")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["16.png", "8.png", "strips.tif", "a.exr"])
def test_damaged_in_the_middle(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    WRITERS[name](path)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 200] = bytes(200)
    path.write_bytes(content)
    assert_refused(path, kinds.ImageFileError, "cannot be read as a picture", "copy it again")


def png_claiming(width: int, height: int, bits: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, bits, 2, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    data = b"IDAT" + zlib.compress(bytes(100))
    return b"\x89PNG\r\n\x1a\n" + chunk + struct.pack(">I", len(data) - 4) + data + struct.pack(">I", zlib.crc32(data))


@pytest.mark.parametrize("bits", [8, 16])
def test_absurd_sizes(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png_claiming(2_000_000, 1_000_000, bits))
    assert_refused(path, kinds.ImageSizeError, "2000000x1000000 pixels needs", "TiB of memory")
    path.write_bytes(png_claiming(0, 10, bits))
    assert_refused(path, kinds.ImageFileError)


def test_absurd_sizes_of_floats(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.hdr"
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1000000000 +X 1000000000\n")
    assert_refused(path, kinds.ImageSizeError, "1000000000x1000000000 pixels needs", "TiB of memory")
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 5 +X 0\n")
    assert_refused(path, kinds.ImageFileError, "expected at least one pixel, found 0x5")
    write_exr(path, {"RGB": NOISE.astype(np.float32)})
    window = struct.pack("<4i", 0, 0, 29, 39)
    path.write_bytes(path.read_bytes().replace(window, struct.pack("<4i", 0, 0, 10_000_000, 10_000_000)))
    assert_refused(path, DataError)
    np.save(tmp_path / "a.npy", np.zeros((0, 3, 3), np.float32))
    assert_refused(tmp_path / "a.npy", kinds.ImageFileError)
    assert capfd.readouterr().err == ""


def test_channels_of_exr(tmp_path: Path) -> None:
    plane, path = np.ones((4, 6), np.float32), tmp_path / "a.exr"
    write_exr(path, {"Z": plane, "U": plane})
    assert_refused(path, kinds.ImageFileError, "R, G, B or Y", "found U (float), Z (float); save it as RGB")
    write_exr(path, {f"{layer}.{name}": plane for layer in ("left", "right") for name in "RGB"})
    assert_refused(path, kinds.ImageFileError, "found left.B (float), left.G (float)", "right.R (float)")
    write_exr(path, {name: plane.astype(np.uint32) for name in "RGB"})
    assert_refused(path, kinds.ImageFileError, "expected channels of halves or floats", "R (uint)")
    write_exr(path, {"Y": plane, "RY": OpenEXR.Channel(plane, 2, 2), "BY": OpenEXR.Channel(plane, 2, 2)})
    assert_refused(path, kinds.ImageFileError, "expected the channels R, G, B or Y", "BY (float)")


def test_kinds_of_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, NOISE.astype(np.int32), photometric="rgb")
    assert_refused(path, kinds.ImageFileError, "expected whole numbers of up to 16 bits, or floats, found int32")
    Image.fromarray((NOISE >> 8).astype(np.uint8)).convert("LAB").save(path)
    assert_refused(path, kinds.ImageFileError, "TIFF of kind CIELAB with 8 bits is not read; save it as RGB or grey")
    tifffile.imwrite(path, NOISE[..., [0, 1, 2, 0]], photometric="separated")
    assert_refused(path, kinds.ImageFileError, "TIFF of kind SEPARATED with 16 bits")
    tifffile.imwrite(path, np.zeros((16, 16, 16), np.uint8), photometric="minisblack", volumetric=True, tile=(16,) * 3)
    assert_refused(path, kinds.ImageFileError, "expected one flat picture")


def test_kinds_of_npy(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((4, 5, 6)))
    assert_refused(path, kinds.ImageFileError, "expected (height, width)", "found (4, 5, 6)")
    np.save(path, np.zeros((4, 5), np.int64))
    assert_refused(path, kinds.ImageFileError, "expected numbers of type uint8, uint16 or float, found int64")
    np.save(path, np.array([[{}]]), allow_pickle=True)
    assert_refused(path, kinds.ImageFileError, "cannot be read as a picture")


def test_kinds_of_radiance(tmp_path: Path) -> None:
    path = tmp_path / "a.hdr"
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_xyze\n\n-Y 1 +X 1\n" + bytes(4))
    assert_refused(path, kinds.ImageFileError, "holds XYZ colours, expected RGB")
    path.write_bytes(b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n+X 1 -Y 1\n" + bytes(4))
    assert_refused(path, kinds.ImageFileError, "found '+X 1 -Y 1'; turn it upright")


@pytest.mark.parametrize("magic", [b"P5", b"P6"])
def test_ppm_of_16_bits(tmp_path: Path, magic: bytes) -> None:
    path = tmp_path / "a.ppm"
    path.write_bytes(magic + b"\n# by hand\n2 1\n65535\n" + bytes(12))
    assert_refused(path, kinds.ImageFileError, "with more than 8 bits", "save it as 16-bit PNG or TIFF")


@pytest.mark.parametrize("ending", ["exr", "npy", "tif"])
def test_all_pixels_nan(tmp_path: Path, ending: str) -> None:
    path, nothing = tmp_path / f"a.{ending}", np.full((4, 5, 3), np.nan, np.float32)
    if ending == "exr":
        write_exr(path, {"RGB": nothing})
    elif ending == "npy":
        np.save(path, nothing)
    else:
        tifffile.imwrite(path, nothing, photometric="rgb")
    assert_refused(path, kinds.ImageFileError, "all its pixels are NaN or infinite; there is nothing to fit")
