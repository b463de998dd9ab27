"""What cameras look at comes to the middle of the unit cube, whatever the world's frame."""

import numpy as np
import pytest
import torch

from neufield.datasets.scene_frame import frame_from_cameras, instant_ngp_frame


def look_along(position: np.ndarray, forward: np.ndarray) -> np.ndarray:
    forward = forward / np.linalg.norm(forward)
    right = np.cross(forward, [0.3, 0.1, 1.0])
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward, position], axis=1)


def ring(count: int, radius: float, target: np.ndarray, *, outward: bool = False) -> np.ndarray:
    angles = np.arange(count) * 2 * np.pi / count
    offsets = radius * np.stack([np.cos(angles), np.sin(angles), 0.2 * np.cos(3 * angles)], axis=1)
    return np.stack([look_along(target + offset, offset if outward else -offset) for offset in offsets])


def scene_points(frame, points: np.ndarray) -> np.ndarray:
    return frame.scene_from_world.apply(torch.from_numpy(points)).numpy()


@pytest.mark.parametrize("radius", [0.01, 4.0, 3000.0])
def test_inward_cameras(radius: float) -> None:
    target = radius * np.array([3.0, -2.0, 5.0])
    poses = ring(12, radius, target)
    frame = frame_from_cameras(poses)
    np.testing.assert_allclose(scene_points(frame, target[None])[0], 0.5, atol=1e-6)
    positions = scene_points(frame, poses[:, :, 3])
    assert np.linalg.norm(positions - 0.5, axis=1).mean() == pytest.approx(1.3)
    assert np.abs(positions - 0.5).max() < 0.5 * frame.extent
    assert frame.extent == 4


def test_frame_moves_with_the_world() -> None:
    poses = ring(12, 2.0, np.zeros(3))
    moved = poses.copy()
    moved[:, :, 3] = 7.0 * poses[:, :, 3] + [1.0, 2.0, 3.0]
    a, b = frame_from_cameras(poses), frame_from_cameras(moved)
    np.testing.assert_allclose(scene_points(a, poses[:, :, 3]), scene_points(b, moved[:, :, 3]), atol=1e-9)


def test_points_widen_the_box_but_strays_do_not() -> None:
    poses, generator = ring(12, 2.0, np.zeros(3)), np.random.default_rng(0)
    near = generator.uniform(-1.0, 1.0, (1000, 3))
    strays = np.array([[1e6, 0.0, 0.0]] * 10)
    assert frame_from_cameras(poses, np.concatenate([near, strays])).extent == 4
    far = np.concatenate([near, generator.uniform(-10.0, 10.0, (1000, 3))])
    assert frame_from_cameras(poses, far).extent == 16
    assert frame_from_cameras(poses, 100.0 * far).extent == 16


def test_forward_cameras_focus_on_the_points_ahead() -> None:
    generator = np.random.default_rng(0)
    positions = generator.uniform(-1.0, 1.0, (20, 3)) * [1.0, 0.5, 0.0]
    poses = np.stack([look_along(p, np.array([0.0, 0.0, 1.0]) + 0.02 * generator.normal(size=3)) for p in positions])
    points = generator.uniform(-1.0, 1.0, (200, 3)) * [4.0, 3.0, 2.0] + [0.0, 0.0, 10.0]
    frame = frame_from_cameras(poses, points, nearest=8.0)
    np.testing.assert_allclose(scene_points(frame, points).mean(0), 0.5, atol=0.1)
    assert np.abs(scene_points(frame, points) - 0.5).max() < 0.5 * frame.extent
    assert frame.near == pytest.approx(0.7 * 8.0 * frame.scene_from_world.scale)


def test_outward_cameras_stand_in_the_unit_cube() -> None:
    frame = frame_from_cameras(ring(12, 2.0, np.ones(3), outward=True))
    positions = scene_points(frame, ring(12, 2.0, np.ones(3), outward=True)[:, :, 3])
    assert positions.min() > 0.0
    assert positions.max() < 1.0


def test_far_cameras_are_brought_into_the_largest_box() -> None:
    poses = ring(12, 1.0, np.zeros(3))
    poses[0, :, 3] *= 1000.0
    frame = frame_from_cameras(poses)
    assert frame.extent == 16
    assert np.abs(scene_points(frame, poses[:, :, 3]) - 0.5).max() < 8.0


def test_cameras_in_one_place() -> None:
    poses = ring(6, 1.0, np.zeros(3), outward=True)
    poses[:, :, 3] = 2.0
    frame = frame_from_cameras(poses)
    np.testing.assert_allclose(scene_points(frame, poses[:, :, 3]), 0.5, atol=1e-9)


@pytest.mark.parametrize(("aabb_scale", "extent"), [(0.5, 1), (1, 1), (3, 4), (16, 16)])
def test_extent_is_a_power_of_two(aabb_scale: float, extent: int) -> None:
    frame = instant_ngp_frame(scale=0.33, offset=(0.5, 0.5, 0.5), aabb_scale=float(aabb_scale))
    assert frame.extent == extent
