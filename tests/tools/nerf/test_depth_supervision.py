"""Depth maps pull what stops a ray to where they say, and held-out ones are a score."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neufield.configs.nerf_config import FieldConfig, NerfConfig, OptimizerConfig, SamplingConfig
from neufield.datasets import PosedScene, load_posed_scene, write_synthetic_folder
from neufield.datasets.still_life import still_life
from neufield.render import Cameras, Rendering
from neufield.tools.nerf.depth_supervision import depth_error, depth_loss, distance_along_rays
from neufield.tools.nerf.run import load_scene
from neufield.tools.nerf.task import NerfTask, resolved

SIZE = 48


def rendering(opacity: torch.Tensor, depth: torch.Tensor) -> Rendering:
    zeros = torch.zeros_like(opacity)
    return Rendering(zeros[:, None].expand(-1, 3), opacity, depth, zeros, 0, 0)


def true_depth(cameras: Cameras, index: int) -> torch.Tensor:
    """Depth along the optical axis of the built-in scene's solids, world units, 0 where nothing is."""
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    origins, directions = cameras.rays(torch.stack([x, y], -1).reshape(-1, 2), torch.full((SIZE * SIZE,), index))
    t, solid = still_life()._nearest(origins[:1].T, directions.T.contiguous())
    z = t * (directions @ cameras.world_from_camera[index, :, 2])
    return torch.where(solid >= 0, z, 0.0).view(SIZE, SIZE)


@pytest.fixture(scope="module")
def few_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six photos and four held-out ones of the built-in scene, all with depth maps; not to be changed."""
    folder = tmp_path_factory.mktemp("data") / "few"
    write_synthetic_folder(folder, train_views=6, test_views=4, size=SIZE)
    scene = load_posed_scene(folder)
    for part, images in (("train", scene.train), ("test", scene.test)):
        path = folder / f"transforms_{part}.json"
        document = json.loads(path.read_text())
        world = images.cameras.transformed(scene.scene_from_world.inverse())
        for i, frame in enumerate(document["frames"]):
            frame["depth_file_path"] = f"{part}/depth_{i}.png"
            depth = (1000.0 * true_depth(world, i)).round().numpy().astype(np.uint16)
            Image.fromarray(depth).save(folder / frame["depth_file_path"])
        path.write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def scene(few_photos: Path) -> PosedScene:
    return load_posed_scene(few_photos)


def test_distances_are_longer_than_depths_by_the_cosine(scene: PosedScene):
    cameras = scene.train.cameras[:2]
    axes = cameras.world_from_camera[:, :, 2]
    sideways = cameras.world_from_camera[:, :, 0]
    indices = torch.tensor([0, 1, 1, 0, 0])
    angles = torch.tensor([0.0, 0.0, 1.0, 1.2, torch.pi / 2])
    directions = axes[indices] * angles.cos()[:, None] + sideways[indices] * angles.sin()[:, None]
    depth = torch.tensor([2.0, 3.0, 3.0, 0.0, 1.0])
    found = distance_along_rays(depth, directions, cameras, indices)
    expected = torch.tensor([2.0, 3.0, 3.0 / float(np.cos(1.0)), 0.0, 0.0])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)


def test_the_loss_counts_known_rays_by_their_opacity():
    seen = rendering(torch.tensor([1.0, 1.0, 0.5, 1.0]), torch.tensor([1.0, 2.0, 1.0, 7.0]))
    found = depth_loss(seen, torch.tensor([1.0, 1.5, 2.0, 0.0]))
    assert float(found) == pytest.approx((0.0 + (0.5 - 0.005) + (0.5 - 0.005) + 0.0) / 4)
    assert float(depth_loss(seen, torch.zeros(4))) == 0.0


def test_weight_moves_towards_the_measured_distance():
    """Samples at 1, 2 and 3; the measured surface is at 2: what lies in front of the mean and behind it is balanced."""
    for measured, sign in ((1.5, 1), (2.5, -1)):
        weights = torch.tensor([[0.3, 0.3, 0.3]], requires_grad=True)
        opacity = weights.sum(dim=1)
        seen = rendering(opacity, (weights * torch.tensor([1.0, 2.0, 3.0])).sum(dim=1) / opacity)
        depth_loss(seen, torch.tensor([measured])).backward()
        assert weights.grad is not None
        slopes = weights.grad[0]
        assert sign * (slopes[2] - slopes[0]) > 0  # descent takes from the far side if the surface is nearer
        assert slopes[0] < 0 < slopes[2] if sign > 0 else slopes[2] < 0 < slopes[0]


def test_rays_that_nothing_stops_have_finite_gradients():
    total = torch.zeros(3, requires_grad=True)
    seen = rendering(total.abs(), total / total.clamp(min=1e-6))
    depth_loss(seen, torch.ones(3)).backward()
    assert total.grad is not None
    assert total.grad.isfinite().all()


def exact_distances(scene: PosedScene, index: int) -> torch.Tensor:
    images = scene.test
    depth = images.depth_in(index)
    assert depth is not None
    y, x = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    indices = torch.full((SIZE * SIZE,), index)
    _, directions = images.cameras.rays(torch.stack([x, y], -1).reshape(-1, 2), indices)
    return distance_along_rays(depth.flatten(), directions, images.cameras, indices).view(SIZE, SIZE)


def test_the_error_is_in_units_of_the_poses(scene: PosedScene):
    scale = scene.scene_from_world.scale
    distance, camera, depth = exact_distances(scene, 1), scene.test.cameras[1], scene.test.depth_in(1)
    assert depth is not None
    assert depth_error(camera, depth, None, distance, scale=scale)["depth_error"] == pytest.approx(0.0, abs=1e-6)
    found = depth_error(camera, depth, None, distance + 0.3 * scale, scale=scale)
    assert found["depth_error"] == pytest.approx(0.3, rel=1e-3)


def test_what_is_masked_or_unknown_is_no_error(scene: PosedScene):
    distance, camera, depth = exact_distances(scene, 1), scene.test.cameras[1], scene.test.depth_in(1)
    assert depth is not None
    kept = torch.ones(SIZE, SIZE, dtype=torch.bool)
    kept[:30] = False
    spoilt = torch.where(distance > 0.0, torch.where(kept, distance, 9.0), 5.0)
    assert depth_error(camera, depth, kept, spoilt, scale=1.0)["depth_error"] == pytest.approx(0.0, abs=1e-6)
    assert depth_error(camera, depth, None, spoilt, scale=1.0)["depth_error"] > 0.1
    assert depth_error(camera, torch.zeros_like(depth), None, spoilt, scale=1.0) == {}


def losses_of(photos: Path, **optimizer: Any) -> dict[str, torch.Tensor]:
    field, sampling = FieldConfig(levels=4, log2_table_size=10, finest=64), SamplingConfig(samples=512)
    sampling = replace(sampling, occupancy_resolution=32)
    config = NerfConfig(data=photos, field=field, sampling=sampling, optimizer=OptimizerConfig(**optimizer))
    found = load_scene(config)
    return NerfTask(resolved(config, found), found, torch.device("cpu")).losses(0, 0.0)


def test_depth_counts_as_much_as_it_is_said_to(few_photos: Path, photos: Path):
    small, large = (losses_of(few_photos, depth=weight)["depth"] for weight in (0.1, 0.2))
    assert small > 0.0
    torch.testing.assert_close(2.0 * small, large)
    assert set(losses_of(few_photos, depth=0.0)) == {"color", "distortion"}
    assert set(losses_of(photos)) == {"color", "distortion"}


def test_depth_is_measured_along_the_axis_of_the_refined_camera(few_photos: Path):
    """A camera that turns, and its rays with it, is as far from what it sees as before."""
    config = NerfConfig(
        data=few_photos, field=FieldConfig(levels=4, log2_table_size=10, finest=64), refine_poses="poses", steps=100
    )
    found = load_scene(config)
    task = NerfTask(resolved(config, found), found, torch.device("cpu"))
    refinement = task.model.refinement
    assert refinement is not None
    count = len(found.train)
    pixels, photos, depth = torch.rand(count, 2) * SIZE, torch.arange(count), torch.full((count,), 1.5)
    before = distance_along_rays(depth, task.cameras.rays(pixels, photos)[1], task.cameras, photos)
    refinement.move(torch.full((count, 3), 0.05), torch.zeros(count, 3))
    directions = refinement.rays(task.cameras, pixels, photos)[1].detach()
    after = distance_along_rays(depth, directions, task.model.trained_cameras(task.cameras), photos)
    torch.testing.assert_close(after, before)


@pytest.mark.slow
def test_depth_maps_make_up_for_photos(
    cli: Callable[..., Any], few_photos: Path, small_field: list[str], tmp_path: Path
):
    """Six photos alone leave much open; with depth maps held-out views are better, and surfaces where they are."""
    means = []
    for name, weight in (("without", ("--optimizer.depth", 0)), ("with", ())):
        said = cli("nerf", few_photos, "--runs", tmp_path, "--name", name, "--steps", 300, *small_field, *weight)
        assert said.code == 0
        assert "depth maps: 10 of 10 photos, a stored 1 is 0.001 units of the poses" in said.out
        assert ", depth error " in said.out.splitlines()[-1]
        means.append(json.loads((tmp_path / name / "evaluation.json").read_text())["mean"])
    without, found = means
    assert found["depth_error"] < 0.6 * without["depth_error"]
    assert found["psnr"] > without["psnr"] + 1.0
    protocol = json.loads((tmp_path / "with" / "evaluation.json").read_text())["protocol"]
    assert protocol["depth_error"].startswith("mean absolute error of the distance along the ray, units of the poses")
    report = (tmp_path / "with" / "report.html").read_text()
    assert "depth error" in report
    assert "Loss: depth" in report


def test_bad_depth_maps_leave_no_run(cli: Callable[..., Any], capture: Callable[..., Path], tmp_path: Path):
    folder = capture(frames={4: {"depth_file_path": "depth/4.png"}})
    for command in (("nerf", folder, "--runs", tmp_path / "runs"), ("data", "check", folder)):
        said = cli(*command)
        assert said.code == 2
        assert "transforms.json, frame 4: expected the depth map 'depth/4.png' ('depth_file_path') in" in said.err
        assert "Traceback" not in said.err
    assert not (tmp_path / "runs").exists()
    assert cli("nerf", folder, "--optimizer.depth", -1).code == 2
