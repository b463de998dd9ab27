"""Tiny captures in all formats, made by the tests themselves."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from neufield.datasets import DataError, inspect_folder, load_posed_scene

SIZE = (12, 8)
FOCAL = 10.0


def look_at(position: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`world_from_camera` in OpenCV axes, 3x4."""
    forward = (target - position) / np.linalg.norm(target - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward, position], axis=1)


def ring_of_poses(count: int, radius: float = 4.0, target: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> np.ndarray:
    """Poses on a ring that look inward and a little down."""
    center = np.array(target)
    angles = np.arange(count) * 2.0 * np.pi / count
    offsets = radius * np.stack([np.cos(angles), np.sin(angles), 0.3 + 0.0 * angles], axis=1)
    return np.stack([look_at(center + offset, center) for offset in offsets])


def opengl_matrix(pose: np.ndarray) -> list[list[float]]:
    """4x4, with OpenGL's camera axes."""
    matrix = np.eye(4)
    matrix[:3] = pose
    return (matrix @ np.diag([1.0, -1.0, -1.0, 1.0])).tolist()


def quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """w, x, y, z by the eigenvector method, which has no special cases."""
    r = rotation
    k = np.array(
        [
            [r[0, 0] + r[1, 1] + r[2, 2], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]],
            [0.0, r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2]],
            [0.0, 0.0, r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2]],
            [0.0, 0.0, 0.0, r[2, 2] - r[0, 0] - r[1, 1]],
        ]
    )
    return np.linalg.eigh(k, UPLO="U")[1][:, -1]


def write_image(path: Path, i: int, *, size: tuple[int, int] = SIZE, alpha: int | None = None) -> np.ndarray:
    """Noise that differs from image to image; returns the pixels."""
    pixels = np.random.default_rng(i).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    if alpha is not None:
        pixels = np.concatenate([pixels, np.full((*pixels.shape[:2], 1), alpha, dtype=np.uint8)], axis=2)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


def write_images(folder: Path, count: int, *, size: tuple[int, int] = SIZE) -> list[str]:
    names = [f"{i:03d}.png" for i in range(count)]
    for i, name in enumerate(names):
        write_image(folder / name, i, size=size)
    return names


def write_json(path: Path, document: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def frame(name: str, pose: np.ndarray, **more: Any) -> dict[str, Any]:
    return {"file_path": name, "transform_matrix": opengl_matrix(pose), **more}


@pytest.fixture
def blender(tmp_path: Path) -> Path:
    """Six training images and two of each other split, half transparent."""
    folder = tmp_path / "solid"
    for part, count in (("train", 6), ("val", 2), ("test", 2)):
        poses = ring_of_poses(count)
        frames = []
        for i in range(count):
            write_image(folder / part / f"r_{i}.png", i, alpha=128)
            frames.append(frame(f"./{part}/r_{i}", poses[i], rotation=0.0))
        angle = 2.0 * float(np.arctan(0.5 * SIZE[0] / FOCAL))
        write_json(folder / f"transforms_{part}.json", {"camera_angle_x": angle, "frames": frames})
    return folder


@pytest.fixture
def write_transforms(tmp_path: Path) -> Callable[..., Path]:
    """Writes an instant-ngp folder of ten images; keys of the document or its frames can be changed."""

    def write(
        *, count: int = 10, frames: dict[int, dict[str, Any]] | list[Any] | int | None = None, **document: Any
    ) -> Path:
        folder = tmp_path / "capture"
        names, poses = write_images(folder / "images", count), ring_of_poses(count)
        entries: Any = [frame(f"images/{name}", poses[i]) for i, name in enumerate(names)]
        if isinstance(frames, dict):
            entries = [{**entry, **frames.get(i, {})} for i, entry in enumerate(entries)]
        elif frames is not None:
            entries = frames
        base = {"fl_x": FOCAL, "fl_y": FOCAL, "cx": 6.0, "cy": 4.0, "w": float(SIZE[0]), "h": float(SIZE[1])}
        merged = {**base, "frames": entries, **document}
        write_json(folder / "transforms.json", {key: value for key, value in merged.items() if value is not None})
        return folder

    return write


@pytest.fixture
def write_colmap(tmp_path: Path) -> Callable[..., Path]:
    """Writes a COLMAP folder of ten images and fifty points, as `.bin` or `.txt`."""

    def write(
        ending: str = ".bin",
        *,
        model: tuple[int, str] = (1, "PINHOLE"),
        params: tuple[float, ...] = (FOCAL, FOCAL, 6.0, 4.0),
        camera_id: int = 1,
        image_size: tuple[int, int] = SIZE,
        where: str = "sparse/0",
        names: list[str] | None = None,
    ) -> Path:
        folder = tmp_path / "capture"
        written = write_images(folder / "images", 10, size=image_size)
        names = names or written
        points = np.random.default_rng(0).uniform(-1.0, 1.0, (50, 3))
        poses = []
        for pose in ring_of_poses(len(names)):
            rotation = pose[:, :3].T
            poses.append((*quaternion_of(rotation).tolist(), *(-rotation @ pose[:, 3]).tolist()))
        sparse = folder / where
        sparse.mkdir(parents=True, exist_ok=True)
        writer = _write_binary if ending == ".bin" else _write_text
        writer(sparse, model, params, camera_id, names, poses, points)
        return folder

    return write


def _write_binary(sparse, model, params, camera_id, names, poses, points) -> None:
    lens = struct.pack("<QiiQQ", 1, 1, model[0], *SIZE) + struct.pack(f"<{len(params)}d", *params)
    (sparse / "cameras.bin").write_bytes(lens)
    images = struct.pack("<Q", len(names))
    for i, (name, pose) in enumerate(zip(names, poses, strict=True)):
        images += struct.pack("<i7di", i + 1, *pose, camera_id) + name.encode() + b"\0"
        images += struct.pack("<Q2dq", 1, 3.0, 4.0, 7)
    (sparse / "images.bin").write_bytes(images)
    cloud = struct.pack("<Q", len(points))
    for i, point in enumerate(points):
        cloud += struct.pack("<Q3d3BdQii", i, *point, 1, 2, 3, 0.5, 1, 1, 0)
    (sparse / "points3D.bin").write_bytes(cloud)


def _write_text(sparse, model, params, camera_id, names, poses, points) -> None:
    numbers = " ".join(map(repr, params))
    (sparse / "cameras.txt").write_text(f"# cameras\n1 {model[1]} {SIZE[0]} {SIZE[1]} {numbers}\n")
    lines = ["# images", "# two lines each"]
    for i, (name, pose) in enumerate(zip(names, poses, strict=True)):
        features = "" if i % 2 else "3.0 4.0 7"
        lines += [f"{i + 1} {' '.join(map(repr, pose))} {camera_id} {name}", features]
    (sparse / "images.txt").write_text("\n".join(lines) + "\n")
    cloud = [f"{i} {' '.join(map(repr, point.tolist()))} 1 2 3 0.5 1 0" for i, point in enumerate(points)]
    (sparse / "points3D.txt").write_text("\n".join(cloud) + "\n")


@pytest.fixture
def write_llff(tmp_path: Path) -> Callable[..., Path]:
    """Writes an LLFF folder of ten images."""

    def write(*, rows: np.ndarray | None = None) -> Path:
        folder = tmp_path / "capture"
        write_images(folder / "images", 10)
        if rows is None:
            rows = np.stack([_llff_row(pose) for pose in ring_of_poses(10)])
        np.save(folder / "poses_bounds.npy", rows)
        return folder

    return write


def _llff_row(pose: np.ndarray) -> np.ndarray:
    right, down, forward, position = pose.T
    size_and_focal = np.array([SIZE[1], SIZE[0], FOCAL])
    return np.concatenate([np.stack([down, right, -forward, position, size_and_focal], axis=1).ravel(), [2.0, 6.0]])


@pytest.fixture
def assert_refused() -> Callable[..., None]:
    """Asserts that loading a folder fails in one way, and that inspecting it says the same."""

    def check(folder: Path, kind: type[DataError], *texts: str) -> None:
        with pytest.raises(kind) as caught:
            load_posed_scene(folder)
        problems = inspect_folder(folder).problems
        assert len(problems) == 1
        for text in texts:
            assert text in str(caught.value)
            assert text in problems[0]

    return check
