"""Projection and its inverse cancel for every lens, in the whole image; cameras move with the world."""

import math

import pytest
import torch
from torch import Tensor

from neufield.render.camera_models import intrinsics_from_colmap
from neufield.render.cameras import Cameras
from neufield.render.similarity import Similarity

SIZE = (640, 480)
LENSES = {
    "SIMPLE_PINHOLE": [500.0, 320.5, 241.0],
    "PINHOLE": [500.0, 510.0, 320.5, 239.0],
    "SIMPLE_RADIAL, barrel": [500.0, 320.0, 240.0, -0.2],
    "SIMPLE_RADIAL, pincushion": [400.0, 320.0, 240.0, 0.6],
    "RADIAL, barrel to the brink": [400.0, 320.0, 240.0, -0.148, 0.0],
    "RADIAL, mixed": [400.0, 330.0, 236.0, -0.3, 0.15],
    "OPENCV, tangential": [450.0, 455.0, 318.0, 242.0, -0.2, 0.08, 0.01, -0.008],
    "OPENCV, tangential only": [450.0, 455.0, 318.0, 242.0, 0.0, 0.0, 0.02, 0.01],
    "OPENCV_FISHEYE, ideal": [180.0, 180.0, 320.0, 240.0, 0.0, 0.0, 0.0, 0.0],
    "OPENCV_FISHEYE, 130 degrees from the axis": [180.0, 182.0, 321.0, 239.0, -0.02, 0.002, -1e-4, 1e-6],
}


def random_poses(count: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(7)
    rotation, _ = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64))
    rotation = rotation * torch.linalg.det(rotation).sign()[:, None, None]
    return torch.cat([rotation, torch.randn(count, 3, 1, generator=generator, dtype=torch.float64)], dim=2).to(dtype)


def make_cameras(name: str, count: int = 3, dtype: torch.dtype = torch.float64) -> Cameras:
    model = name.split(",")[0]
    return Cameras.from_colmap(model, LENSES[name], world_from_camera=random_poses(count, dtype), size=SIZE)  # type: ignore[arg-type]


def join(*batches: Cameras) -> Cameras:
    return Cameras(*(torch.cat([getattr(b, name) for b in batches]) for name in Cameras.__dataclass_fields__))


def whole_image(cameras: Cameras, steps: int = 41) -> tuple[Tensor, Tensor]:
    """A lattice over the image, corners included, for every camera."""
    ticks = torch.linspace(0.0, 1.0, steps, dtype=torch.float64)
    pixels = torch.cartesian_prod(ticks * SIZE[0], ticks * SIZE[1]).to(cameras.focal.dtype)
    count = len(cameras)
    return pixels.repeat(count, 1), torch.arange(count).repeat_interleave(len(pixels))


def round_trip_error(cameras: Cameras, distance: float = 1.0) -> float:
    pixels, indices = whole_image(cameras)
    origins, directions = cameras.rays(pixels, indices)
    found, _ = cameras.project(origins + distance * directions, indices)
    return float((found - pixels).abs().max())


@pytest.mark.parametrize("name", LENSES)
def test_projection_and_rays_cancel(name: str) -> None:
    assert round_trip_error(make_cameras(name)) < 1e-8


@pytest.mark.parametrize("name", LENSES)
def test_projection_and_rays_cancel_in_float32(name: str) -> None:
    pose = torch.eye(4, dtype=torch.float32)[None, :3].repeat(3, 1, 1)
    cameras = make_cameras(name, dtype=torch.float32)
    centred = Cameras(pose, cameras.focal, cameras.center, cameras.distortion, cameras.fisheye, cameras.sizes)
    # One unit in the last place of a pixel position near 600 is 6e-5 pixels.
    tolerance = 6e-4 if "brink" in name else 1.5e-4
    assert round_trip_error(centred) < tolerance
    assert round_trip_error(cameras) < 6 * tolerance


def test_lenses_mixed_in_one_batch_agree_with_each_alone() -> None:
    parts = [make_cameras(name, count=2) for name in LENSES]
    mixed = join(*parts)
    pixels, indices = whole_image(mixed, steps=11)
    _, directions = mixed.rays(pixels, indices)
    alone = torch.cat([part.rays(*whole_image(part, steps=11))[1] for part in parts])
    torch.testing.assert_close(directions, alone, rtol=0.0, atol=1e-9)
    assert round_trip_error(mixed) < 1e-8


@pytest.mark.parametrize("name", LENSES)
def test_directions_have_unit_length_and_origins_are_the_positions(name: str) -> None:
    cameras = make_cameras(name, dtype=torch.float32)
    pixels, indices = whole_image(cameras)
    origins, directions = cameras.rays(pixels, indices)
    assert torch.equal(origins, cameras.world_from_camera[indices, :, 3])
    torch.testing.assert_close(directions.norm(dim=-1), torch.ones(len(pixels)), rtol=0.0, atol=1e-6)


def test_axes_and_pixel_centers() -> None:
    pose = torch.eye(4, dtype=torch.float64)[None, :3]
    camera = Cameras.from_colmap("PINHOLE", [2.0, 4.0, 5.0, 3.0], world_from_camera=pose, size=(10, 6))
    pixels, depth = camera.project(torch.tensor([[1.0, 1.0, 2.0]], dtype=torch.float64), torch.tensor([0]))
    assert pixels.tolist() == [[6.0, 5.0]]  # x is right, y is down
    assert depth.tolist() == [2.0]
    _, directions = camera.rays(torch.tensor([[5.0, 3.0]], dtype=torch.float64), torch.tensor([0]))
    assert directions.tolist() == [[0.0, 0.0, 1.0]]  # z is forward


def test_opencv_formula() -> None:
    pose = torch.eye(4, dtype=torch.float64)[None, :3]
    camera = Cameras.from_colmap(
        "OPENCV", [1.0, 1.0, 0.0, 0.0, 0.1, 0.02, 0.003, 0.004], world_from_camera=pose, size=(1, 1)
    )
    x, y, r2 = 0.3, -0.4, 0.25
    radial = 1 + 0.1 * r2 + 0.02 * r2**2
    u = x * radial + 2 * 0.003 * x * y + 0.004 * (r2 + 2 * x * x)
    v = y * radial + 0.003 * (r2 + 2 * y * y) + 2 * 0.004 * x * y
    pixels, _ = camera.project(torch.tensor([[x, y, 1.0]], dtype=torch.float64), torch.tensor([0]))
    torch.testing.assert_close(pixels, torch.tensor([[u, v]], dtype=torch.float64))


def test_fisheye_sees_beyond_90_degrees() -> None:
    pose = torch.eye(4, dtype=torch.float64)[None, :3]
    params = [100.0, 100.0, 320.0, 240.0, 0.0, 0.0, 0.0, 0.0]
    camera = Cameras.from_colmap("OPENCV_FISHEYE", params, world_from_camera=pose, size=SIZE)
    angle = math.radians(120)
    point = torch.tensor([[math.sin(angle), 0.0, math.cos(angle)]], dtype=torch.float64)
    with pytest.raises(ValueError, match="camera 0: the distortion folds"):  # its corner would be at 229 degrees
        camera.rays(torch.zeros(1, 2, dtype=torch.float64), torch.tensor([0]))
    camera = make_cameras("OPENCV_FISHEYE, ideal", count=1)
    camera = Cameras(pose, camera.focal, camera.center, camera.distortion, camera.fisheye, camera.sizes)
    pixels, depth = camera.project(point, torch.tensor([0]))
    torch.testing.assert_close(pixels[0, 0] - 320.0, torch.tensor(180 * angle, dtype=torch.float64))
    assert depth < 0
    torch.testing.assert_close(camera.rays(pixels, torch.tensor([0]))[1], point)


@pytest.mark.parametrize("name", LENSES)
def test_cameras_move_with_the_world(name: str) -> None:
    cameras = make_cameras(name)
    rotation = random_poses(4)[3, :, :3]
    similarity = Similarity(2.5, rotation, torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64))
    pixels, indices = whole_image(cameras, steps=5)
    origins, directions = cameras.rays(pixels, indices)
    moved_origins, moved_directions = cameras.transformed(similarity).rays(pixels, indices)
    torch.testing.assert_close(moved_origins, similarity.apply(origins))
    torch.testing.assert_close(moved_directions, similarity.apply_directions(directions))


def test_many_rays_at_once_are_the_same_rays() -> None:
    cameras = make_cameras("OPENCV, tangential", dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(70_001, 2, generator=generator) * torch.tensor(SIZE)
    indices = torch.randint(3, (70_001,), generator=generator)
    together = cameras.rays(pixels, indices)
    first, last = cameras.rays(pixels[:100], indices[:100]), cameras.rays(pixels[-100:], indices[-100:])
    for both, a, b in zip(together, first, last, strict=True):
        torch.testing.assert_close(both[:100], a)
        torch.testing.assert_close(both[-100:], b)


def test_no_rays() -> None:
    for name in LENSES:
        origins, directions = make_cameras(name).rays(torch.zeros(0, 2).double(), torch.zeros(0, dtype=torch.int64))
        assert origins.shape == directions.shape == (0, 3)


def test_rays_are_differentiable_in_poses_and_pixels() -> None:
    cameras = make_cameras("OPENCV, tangential")
    pixels, indices = whole_image(cameras, steps=2)

    def directions(pose: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
        moved = Cameras(pose, cameras.focal, cameras.center, cameras.distortion, cameras.fisheye, cameras.sizes)
        return moved.rays(at, indices)

    pose = cameras.world_from_camera.clone().requires_grad_()
    assert torch.autograd.gradcheck(directions, (pose, pixels.requires_grad_()), eps=1e-5)


def test_indexing() -> None:
    cameras = make_cameras("PINHOLE")
    assert len(cameras[1]) == 1
    assert torch.equal(cameras[-1].world_from_camera, cameras.world_from_camera[2:])
    assert torch.equal(cameras[torch.tensor([2, 0])].world_from_camera, cameras.world_from_camera[[2, 0]])
    assert len(cameras[1:]) == 2
    assert len(list(cameras)) == 3
    assert cameras.to("cpu", torch.float32).focal.dtype == torch.float32


@pytest.mark.parametrize(
    ("model", "params", "message"),
    [
        ("FULL_OPENCV", [1.0] * 12, "camera model FULL_OPENCV is not supported.*image_undistorter"),
        ("PINHOLE", [1.0] * 3, r"PINHOLE has 4 parameters \(fx, fy, cx, cy\); found 3"),
        ("PINHOLE", [1.0, 1.0, float("nan"), 1.0], "not finite"),
        ("SIMPLE_RADIAL", [-1.0, 1.0, 1.0, 0.0], "focal lengths above zero; found -1"),
    ],
)
def test_refuses_models_it_cannot_read(model: str, params: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        intrinsics_from_colmap(model, params)


def test_refuses_a_lens_that_folds_inside_the_image() -> None:
    pose = random_poses(2)
    folded = Cameras.from_colmap("SIMPLE_RADIAL", [400.0, 320.0, 240.0, -0.3], world_from_camera=pose, size=SIZE)
    cameras = join(make_cameras("PINHOLE"), folded)
    with pytest.raises(ValueError, match=r"camera 3: the distortion folds the image over.* 70 % of the way"):
        cameras.rays(torch.zeros(1, 2).double(), torch.zeros(1, dtype=torch.int64))


def test_refuses_tangential_distortion_that_folds() -> None:
    params = [300.0, 300.0, 320.0, 240.0, 0.0, 0.0, 0.3, 0.3]
    cameras = Cameras.from_colmap("OPENCV", params, world_from_camera=random_poses(1), size=SIZE)
    with pytest.raises(ValueError, match="camera 0: its tangential distortion cannot be inverted"):
        cameras.rays(torch.zeros(1, 2).double(), torch.zeros(1, dtype=torch.int64))


def test_resized_cameras_see_the_same():
    """A point keeps its place relative to the picture's sides, for whole factors exactly."""
    cameras = Cameras.from_colmap(
        "OPENCV",
        [80.0, 90.0, 51.0, 39.0, 0.1, -0.05, 0.01, 0.02],
        world_from_camera=torch.eye(4)[None, :3],
        size=(100, 80),
    )
    larger = cameras.resized(torch.tensor([2.5]))
    assert larger.sizes.tolist() == [[250, 200]]
    points, indices = torch.tensor([[0.1, -0.2, 1.0]]), torch.zeros(1, dtype=torch.long)
    torch.testing.assert_close(larger.project(points, indices)[0], 2.5 * cameras.project(points, indices)[0])
    assert cameras.resized(torch.tensor([1e-3])).sizes.tolist() == [[1, 1]]
