"""Pictures of every kind come in with the numbers of their file; what is done to them beyond that is told."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import Image, ImageCms, ImageOps

from neufield.datasets import Picture, load_picture

SIZE = (13, 9)
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "images"


def noise(channels: int, dtype: Any = np.uint8, *, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(height, width, channels) of any number that the type holds; floats in [-1, 3]."""
    generator, shape = np.random.default_rng(channels), (size[1], size[0], channels)
    if np.dtype(dtype).kind == "f":
        return generator.uniform(-1.0, 3.0, shape).astype(dtype)
    return generator.integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def grey(values: np.ndarray) -> np.ndarray:
    """Without the axis of a single channel, as encoders want it."""
    return values[..., 0] if values.shape[2] == 1 else values


def write_exr(path: Path, channels: dict[str, np.ndarray], **header: Any) -> None:
    OpenEXR.File({"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage, **header}, channels).write(
        str(path)
    )


def assert_loaded(path: Path, expected: np.ndarray, maximum: int | None, *notes: str) -> Picture:
    """The picture has exactly these values, and tells exactly these things."""
    picture = load_picture(path)
    np.testing.assert_array_equal(picture.values, expected)
    assert picture.values.dtype == (np.float32 if maximum is None else expected.dtype)
    assert (picture.maximum, picture.channels, picture.known) == (maximum, expected.shape[2], None)
    assert picture.size == (expected.shape[1], expected.shape[0])
    assert picture.notes == notes
    scale = 1.0 if maximum is None else maximum
    np.testing.assert_allclose(picture.rows(0, 4), expected[:4] / scale, rtol=1e-6)
    return picture


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_8_bits(tmp_path: Path, ending: str, channels: int) -> None:
    values, path = noise(channels), tmp_path / f"a.{ending}"
    Image.fromarray(grey(values)).save(path)
    assert_loaded(path, values, 255)


@pytest.mark.parametrize(
    ("ending", "channels"), [("bmp", 3), ("ppm", 3), ("pgm", 1), ("qoi", 3), ("qoi", 4), ("webp", 3), ("webp", 4)]
)
def test_plain_files(tmp_path: Path, ending: str, channels: int) -> None:
    values, path = noise(channels), tmp_path / f"a.{ending}"
    Image.fromarray(grey(values)).save(path, **({"lossless": True, "exact": True} if ending == "webp" else {}))
    assert_loaded(path, values, 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(tmp_path: Path, channels: int) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(grey(noise(channels))).save(path, progressive=True)
    expected = np.asarray(Image.open(path)).reshape(SIZE[1], SIZE[0], channels)
    assert_loaded(path, expected, 255)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_png_of_16_bits_keeps_them(tmp_path: Path, channels: int) -> None:
    values, path = noise(channels, np.uint16), tmp_path / "a.png"
    path.write_bytes(png_encode(grey(values)))
    assert load_picture(path).stored == "uint16"
    assert_loaded(path, values, 65535)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_of_16_bits_with_a_transparent_colour(tmp_path: Path, channels: int) -> None:
    values, path = noise(channels, np.uint16), tmp_path / "a.png"
    png = bytes(png_encode(grey(values)))
    key = b"tRNS" + values[2, 3].astype(">u2").tobytes()
    chunk = struct.pack(">I", len(key) - 4) + key + struct.pack(">I", zlib.crc32(key))
    path.write_bytes(png[:33] + chunk + png[33:])
    alpha = np.full((SIZE[1], SIZE[0], 1), 65535, np.uint16)
    alpha[2, 3] = 0
    assert_loaded(path, np.concatenate([values, alpha], axis=2), 65535)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    "layout",
    [
        {},
        {"compression": "zlib", "rowsperstrip": 4},
        {"compression": "lzw", "predictor": True, "tile": (16, 16)},
        {"byteorder": ">", "bigtiff": True},
    ],
    ids=["raw", "strips", "tiles", "big-endian"],
)
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_tiff(tmp_path: Path, channels: int, layout: dict[str, Any], dtype: Any) -> None:
    values, path = noise(channels, dtype), tmp_path / "a.tif"
    alpha = ["unassalpha"] if channels in (2, 4) else None
    kind = "rgb" if channels > 2 else "minisblack"
    planar = "contig" if channels > 1 else None
    tifffile.imwrite(path, grey(values), photometric=kind, extrasamples=alpha, planarconfig=planar, **layout)
    maximum = None if np.dtype(dtype).kind == "f" else int(np.iinfo(dtype).max)
    picture = assert_loaded(path, values.astype(np.float32) if maximum is None else values, maximum)
    assert picture.stored == ("float32" if dtype == np.float64 else np.dtype(dtype).name)


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_tiff_of_separate_planes(tmp_path: Path, compression: str | None) -> None:
    values, path = noise(3, np.uint16), tmp_path / "a.tif"
    planes = np.moveaxis(values, 2, 0)
    tifffile.imwrite(path, planes, photometric="rgb", planarconfig="separate", rowsperstrip=4, compression=compression)
    assert_loaded(path, values, 65535)


def test_tiff_of_12_bits(tmp_path: Path) -> None:
    values, path = noise(1, np.uint16) >> 4, tmp_path / "a.tif"
    wide = np.unpackbits(values.astype(">u2").view(np.uint8).reshape(SIZE[1], -1, 2), axis=2)[..., 4:]
    rows = np.packbits(wide.reshape(SIZE[1], -1), axis=1)
    tags = [(256, SIZE[0]), (257, SIZE[1]), (258, 12), (259, 1), (262, 1), (273, 122), (277, 1), (278, SIZE[1])]
    tags.append((279, rows.size))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + rows.tobytes())
    assert_loaded(path, values, 4095)


def test_tiff_of_one_bit(tmp_path: Path) -> None:
    bits = noise(1) > 127
    Image.fromarray(bits[..., 0]).save(tmp_path / "a.tif", compression="group4")
    expected = bits.astype(np.uint8) * np.uint8(255)
    assert_loaded(tmp_path / "a.tif", expected, 255, "its single bits were expanded to 0 and 255")
    tifffile.imwrite(tmp_path / "b.tif", ~bits[..., 0], photometric="miniswhite")
    assert_loaded(tmp_path / "b.tif", expected, 255, "its single bits were expanded to 0 and 255")


def test_tiff_where_white_is_zero(tmp_path: Path) -> None:
    values = noise(1, np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", 65535 - values[..., 0], photometric="miniswhite")
    assert_loaded(tmp_path / "a.tif", values, 65535)


@pytest.mark.parametrize(("mode", "photometric"), [("RGB", "RGB"), ("YCbCr", "YCBCR")])
def test_tiff_with_jpeg_inside(tmp_path: Path, mode: str, photometric: str) -> None:
    path = tmp_path / "a.tif"
    values = np.full((16, 16, 3), (200, 100, 50), np.uint8)
    Image.fromarray(values).convert(mode).save(path, compression="jpeg")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.photometric.name == photometric
    assert np.abs(load_picture(path).values.astype(int) - values).max() <= 3


def test_tiff_with_more_than_a_picture(tmp_path: Path) -> None:
    values, path = noise(3), tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(values, photometric="rgb")
        tiff.write(values[::2, ::2], photometric="rgb", subfiletype=1)
    assert_loaded(path, values, 255)
    with tifffile.TiffWriter(path) as tiff:
        for _ in range(3):
            tiff.write(values, photometric="rgb", extrasamples=[], metadata=None)
            values = values[::-1]
    assert_loaded(path, values[::-1], 255, "the first of its 3 pictures was taken")
    five = np.concatenate([values, values[..., :2]], axis=2)
    tifffile.imwrite(path, five, photometric="rgb", planarconfig="contig", extrasamples=["unspecified"] * 2)
    assert_loaded(path, values, 255, "2 of its channels, neither colour nor alpha, left out")


def test_tiff_with_premultiplied_alpha(tmp_path: Path) -> None:
    values = noise(4)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=["assocalpha"])
    note = "its colours are premultiplied by alpha, and stay so"
    assert assert_loaded(tmp_path / "a.tif", values, 255, note).premultiplied


@pytest.mark.parametrize("names", ["RGB", "RGBA", "Y", "YA"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("tiled", [False, True])
def test_exr(tmp_path: Path, names: str, dtype: Any, tiled: bool) -> None:
    values, path = noise(len(names), dtype), tmp_path / "a.exr"
    layout = {"type": OpenEXR.tiledimage, "tiles": OpenEXR.TileDescription()} if tiled else {}
    write_exr(path, {name: values[..., i].copy() for i, name in enumerate(names)}, **layout)
    notes = ["its colours are premultiplied by alpha, and stay so"] if "A" in names else []
    picture = assert_loaded(path, values.astype(np.float32), None, *notes)
    assert picture.stored == np.dtype(dtype).name
    assert picture.linear
    assert picture.premultiplied == ("A" in names)


def test_exr_with_layers_and_other_channels(tmp_path: Path) -> None:
    values, path = noise(3, np.float32), tmp_path / "a.exr"
    channels = {f"view.{name}": values[..., i].copy() for i, name in enumerate("RGB")}
    write_exr(path, {**channels, "Z": values[..., 0].copy()})
    taken = "of its channels view.R, view.G, view.B were taken and Z left out"
    assert_loaded(path, values, None, taken)
    window = (np.array([-2, 5], np.int32), np.array([10, 13], np.int32))
    write_exr(path, {"RGB": values}, dataWindow=window, displayWindow=(np.zeros(2, np.int32), np.full(2, 99, np.int32)))
    assert_loaded(path, values, None, "its data window of 13x9 pixels was taken, which is not its display window")


def test_exr_of_several_parts(tmp_path: Path) -> None:
    values = noise(3, np.float32)
    parts = [
        OpenEXR.Part({"type": OpenEXR.scanlineimage}, {"RGB": values * factor}, name)
        for name, factor in (("one", np.float32(1)), ("two", np.float32(2)))
    ]
    OpenEXR.File(parts).write(str(tmp_path / "a.exr"))
    assert_loaded(tmp_path / "a.exr", values, None, "the first of its parts was taken")


def test_radiance(tmp_path: Path) -> None:
    codes = np.array([[[128, 64, 255, 129], [1, 2, 200, 120], [0, 0, 0, 0]]], np.uint8)
    path = tmp_path / "a.hdr"
    path.write_bytes(b"#?RADIANCE\n# by hand\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 3\n" + codes.tobytes())
    expected = np.ldexp(codes[..., :3].astype(np.float32), codes[..., 3:].astype(int) - 136)
    assert assert_loaded(path, expected, None).linear


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy(tmp_path: Path, dtype: Any, order: Any) -> None:
    values = noise(3, dtype)
    np.save(tmp_path / "a.npy", np.asarray(values, order=order))
    maximum = None if np.dtype(dtype).kind == "f" else int(np.iinfo(dtype).max)
    assert_loaded(tmp_path / "a.npy", values.astype(np.float32) if maximum is None else values, maximum)
    np.save(tmp_path / "b.npy", values[..., 0])
    assert load_picture(tmp_path / "b.npy").channels == 1


def test_one_bit_and_palettes(tmp_path: Path) -> None:
    values = noise(3)
    bits = Image.fromarray(values).convert("1")
    bits.save(tmp_path / "bits.png")
    expanded = np.asarray(bits.convert("L"))[..., None]
    assert_loaded(tmp_path / "bits.png", expanded, 255, "its single bits were expanded to 0 and 255")
    indexed = Image.fromarray(values).quantize(16)
    for ending, note in (("png", "RGB"), ("gif", "RGB"), ("tif", "RGB")):
        indexed.save(tmp_path / f"indexed.{ending}")
        note = f"its palette was expanded to {note}"
        assert_loaded(tmp_path / f"indexed.{ending}", np.asarray(indexed.convert("RGB")), 255, note)
    indexed.save(tmp_path / "clear.png", transparency=3)
    expected = np.asarray(Image.open(tmp_path / "clear.png").convert("RGBA"))
    assert expected[..., 3].min() == 0
    assert_loaded(tmp_path / "clear.png", expected, 255, "its palette was expanded to RGBA")


def test_transparent_colours_of_8_bits(tmp_path: Path) -> None:
    values = noise(3)
    Image.fromarray(values).save(tmp_path / "a.png", transparency=tuple(values[2, 3].tolist()))
    alpha = load_picture(tmp_path / "a.png").values[..., 3]
    assert alpha[2, 3] == 0
    assert np.count_nonzero(alpha == 255) == alpha.size - 1
    Image.fromarray(values[..., 0]).save(tmp_path / "b.png", transparency=int(values[2, 3, 0]))
    assert load_picture(tmp_path / "b.png").values[2, 3].tolist() == [values[2, 3, 0], 0]


@pytest.mark.parametrize("ending", ["jpg", "tif"])
def test_cmyk_becomes_rgb(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(noise(4), "CMYK").save(path)
    expected = np.asarray(Image.open(path).convert("RGB"))
    assert_loaded(path, expected, 255, "CMYK was converted to sRGB without a colour profile")


def test_first_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.fromarray(noise(3, size=size)) for size in (SIZE, SIZE, SIZE)]
    frames[1] = ImageOps.invert(frames[0])
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:2])
    frames[0].save(tmp_path / "a.webp", save_all=True, append_images=frames[1:2], lossless=True)
    for ending in ("png", "webp"):
        assert_loaded(tmp_path / f"a.{ending}", noise(3), 255, "the first of its 2 pictures was taken")


TURNS: dict[int, str] = {
    2: "mirrored",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored along its diagonal",
    6: "turned by 90 degrees clockwise",
    7: "mirrored along its other diagonal",
    8: "turned by 90 degrees counterclockwise",
}


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("ending", ["png", "tif"])
def test_orientation(tmp_path: Path, ending: str, orientation: int) -> None:
    image, path = Image.fromarray(noise(3)), tmp_path / f"a.{ending}"
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(path)))
    note = f"it was {TURNS[orientation]}, as its EXIF orientation asks for"
    picture = assert_loaded(path, upright, 255, note)
    places = np.arange(SIZE[0] * SIZE[1])
    np.testing.assert_array_equal(picture.take(places), upright.reshape(-1, 3).astype(np.float32) / np.float32(255))


def test_orientation_of_16_bits(tmp_path: Path) -> None:
    values, path = noise(3, np.uint16), tmp_path / "a.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    content = b"eXIf" + exif.tobytes()[6:]
    chunk = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    png = bytes(png_encode(values))
    path.write_bytes(png[:33] + chunk + png[33:])
    note = "it was turned by 90 degrees clockwise, as its EXIF orientation asks for"
    assert_loaded(path, np.rot90(values, -1), 65535, note)


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_colour_profiles_are_kept_and_change_nothing(tmp_path: Path, ending: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    image, plain, path = Image.fromarray(noise(3)), io.BytesIO(), tmp_path / f"a.{ending}"
    image.save(path, icc_profile=profile)
    image.save(plain, {"png": "png", "jpg": "jpeg", "tif": "tiff"}[ending])
    assert assert_loaded(path, np.asarray(Image.open(plain)), 255).profile == profile


def save_array(path: Path, values: np.ndarray) -> None:
    np.save(path, values)


def save_exr(path: Path, values: np.ndarray) -> None:
    write_exr(path, {"RGB": values})


@pytest.mark.parametrize(("ending", "save"), [("npy", save_array), ("exr", save_exr)])
def test_nan_and_infinity_are_unknown_and_never_drawn(
    tmp_path: Path, ending: str, save: Callable[[Path, np.ndarray], None]
) -> None:
    values, path = noise(3, np.float32), tmp_path / f"a.{ending}"
    values[2, 3, 1], values[4, 5, 0], values[:, 7] = np.nan, -np.inf, np.inf
    save(path, values)
    picture = load_picture(path)
    assert picture.known is not None
    np.testing.assert_array_equal(picture.known, np.isfinite(values).all(axis=2))
    assert picture.notes == ("11 pixels that are NaN or infinite are unknown, and left out",)
    places = picture.draw(np.random.default_rng(0), 5_000)
    assert np.isfinite(picture.take(places)).all()
    assert len(np.unique(places)) == SIZE[0] * SIZE[1] - 11


def test_drawn_pixels_are_spread_evenly(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", noise(1))
    places = load_picture(tmp_path / "a.npy").draw(np.random.default_rng(0), 50_000)
    counts = np.bincount(places, minlength=SIZE[0] * SIZE[1])
    assert np.abs(counts / counts.mean() - 1).max() < 0.25


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "npy", "exr"])
def test_a_single_pixel(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    if ending in ("npy", "exr"):
        (save_array if ending == "npy" else save_exr)(path, np.full((1, 1, 3), 0.5, np.float32))
    else:
        Image.new("RGB", (1, 1), (7, 7, 7)).save(path)
    picture = load_picture(path)
    assert picture.size == (1, 1)
    assert picture.take(picture.draw(np.random.default_rng(0), 5)).shape == (5, 3)


def test_at_takes_rows_and_columns(tmp_path: Path) -> None:
    values = noise(2, np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(png_encode(values))
    found = load_picture(path).at(np.array([0, 8, 3]), np.array([12, 0, 4]))
    np.testing.assert_array_equal(found, values[[0, 8, 3], [12, 0, 4]].astype(np.float32) / np.float32(65535))


@pytest.mark.skipif(not SHARED.is_dir(), reason="needs ../shared/data/images beside the checkout")
def test_albert() -> None:
    photo = load_picture(SHARED / "albert_14mp.jpg")
    assert (photo.size, photo.stored, photo.maximum) == ((3250, 4333), "uint8", 255)
    picture = load_picture(SHARED / "albert.exr")
    expected = OpenEXR.File(str(SHARED / "albert.exr")).channels()["RGBA"].pixels
    np.testing.assert_array_equal(picture.values, expected)
    assert (picture.stored, picture.maximum, picture.known) == ("float32", None, None)
