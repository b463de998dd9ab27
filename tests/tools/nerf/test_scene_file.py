import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neufield.datasets import PosedScene, synthetic_scene
from neufield.render import Similarity
from neufield.tools.errors import RunError
from neufield.tools.nerf.scene_file import as_trained, read_scene, write_scene
from neufield.tools.run_folder import RunFolder


@pytest.fixture(scope="module")
def scene() -> PosedScene:
    scene = synthetic_scene(train_views=3, test_views=2, size=8)
    turn = torch.linalg.matrix_exp(
        torch.tensor([[0.0, 1.0, 2.0], [-1.0, 0.0, 0.5], [-2.0, -0.5, 0.0]], dtype=torch.float64)
    )
    return replace(
        scene, scene_from_world=Similarity(1.0 / 3.0, turn, torch.tensor([0.1, 0.2, 0.3])), extent=4, near=0.07
    )


@pytest.fixture
def run(tmp_path: Path, scene: PosedScene) -> RunFolder:
    run = RunFolder(tmp_path / "run")
    write_scene(run, scene)
    return run


def test_round_trip_is_exact(run: RunFolder, scene: PosedScene):
    found = read_scene(run)
    assert (found.extent, found.near) == (4, 0.07)
    assert found.names == (scene.train.names, scene.test.names)
    assert found.scene_from_world.scale == scene.scene_from_world.scale
    assert torch.equal(found.scene_from_world.rotation, scene.scene_from_world.rotation)
    assert torch.equal(found.scene_from_world.translation, scene.scene_from_world.translation)
    for name in scene.train.cameras.__dataclass_fields__:
        there, here = getattr(found.cameras, name), getattr(scene.train.cameras, name)
        assert there.dtype == here.dtype
        assert torch.equal(there, here)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cameras": []}', '{"cameras": {"focal": 1}}'])
def test_damaged(run: RunFolder, text: str):
    (run.path / "scene.json").write_text(text)
    with pytest.raises(RunError, match=r"scene.json is missing or damaged \(.*Train the run again with --force"):
        read_scene(run)


def test_missing_or_without_a_key(run: RunFolder):
    path = run.path / "scene.json"
    content = json.loads(path.read_text())
    for key in ("scene_from_world", "extent", "near", "train", "test", "cameras"):
        path.write_text(json.dumps({name: value for name, value in content.items() if name != key}))
        with pytest.raises(RunError, match=f"missing or damaged .*{key}"):
            read_scene(run)
    path.unlink()
    with pytest.raises(RunError, match="missing or damaged"):
        read_scene(run)


def test_the_same_scene_and_others(run: RunFolder, scene: PosedScene):
    as_trained(run, scene)
    frame = scene.scene_from_world
    others = [
        replace(scene, extent=2),
        replace(scene, test=replace(scene.test, names=("x.png", "y.png"))),
        replace(scene, train=replace(scene.train, names=scene.train.names[::-1])),
        replace(scene, scene_from_world=Similarity(frame.scale * 1.01, frame.rotation, frame.translation)),
        replace(scene, scene_from_world=Similarity(frame.scale, frame.rotation, frame.translation + 0.01)),
        replace(scene, scene_from_world=Similarity(frame.scale, frame.rotation.T, frame.translation)),
    ]
    for other in others:
        with pytest.raises(RunError, match=r"are not those that .*run was trained on. Put them back"):
            as_trained(run, other)
    nearly = Similarity(frame.scale * (1 + 1e-9), frame.rotation, frame.translation + 1e-9)
    as_trained(run, replace(scene, scene_from_world=nearly))
