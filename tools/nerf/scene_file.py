"""scene.json of a run: the scene's frame and its cameras, so that a run can be rendered without its photos."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ...datasets import PosedScene
from ...render import Cameras, Similarity
from ..errors import RunError
from ..run_folder import RunFolder


@dataclass(frozen=True)
class SceneFrame:
    """What is needed of a scene to render it.

    Attributes:
        scene_from_world: The user's coordinates to the scene's.
        extent: Side of the scene's box, a power of two.
        near: Nothing is sampled closer to a camera, scene units.
        cameras: The training cameras, scene coordinates.
        names: Of the photos that are trained on, and of those held out.
    """

    scene_from_world: Similarity
    extent: int
    near: float
    cameras: Cameras
    names: tuple[tuple[str, ...], tuple[str, ...]]


def write_scene(run: RunFolder, scene: PosedScene) -> None:
    """Writes what `read_scene` reads."""
    run.write_text(_path(run), json.dumps(_content(scene)))


def _path(run: RunFolder) -> Path:
    return run.path / "scene.json"


def _content(scene: PosedScene) -> dict[str, Any]:
    cameras = scene.train.cameras
    return {
        "name": scene.name,
        "format": scene.format,
        "scene_from_world": scene.scene_from_world.to_dict(),
        "extent": scene.extent,
        "near": scene.near,
        "train": list(scene.train.names),
        "test": list(scene.test.names),
        "cameras": {name: getattr(cameras, name).tolist() for name in cameras.__dataclass_fields__},
    }


def read_scene(run: RunFolder) -> SceneFrame:
    """Reads the scene's frame of a run.

    Raises:
        RunError: The file is missing or damaged.
    """
    path = _path(run)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        fields = {name: torch.tensor(values) for name, values in content["cameras"].items()}
        return SceneFrame(
            Similarity.from_dict(content["scene_from_world"]),
            int(content["extent"]),
            float(content["near"]),
            Cameras(**fields),
            (tuple(content["train"]), tuple(content["test"])),
        )
    except (OSError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"{path} is missing or damaged ({error}). Train the run again with --force.") from None


def as_trained(run: RunFolder, scene: PosedScene) -> PosedScene:
    """The photos with the run's own near plane; refuses those that the run was not started on.

    A run's weights mean nothing in another frame.

    Raises:
        RunError: Photos came or went, or the scene's frame is another one.
    """
    frame = read_scene(run)
    there, here = frame.scene_from_world, scene.scene_from_world
    same_frame = (
        math.isclose(there.scale, here.scale, rel_tol=1e-5)
        and torch.allclose(there.rotation, here.rotation, atol=1e-5)
        and torch.allclose(there.translation, here.translation, rtol=1e-5, atol=1e-5)
        and frame.extent == scene.extent
    )
    if frame.names != (scene.train.names, scene.test.names) or not same_frame:
        raise RunError(
            f"The photos in {scene.folder} or their poses are not those that {run.path} was trained on. "
            "Put them back as they were, or train a new run."
        )
    return replace(scene, near=frame.near)
