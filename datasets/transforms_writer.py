"""Cameras as frames of a `transforms.json`, the way nerfstudio and instant-ngp state them."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..render.cameras import Cameras
from .errors import DataError
from .json_document import read_json
from .recognition import recognise
from .views import View

_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")
_OF_THE_DOCUMENT = ("ply_file_path", "applied_transform", "applied_scale", "integer_depth_scale")


def opengl_pose(cameras: Cameras, index: int) -> list[list[float]]:
    """The 4x4 pose of a camera whose y axis points up and whose z axis points backward."""
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3] = cameras.world_from_camera[index]
    pose[:3, 1:3] *= -1
    return pose.tolist()


@dataclass(frozen=True)
class Companions:
    """What a data folder has besides photos and cameras, as keys of a `transforms.json`."""

    document: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By the photo's name, relative to the data folder."""


def companions_of(folder: Path, format: str) -> Companions:
    """The masks, depth maps and sparse points of a data folder; none where it is not of this format any more.

    Masks that lie beside their photos, as `dynamic_mask_<name>.png`, need no key.
    """
    found = recognise(folder)
    if not found or found[0].format != format:
        return Companions()
    faults: list[DataError] = []  # told when the run was started
    views = found[0].read(folder, faults.append, downscale=1).views
    document: dict[str, Any] = {}
    with suppress(DataError):
        values = read_json(folder / found[0].evidence).values
        document = {key: values[key] for key in _OF_THE_DOCUMENT if key in values}
    return Companions(document, {view.name: _keys(view) for view in views})


def _keys(view: View) -> dict[str, str]:
    keys: dict[str, str] = {}
    if view.mask and view.mask.ignored == "black":
        keys["mask_path"] = view.mask.name
    if view.depth:
        keys[view.depth.key] = view.depth.name
    return keys


def transforms_document(
    train: Cameras, test: Cameras, names: tuple[Sequence[str], Sequence[str]], companions: Companions
) -> dict[str, Any]:
    """What a nerfstudio `transforms.json` says: every frame with its pose and its own lens.

    Args:
        train, test: Cameras in the user's world.
        names: Their photos, relative to the data folder.
        companions: What else there is.
    """
    frames = [
        {
            "file_path": name,
            **companions.frames.get(name, {}),
            **_lens(cameras, index),
            "transform_matrix": opengl_pose(cameras, index),
        }
        for cameras, part in ((train, names[0]), (test, names[1]))
        for index, name in enumerate(part)
    ]
    document: dict[str, Any] = {"camera_model": "OPENCV", **companions.document, "train_filenames": list(names[0])}
    if len(test):
        document["test_filenames"] = list(names[1])
    return {**document, "frames": frames}


def _lens(cameras: Cameras, index: int) -> dict[str, Any]:
    (fx, fy), (cx, cy) = cameras.focal[index].tolist(), cameras.center[index].tolist()
    width, height = cameras.sizes[index].tolist()
    distortion = dict(zip(_DISTORTION, cameras.distortion[index].tolist(), strict=True))
    kind = {"camera_model": "OPENCV_FISHEYE"} if bool(cameras.fisheye[index]) else {}
    return {**kind, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": width, "h": height, **distortion}
