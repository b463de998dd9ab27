"""What a run found out about its cameras: how far they moved, and a file that other programs read."""

import json
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...datasets import DataError, PosedImages, PosedScene
from ...datasets.image_files import read_image_header
from ...datasets.transforms_writer import companions_of, transforms_document
from ...render import Cameras
from ..run_folder import RunFolder
from .task import NerfTask, has_folding_lens


@dataclass(frozen=True)
class CameraShift:
    """How far cameras were moved: medians over them.

    Attributes:
        degrees: Of rotation.
        distance: Between positions, in units of the user's world.
    """

    degrees: float
    distance: float


def median_shift(task: NerfTask) -> CameraShift | None:
    """How far refinement moved the training's cameras, what all do together aside; None without refinement."""
    refinement = task.model.refinement
    if refinement is None:
        return None
    together = task.common_motion(refinement)
    given, now = task.cameras.transformed(together), refinement.corrected(task.cameras)
    return shift_between(given, now, scale=task.scene.scene_from_world.scale)


def shift_between(given: Cameras, now: Cameras, *, scale: float = 1.0) -> CameraShift:
    """How far cameras lie apart, pair by pair; distances are divided by `scale`."""
    a, b = (cameras.world_from_camera.double().cpu() for cameras in (given, now))
    between = a[:, :, :3].transpose(1, 2) @ b[:, :, :3]
    # The angle from the chord: the cosine would lose what is small.
    chord = (between - torch.eye(3, dtype=torch.float64)).square().sum(dim=(1, 2)).sqrt()
    angle = 2.0 * torch.asin((chord / 8.0**0.5).clamp(max=1.0))
    distance = (a[:, :, 3] - b[:, :, 3]).norm(dim=1) / scale
    return CameraShift(float(angle.median().rad2deg()), float(distance.median()))


def write_refined_cameras(run: RunFolder, task: NerfTask) -> str | None:
    """Writes `outputs/refined_transforms.json`, in the user's world, where a run has refined its cameras.

    As `transforms.json` in the data folder, or in a copy of it, it is a data set of its own: with the same views held
    out, the masks, depth maps and sparse points of the data, and the scene's frame by instant-ngp's keys.

    Returns:
        What the user should know about it; None if nothing.
    """
    refinement = task.model.refinement
    if refinement is None:
        return None
    scene, factor = task.scene, task.config.downscale
    world_from_scene = scene.scene_from_world.inverse()
    given = (refinement.corrected(task.cameras), scene.train), (task.test_cameras, scene.test)
    train, test = (
        _at_file_size(cameras.to("cpu", torch.float64).transformed(world_from_scene), scene.folder, images, factor)
        for cameras, images in given
    )
    companions = companions_of(scene.folder, scene.format)
    document = _frame(scene) | transforms_document(train, test, (scene.train.names, scene.test.names), companions)
    run.write_text(run.outputs / "refined_transforms.json", json.dumps(document, indent=1))
    if has_folding_lens(train):
        return "a refined lens folds its image over, so that it cannot be used elsewhere: try --refine-poses poses"
    return None


def _frame(scene: PosedScene) -> dict[str, Any]:
    similarity = scene.scene_from_world
    return {"aabb_scale": scene.extent, "scale": similarity.scale, "offset": similarity.translation.tolist()}


def _at_file_size(cameras: Cameras, folder: Path, images: PosedImages, factor: int) -> Cameras:
    """Cameras of photos that were reduced so many times on loading, as cameras of their files."""
    if factor == 1:
        return cameras
    sizes = cameras.sizes * factor
    for index, name in enumerate(images.names):
        with suppress(DataError):
            sizes[index] = torch.tensor(read_image_header(folder / name).size)
    return replace(cameras, focal=cameras.focal * factor, center=cameras.center * factor, sizes=sizes)
