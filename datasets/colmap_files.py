"""COLMAP's model files, binary and text: `cameras`, `images` and `points3D`; counts are checked by the length."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from .errors import FormatError

_MODEL_NAMES = (
    "SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE", "FULL_OPENCV", "FOV",
    "SIMPLE_RADIAL_FISHEYE", "RADIAL_FISHEYE", "THIN_PRISM_FISHEYE", "RAD_TAN_THIN_PRISM_FISHEYE",
)  # fmt: skip
_PARAMETER_COUNTS = (3, 4, 4, 5, 8, 8, 12, 5, 4, 5, 12, 16)
_OBSERVATION = np.dtype([("xy", "<f8", (2,)), ("point", "<i8")])
_REMEDY = "copy the model again, or export it again with COLMAP's model_converter"


@dataclass(frozen=True)
class ColmapCamera:
    """A lens, by COLMAP's model name and parameters."""

    model: str
    size: tuple[int, int]
    params: tuple[float, ...]


@dataclass(frozen=True)
class ColmapImage:
    """A registered image."""

    name: str
    camera_id: int
    quaternion: tuple[float, float, float, float]
    """Rotation from world to camera, w first."""
    translation: tuple[float, float, float]
    keypoints: Float64[np.ndarray, "keypoints 2"]
    """Pixel positions of the features."""
    point_ids: Int64[np.ndarray, "keypoints"]
    """The sparse point that each feature shows; -1 for none."""


@dataclass(frozen=True)
class ColmapModel:
    """A sparse reconstruction. Rigs and frames (COLMAP 3.12 and later) are not needed: images carry their own poses."""

    cameras: dict[int, ColmapCamera]
    images: tuple[ColmapImage, ...]
    point_ids: Int64[np.ndarray, "points"]
    points: Float64[np.ndarray, "points 3"]


def read_colmap_model(folder: Path, ending: str) -> ColmapModel:
    """Reads a model folder.

    Args:
        ending: `.bin` or `.txt`.

    Raises:
        FormatError: if a file is cut short or does not hold what it should.
    """
    binary = ending == ".bin"
    cameras = (_binary_cameras if binary else _text_cameras)(folder / f"cameras{ending}")
    images = (_binary_images if binary else _text_images)(folder / f"images{ending}")
    path = folder / f"points3D{ending}"
    found = dict((_binary_points if binary else _text_points)(path)) if path.is_file() else {}
    ids = np.fromiter(found.keys(), dtype=np.int64, count=len(found))
    return ColmapModel(cameras, images, ids, np.array(list(found.values()), dtype=np.float64).reshape(-1, 3))


class _BinaryReader:
    """Takes values from a file's bytes; running past their end is an error that names the file."""

    def __init__(self, path: Path) -> None:
        try:
            self._bytes = path.read_bytes()
        except OSError as error:
            raise FormatError(f"{path.name}: cannot be read ({error.strerror})") from error
        self._name, self._at = path.name, 0

    def _need(self, size: int) -> None:
        if size > len(self._bytes) - self._at:
            raise FormatError(
                f"{self._name}: cut short: expected {size} bytes at byte {self._at}, "
                f"the file has {len(self._bytes)}; {_REMEDY}"
            )

    def take(self, layout: struct.Struct) -> tuple[Any, ...]:
        self._need(layout.size)
        self._at += layout.size
        return layout.unpack_from(self._bytes, self._at - layout.size)

    def count(self, what: str, smallest_size: int) -> int:
        """A count of items, each of which takes at least `smallest_size` bytes."""
        count = int(self.take(_COUNT)[0])
        left = len(self._bytes) - self._at
        if count * smallest_size > left:
            raise FormatError(
                f"{self._name}: cut short or damaged: it announces {count} {what}, but has {left} bytes left; {_REMEDY}"
            )
        return count

    def array(self, dtype: np.dtype, count: int) -> np.ndarray:
        self._need(dtype.itemsize * count)
        self._at += dtype.itemsize * count
        return np.frombuffer(self._bytes, dtype, count, self._at - dtype.itemsize * count)

    def skip(self, size: int) -> None:
        self._need(size)
        self._at += size

    def text(self) -> str:
        end = self._bytes.find(b"\0", self._at)
        if end < 0:
            raise FormatError(f"{self._name}: cut short within a name at byte {self._at}; {_REMEDY}")
        raw, self._at = self._bytes[self._at : end], end + 1
        return raw.decode("utf-8", errors="surrogateescape")


_COUNT = struct.Struct("<Q")
_CAMERA = struct.Struct("<iiQQ")
_IMAGE = struct.Struct("<i7di")
_POINT = struct.Struct("<Q3d3BdQ")


def _binary_cameras(path: Path) -> dict[int, ColmapCamera]:
    reader = _BinaryReader(path)
    cameras: dict[int, ColmapCamera] = {}
    for _ in range(reader.count("cameras", _CAMERA.size)):
        camera_id, model_id, width, height = (int(value) for value in reader.take(_CAMERA))
        if not 0 <= model_id < len(_MODEL_NAMES):
            raise FormatError(
                f"{path.name}, camera {camera_id}: camera model number {model_id} is not known; "
                "undistort the images with COLMAP's image_undistorter and use its output folder"
            )
        params = reader.array(np.dtype("<f8"), _PARAMETER_COUNTS[model_id])
        cameras[camera_id] = ColmapCamera(_MODEL_NAMES[model_id], (width, height), tuple(params.tolist()))
    return cameras


def _binary_images(path: Path) -> tuple[ColmapImage, ...]:
    reader = _BinaryReader(path)
    images: list[ColmapImage] = []
    for _ in range(reader.count("images", _IMAGE.size + 1 + _COUNT.size)):
        _, w, x, y, z, tx, ty, tz, camera_id = reader.take(_IMAGE)
        name = reader.text()
        seen = reader.array(_OBSERVATION, reader.count(f"features of {name}", _OBSERVATION.itemsize))
        images.append(
            ColmapImage(
                name, int(camera_id), (w, x, y, z), (tx, ty, tz), seen["xy"].copy(), seen["point"].astype(np.int64)
            )
        )
    return tuple(images)


def _binary_points(path: Path) -> Iterator[tuple[int, tuple[float, float, float]]]:
    reader = _BinaryReader(path)
    for _ in range(reader.count("points", _POINT.size)):
        point_id, x, y, z, _, _, _, _, track = reader.take(_POINT)
        reader.skip(8 * int(track))
        yield int(point_id), (x, y, z)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines, comments left out, empty lines kept."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise FormatError(f"{path.name}: cannot be read ({error.strerror})") from error
    return ((i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if not line.lstrip().startswith("#"))


def _wrong_line(path: Path, number: int, expected: str) -> FormatError:
    return FormatError(f"{path.name}, line {number}: expected {expected}; {_REMEDY}")


def _text_cameras(path: Path) -> dict[int, ColmapCamera]:
    cameras: dict[int, ColmapCamera] = {}
    for number, line in _lines(path):
        if not line:
            continue
        words = line.split()
        try:
            camera_id, model, width, height = int(words[0]), words[1], int(words[2]), int(words[3])
            cameras[camera_id] = ColmapCamera(model, (width, height), tuple(float(word) for word in words[4:]))
        except (ValueError, IndexError) as error:
            raise _wrong_line(path, number, "CAMERA_ID MODEL WIDTH HEIGHT PARAMS") from error
    return cameras


def _text_images(path: Path) -> tuple[ColmapImage, ...]:
    images: list[ColmapImage] = []
    lines = _lines(path)
    for number, line in lines:
        if not line:
            continue
        words = line.split(maxsplit=9)
        try:
            w, x, y, z, tx, ty, tz = (float(word) for word in words[1:8])
            camera_id, name = int(words[8]), words[9]
        except (ValueError, IndexError) as error:
            raise _wrong_line(path, number, "IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME") from error
        number, line = next(lines, (number + 1, ""))
        try:
            seen = np.array(line.split(), dtype=np.float64).reshape(-1, 3)
        except ValueError as error:
            raise _wrong_line(path, number, "X Y POINT3D_ID for every feature, or an empty line") from error
        point_ids = seen[:, 2].astype(np.int64)
        images.append(ColmapImage(name, camera_id, (w, x, y, z), (tx, ty, tz), seen[:, :2].copy(), point_ids))
    return tuple(images)


def _text_points(path: Path) -> Iterator[tuple[int, tuple[float, float, float]]]:
    for number, line in _lines(path):
        if not line:
            continue
        words = line.split(maxsplit=4)
        try:
            yield int(words[0]), (float(words[1]), float(words[2]), float(words[3]))
        except (ValueError, IndexError) as error:
            raise _wrong_line(path, number, "POINT3D_ID X Y Z ...") from error
