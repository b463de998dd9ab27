"""Cameras as frames of a `transforms.json`, the way nerfstudio and instant-ngp state them."""

from collections.abc import Sequence
from typing import Any

import torch

from ..render.cameras import Cameras

_DISTORTION = ("k1", "k2", "k3", "k4", "p1", "p2")


def opengl_pose(cameras: Cameras, index: int) -> list[list[float]]:
    """The 4x4 pose of a camera whose y axis points up and whose z axis points backward."""
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3] = cameras.world_from_camera[index]
    pose[:3, 1:3] *= -1
    return pose.tolist()


def transforms_document(train: Cameras, test: Cameras, names: tuple[Sequence[str], Sequence[str]]) -> dict[str, Any]:
    """What a nerfstudio `transforms.json` says: every frame with its pose and its own lens.

    Args:
        train, test: Cameras in the user's world.
        names: Their photos, relative to the data folder.
    """
    frames = [
        {"file_path": name, **_lens(cameras, index), "transform_matrix": opengl_pose(cameras, index)}
        for cameras, part in ((train, names[0]), (test, names[1]))
        for index, name in enumerate(part)
    ]
    document: dict[str, Any] = {"camera_model": "OPENCV", "train_filenames": list(names[0])}
    if len(test):
        document["test_filenames"] = list(names[1])
    return {**document, "frames": frames}


def _lens(cameras: Cameras, index: int) -> dict[str, Any]:
    (fx, fy), (cx, cy) = cameras.focal[index].tolist(), cameras.center[index].tolist()
    width, height = cameras.sizes[index].tolist()
    distortion = dict(zip(_DISTORTION, cameras.distortion[index].tolist(), strict=True))
    kind = {"camera_model": "OPENCV_FISHEYE"} if bool(cameras.fisheye[index]) else {}
    return {**kind, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy, "w": width, "h": height, **distortion}
