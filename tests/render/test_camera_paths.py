import math

import pytest
import torch

from neufield.render.camera_paths import interpolated_path, turntable
from neufield.render.cameras import Cameras
from neufield.render.similarity import Similarity


def looking_at(positions: torch.Tensor, target: torch.Tensor, up: torch.Tensor, *, size=(120, 90)) -> Cameras:
    forward = torch.nn.functional.normalize(target - positions, dim=1)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up.expand_as(forward)), dim=1)
    pose = torch.stack([right, torch.linalg.cross(forward, right), forward, positions], dim=2)
    count = len(positions)
    return Cameras(
        world_from_camera=pose,
        focal=torch.full((count, 2), 110.0, dtype=pose.dtype),
        center=torch.tensor([size[0] / 2, size[1] / 2], dtype=pose.dtype).repeat(count, 1),
        distortion=torch.zeros(count, 6, dtype=pose.dtype),
        fisheye=torch.zeros(count, dtype=torch.bool),
        sizes=torch.tensor(size).repeat(count, 1),
    )


def ring(count: int = 24, elevation: float = 0.5, distance: float = 2.0) -> Cameras:
    """Cameras around the middle of the unit cube, z up."""
    angle = torch.arange(count, dtype=torch.float64) * 2 * math.pi / count
    height = torch.full_like(angle, math.sin(elevation))
    outward = torch.stack([angle.cos() * math.cos(elevation), angle.sin() * math.cos(elevation), height], dim=1)
    return looking_at(0.5 + distance * outward, torch.full((3,), 0.5).double(), torch.tensor([0.0, 0, 1]).double())


def rotations(cameras: Cameras) -> torch.Tensor:
    return cameras.world_from_camera[:, :, :3]


def positions(cameras: Cameras) -> torch.Tensor:
    return cameras.world_from_camera[:, :, 3]


PATHS = [turntable, interpolated_path]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("frames", [1, 2, 61])
def test_every_pose_is_a_rotation_and_a_place(path, frames: int):
    cameras = path(ring(), frames)
    assert len(cameras) == frames
    r = rotations(cameras)
    assert torch.allclose(r @ r.transpose(1, 2), torch.eye(3).double().expand_as(r), atol=1e-9)
    assert torch.allclose(torch.linalg.det(r), torch.ones(frames).double())


def test_turntable_of_a_ring_is_that_ring():
    cameras = turntable(ring(24), 24)
    assert torch.allclose(cameras.world_from_camera, ring(24).world_from_camera, atol=1e-6)


def test_turntable_keeps_height_and_distance_and_sees_the_middle():
    training = ring(24, elevation=0.4, distance=1.7)
    cameras = turntable(training, 50)
    middle = torch.full((50, 3), 0.5).double()
    offsets = positions(cameras) - middle
    assert torch.allclose(offsets.norm(dim=1), torch.tensor(1.7).double(), atol=1e-6)
    assert torch.allclose(offsets[:, 2], torch.tensor(1.7 * math.sin(0.4)).double(), atol=1e-6)
    pixels, depth = cameras.project(middle, torch.arange(50))
    assert torch.allclose(pixels, cameras.center, atol=1e-5)
    assert (depth > 0).all()
    # Pictures stand upright: a point above the middle is seen above it.
    above, _ = cameras.project(middle + torch.tensor([0, 0, 0.1]).double(), torch.arange(50))
    assert (above[:, 1] < pixels[:, 1] - 1).all()


def test_turntable_goes_around_once_in_equal_steps():
    offsets = positions(turntable(ring(), 30)) - 0.5
    angle = torch.atan2(offsets[:, 1], offsets[:, 0])
    steps = (torch.cat([angle, angle[:1]]).diff() + math.pi) % (2 * math.pi) - math.pi
    assert torch.allclose(steps, torch.full((30,), 2 * math.pi / 30).double(), atol=1e-6)


def test_turntable_circles_a_given_point():
    center = torch.tensor([0.4, 0.6, 0.3])
    offsets = positions(turntable(ring(), 16, center=center)) - center.double()
    assert torch.allclose(offsets.norm(dim=1), offsets[0].norm().expand(16))


def test_turntable_turns_with_the_scene():
    turn = torch.tensor([[0.0, -1, 0], [0.6, 0, -0.8], [0.8, 0, 0.6]]).double()
    middle = torch.full((3,), 0.5).double()
    moved = Similarity(scale=1.0, rotation=turn, translation=middle - turn @ middle)
    first = turntable(ring(), 12).transformed(moved).world_from_camera
    second = turntable(ring().transformed(moved), 12).world_from_camera
    assert torch.allclose(first, second, atol=1e-6)


@pytest.mark.parametrize("path", PATHS)
def test_one_camera_is_enough(path):
    training = ring()[3]
    cameras = path(training, 9)
    assert cameras.world_from_camera.isfinite().all()
    assert torch.allclose(cameras.world_from_camera[0], training.world_from_camera[0], atol=1e-6)


def test_turntable_over_a_camera_that_looks_straight_down():
    above = torch.tensor([[0.5, 0.5, 2.5]]).double()
    cameras = turntable(looking_at(above, torch.full((3,), 0.5).double(), torch.tensor([0.0, 1, 0]).double()), 8)
    assert cameras.world_from_camera.isfinite().all()


def test_interpolated_path_passes_through_its_keys():
    training = ring(8)
    cameras = interpolated_path(training, 800, keys=8)
    gaps = (positions(training)[:, None] - positions(cameras)).norm(dim=2)
    assert (gaps.min(dim=1).values < 0.01).all()
    turned = (rotations(training)[:, None] - rotations(cameras)).norm(dim=(2, 3))
    assert (turned.min(dim=1).values < 0.02).all()


def test_interpolated_path_starts_at_the_first_camera():
    path = interpolated_path(ring(), 20)
    assert torch.allclose(path.world_from_camera[0], ring().world_from_camera[0], atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_interpolated_path_is_smooth_closed_and_even(seed: int):
    generator = torch.Generator().manual_seed(seed)
    shuffled = ring(40)[torch.randperm(40, generator=generator)]
    cameras = interpolated_path(shuffled, 400, keys=10)
    place = torch.cat([positions(cameras), positions(cameras)[:1]])
    speed = place.diff(dim=0).norm(dim=1)
    assert speed.max() < 1.6 * speed.min()
    velocity = torch.cat([place.diff(dim=0), place.diff(dim=0)[:1]])
    assert (velocity.diff(dim=0).norm(dim=1) < 0.15 * speed.mean()).all()
    turn = torch.cat([rotations(cameras), rotations(cameras)[:1]]).diff(dim=0).flatten(1).norm(dim=1)
    assert turn.max() < 3 * turn.mean()
    # The trip is short although the cameras come in any order: about once around the ring.
    around = 2 * math.pi * 2.0 * math.cos(0.5)
    assert place.diff(dim=0).norm(dim=1).sum() < 1.15 * around


def test_interpolated_path_of_a_ring_keeps_looking_at_the_middle():
    cameras = interpolated_path(ring(), 100)
    pixels, depth = cameras.project(torch.full((100, 3), 0.5).double(), torch.arange(100))
    assert ((pixels - cameras.center).norm(dim=1) < 8).all()
    assert (depth > 1.5).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("size", [(240, 180), (64, 200), (33, 17)])
def test_the_shorter_side_keeps_its_field_of_view(path, size: tuple[int, int]):
    cameras = path(ring(), 3, size=size)
    assert cameras.sizes.tolist() == [list(size)] * 3
    assert torch.allclose(min(size) / cameras.focal, torch.tensor(90 / 110).double())
    assert torch.allclose(cameras.center, torch.tensor(size).double() / 2)


@pytest.mark.parametrize("path", PATHS)
def test_size_and_dtype_follow_the_training_cameras(path):
    cameras = path(ring().to("cpu", torch.float32), 2)
    assert cameras.sizes.tolist() == [[120, 90]] * 2
    assert cameras.world_from_camera.dtype == torch.float32


@pytest.mark.parametrize("path", PATHS)
def test_nothing_to_follow_is_refused(path):
    with pytest.raises(ValueError, match="at least one training camera"):
        path(ring()[:0], 5)
    with pytest.raises(ValueError, match="at least 1 frame, found 0"):
        path(ring(), 0)


def test_a_path_without_keys_is_refused():
    with pytest.raises(ValueError, match="found keys=0"):
        interpolated_path(ring(), 5, keys=0)
