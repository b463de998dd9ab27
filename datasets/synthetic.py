"""The built-in scene: photos of `still_life` as a posed scene in memory, or as a folder in the Blender format."""

import json
import math
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..render.cameras import Cameras
from ..render.similarity import Similarity
from .posed_images import PosedImages, PosedScene
from .ray_tracing import Studio, display_from_linear
from .still_life import GLOSSY_CENTER, GLOSSY_RADIUS, SCENE_RADIUS, still_life
from .transforms_writer import opengl_pose
from .whole_output import whole_folder

_FOCAL_PER_SIZE = 1.5
_DISTANCE = 1.04 * SCENE_RADIUS * math.hypot(1, 2 * _FOCAL_PER_SIZE)  # the whole scene fits into every picture
_LOWEST, _HIGHEST = math.radians(7), math.radians(72)
_SUBPIXELS = ((-0.375, -0.125), (0.125, -0.375), (0.375, 0.125), (-0.125, 0.375))
_RAYS_AT_ONCE = 160_000  # enough that time goes into arithmetic, not into calls


class BoundingSphere(NamedTuple):
    """A sphere in world coordinates."""

    center: Float[Tensor, "3"]
    radius: float


def glossy_bounds() -> BoundingSphere:
    """The lacquered ball of the built-in scene, in world coordinates, for scores of the view-dependent part alone.

    In scene coordinates its centre is `scene.scene_from_world.apply(center[None])` and its radius
    `scene.scene_from_world.scale * radius`.
    """
    return BoundingSphere(torch.tensor(GLOSSY_CENTER, dtype=torch.float32), GLOSSY_RADIUS)


def synthetic_scene(*, train_views: int = 60, test_views: int = 10, size: int = 200, seed: int = 0) -> PosedScene:
    """Photographs the built-in scene from the upper hemisphere.

    Cameras sit on one golden-angle spiral and look at the centre; test views are spread evenly between the train views.

    Args:
        train_views: Photos to fit, >= 1.
        test_views: Held-out photos, >= 1.
        size: Width and height in pixels, >= 8.
        seed: Turns the spiral about the vertical axis.

    Raises:
        ValueError: A count or the size is too small.
    """
    train, test = _cameras(train_views, test_views, size, seed)
    scene_from_world = Similarity(scale=0.5, rotation=torch.eye(3), translation=torch.full((3,), 0.5))
    return PosedScene(
        name="demo",
        folder=Path(),
        format="synthetic",
        train=_photographed(train, "train", scene_from_world),
        test=_photographed(test, "test", scene_from_world),
        split_rule=f"{test_views} views between the {train_views} train views, on the same hemisphere",
        scene_from_world=scene_from_world,
        extent=1,
        near=0.1,
        notes=(),
        background="alpha",
    )


def write_synthetic_folder(
    folder: Path, *, train_views: int = 60, test_views: int = 10, size: int = 200, seed: int = 0
) -> None:
    """Writes the built-in scene in the Blender format: `transforms_{train,test}.json` and RGBA PNG files.

    The folder appears complete or not at all.

    Args:
        folder: Must not exist yet, or be empty.
        train_views, test_views, size, seed: As in `synthetic_scene`.

    Raises:
        ValueError: The folder has something in it; a count or the size is too small.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} exists already and is not an empty folder; name another one, or remove it first")
    train, test = _cameras(train_views, test_views, size, seed)
    with whole_folder(folder, replace=folder.exists()) as aside:
        for split, cameras in (("train", train), ("test", test)):
            _write_split(aside, split, cameras)


def _write_split(folder: Path, split: str, cameras: Cameras) -> None:
    from PIL import Image

    (folder / split).mkdir(parents=True)
    frames: list[dict[str, object]] = []
    for i, photo in enumerate(_photos(cameras)):
        Image.fromarray(photo.numpy()).save(folder / split / f"r_{i:03d}.png")
        frames.append({"file_path": f"./{split}/r_{i:03d}", "transform_matrix": opengl_pose(cameras, i)})
    transforms = {"camera_angle_x": 2 * math.atan(0.5 / _FOCAL_PER_SIZE), "frames": frames}
    (folder / f"transforms_{split}.json").write_text(json.dumps(transforms, indent=2) + "\n", encoding="utf-8")


def _cameras(train_views: int, test_views: int, size: int, seed: int) -> tuple[Cameras, Cameras]:
    """Train and test cameras in world coordinates."""
    for name, value, least in (("train_views", train_views, 1), ("test_views", test_views, 1), ("size", size, 8)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    views = train_views + test_views
    spiral = torch.arange(views, dtype=torch.float64)
    height = (spiral + 0.5) / views
    sine = math.sin(_LOWEST) + (math.sin(_HIGHEST) - math.sin(_LOWEST)) * height
    phase = 2 * math.pi * torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    azimuth = math.pi * (3 - math.sqrt(5)) * spiral + phase
    backward = torch.stack([(1 - sine**2).sqrt() * azimuth.cos(), (1 - sine**2).sqrt() * azimuth.sin(), sine], dim=1)
    cameras = _looking_at_origin(backward * _DISTANCE, size)
    held_out = ((torch.arange(test_views) + 0.5) * views / test_views).long()
    is_test = torch.zeros(views, dtype=torch.bool)
    is_test[held_out] = True
    return cameras[torch.nonzero(~is_test)[:, 0]], cameras[held_out]


def _looking_at_origin(positions: Float[Tensor, "cameras 3"], size: int) -> Cameras:
    forward = -positions / positions.norm(dim=1, keepdim=True)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=positions.dtype).expand_as(forward)
    right = torch.linalg.cross(forward, up)
    right = right / right.norm(dim=1, keepdim=True)
    down = torch.linalg.cross(forward, right)
    pose = torch.stack([right, down, forward, positions], dim=2)
    count = len(positions)
    return Cameras(
        world_from_camera=pose.float(),
        focal=torch.full((count, 2), _FOCAL_PER_SIZE * size),
        center=torch.full((count, 2), size / 2),
        distortion=torch.zeros(count, 6),
        fisheye=torch.zeros(count, dtype=torch.bool),
        sizes=torch.full((count, 2), size, dtype=torch.int64),
    )


def _photographed(cameras: Cameras, split: str, scene_from_world: Similarity) -> PosedImages:
    photos = _photos(cameras)
    return PosedImages(
        cameras=cameras.transformed(scene_from_world),
        names=tuple(f"{split}/r_{i:03d}.png" for i in range(len(cameras))),
        pixels=torch.cat([photo.reshape(-1, 4) for photo in photos]),
        first_pixel=torch.cat([torch.zeros(1, dtype=torch.int64), cameras.sizes.prod(dim=1).cumsum(dim=0)]),
    )


def _photos(cameras: Cameras) -> list[UInt8[Tensor, "height width 4"]]:
    studio, threads = still_life(), torch.get_num_threads()
    # Thousands of small operations: threads that wait for each other cost more than they bring.
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            return [_photo(studio, cameras, i) for i in range(len(cameras))]
    finally:
        torch.set_num_threads(threads)


def _photo(studio: Studio, cameras: Cameras, index: int) -> UInt8[Tensor, "height width 4"]:
    """One picture, straight alpha: four sub-samples a pixel are averaged premultiplied, then divided by their alpha."""
    width, height = (int(x) for x in cameras.sizes[index])
    rows = max(_RAYS_AT_ONCE // (width * len(_SUBPIXELS)), 1)
    bands = [_band(studio, cameras, index, range(row, min(row + rows, height))) for row in range(0, height, rows)]
    premultiplied = torch.cat(bands, dim=1)
    alpha = premultiplied[3:]
    rgba = torch.cat([premultiplied[:3] / alpha.clamp(min=1e-6), alpha])
    return (rgba.T.reshape(height, width, 4) * 255).round().to(torch.uint8)


def _band(studio: Studio, cameras: Cameras, index: int, rows: range) -> Float[Tensor, "4 pixels"]:
    """Premultiplied RGBA of some rows of a picture."""
    width = int(cameras.sizes[index, 0])
    y, x = torch.meshgrid(torch.arange(rows.start, rows.stop) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixels = torch.stack([x, y], dim=-1).reshape(-1, 2) + torch.tensor(_SUBPIXELS)[:, None]
    samples, count = len(pixels), pixels.shape[1]
    origins, directions = cameras.rays(pixels.reshape(-1, 2), torch.full((samples * count,), index))
    which = torch.arange(samples).repeat_interleave(count)
    color, hit = studio.trace(origins[:1].T, directions.T.contiguous(), which)
    return torch.cat([display_from_linear(color), hit[None]]).reshape(4, samples, count).mean(dim=1)
