"""scene.json of a run: the scene's frame and its cameras, so that a run can be rendered without its photos."""

import json
from dataclasses import dataclass
from typing import Any

import torch

from ..datasets import PosedScene
from ..render import Cameras, Similarity
from .errors import RunError
from .run_folder import RunFolder


@dataclass(frozen=True)
class SceneFrame:
    """What is needed of a scene to render it.

    Attributes:
        scene_from_world: The user's coordinates to the scene's.
        extent: Side of the scene's box, a power of two.
        near: Nothing is sampled closer to a camera, scene units.
        cameras: The training cameras, scene coordinates.
    """

    scene_from_world: Similarity
    extent: int
    near: float
    cameras: Cameras


def write_scene(run: RunFolder, scene: PosedScene) -> None:
    """Writes what `read_scene` reads."""
    cameras = scene.train.cameras
    content = {
        "name": scene.name,
        "format": scene.format,
        "scene_from_world": scene.scene_from_world.to_dict(),
        "extent": scene.extent,
        "near": scene.near,
        "train": list(scene.train.names),
        "test": list(scene.test.names),
        "cameras": {name: getattr(cameras, name).tolist() for name in cameras.__dataclass_fields__},
    }
    run.write_text(run.path / "scene.json", json.dumps(content))


def read_scene(run: RunFolder) -> SceneFrame:
    """Reads the scene's frame of a run.

    Raises:
        RunError: The file is missing or damaged.
    """
    path = run.path / "scene.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        fields = {name: torch.tensor(values) for name, values in content["cameras"].items()}
        return SceneFrame(
            Similarity.from_dict(content["scene_from_world"]),
            int(content["extent"]),
            float(content["near"]),
            Cameras(**fields),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is missing or damaged ({error}). Train the run again with --force.") from None
