import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neufield.datasets.ray_tracing import Studio, display_from_linear
from neufield.datasets.solids import Cylinder, RoundedBox, Shape, Sphere, Torus
from neufield.datasets.still_life import SCENE_RADIUS, still_life
from neufield.datasets.synthetic import glossy_bounds, synthetic_scene, write_synthetic_folder
from neufield.render.cameras import Cameras

SHAPES = [Sphere(0.4), Cylinder(0.3, 0.5), RoundedBox(0.35, 0.06), Torus(0.4, 0.12)]


def inside(shape: Shape, points: torch.Tensor) -> torch.Tensor:
    """Written out once more, from each shape's definition."""
    x, y, z = points
    if isinstance(shape, Sphere):
        return x * x + y * y + z * z < shape.radius**2
    if isinstance(shape, Cylinder):
        return (x * x + y * y < shape.ring**2) & (z.abs() < shape.half_height)
    if isinstance(shape, RoundedBox):
        core = shape.half - shape.rounding
        return (points - points.clamp(-core, core)).norm(dim=0) < shape.rounding
    assert isinstance(shape, Torus)
    return (torch.hypot(x, y) - shape.ring) ** 2 + z * z < shape.tube**2


def random_rays(count: int = 4000, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    origins = torch.nn.functional.normalize(torch.randn(3, count, generator=generator), dim=0) * 3
    aims = torch.randn(3, count, generator=generator) * 0.3
    return origins, torch.nn.functional.normalize(aims - origins, dim=0)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
class TestShapes:
    def test_rays_enter_where_the_inside_begins(self, shape: Shape):
        origins, directions = random_rays()
        t = shape.intersect(origins, directions)
        found = t.isfinite()
        assert 0.2 < found.float().mean() < 0.95
        steps = torch.linspace(1.5, 4.5, 400)[:, None, None]
        along = torch.stack([inside(shape, origins + step * directions) for step in steps])
        crosses = along.any(dim=0)
        # A ray that only grazes the surface may slip between the steps, or through the last bit of the walk.
        assert (crosses != found).float().mean() < 0.015
        both = crosses & found
        first = steps[along[:, both].int().argmax(dim=0), 0, 0]
        late = (first - t[both]).abs() > 0.03
        assert late.float().mean() < 0.01

    def test_normals_are_unit_and_point_out(self, shape: Shape):
        origins, directions = random_rays()
        t = shape.intersect(origins, directions)
        points = (origins + t * directions)[:, t.isfinite()]
        normals = shape.normals(points)
        assert torch.allclose(normals.norm(dim=0), torch.ones(normals.shape[1]), atol=1e-3)
        facing = (normals * directions[:, t.isfinite()]).sum(dim=0)
        # A walk may end a hair beyond the point where its ray comes closest.
        assert (facing < 0.2).all()
        assert (facing < 0.01).float().mean() > 0.99
        assert not inside(shape, points + 0.01 * normals).any()
        assert inside(shape, points - 0.01 * normals).float().mean() > 0.99

    def test_the_bounding_sphere_holds_it(self, shape: Shape):
        points = torch.rand(3, 20_000, generator=torch.Generator().manual_seed(1)) * 2 - 1
        within = points[:, inside(shape, points)].norm(dim=0)
        assert within.max() <= shape.radius
        assert within.max() > 0.85 * shape.radius

    def test_no_rays_and_one_origin_for_all(self, shape: Shape):
        assert shape.intersect(torch.zeros(3, 0), torch.zeros(3, 0)).shape == (0,)
        directions = torch.nn.functional.normalize(torch.rand(3, 50) - torch.tensor([[0.5], [0.5], [2.0]]), dim=0)
        origin = torch.tensor([[0.0], [0.0], [3.0]])
        assert torch.equal(shape.intersect(origin, directions), shape.intersect(origin.expand(3, 50), directions))


def test_screen_values_rise_and_stay_in_range():
    values = display_from_linear(torch.linspace(0, 20, 200))
    assert values[0] == 0
    assert (values.diff() >= 0).all()
    assert values[-1] <= 1


@pytest.fixture(scope="module")
def scene():
    return synthetic_scene(train_views=9, test_views=3, size=64)


def world_cameras(scene, split: str) -> Cameras:
    return getattr(scene, split).cameras.transformed(scene.scene_from_world.inverse())


def test_the_scene_is_what_was_asked_for(scene):
    assert (len(scene.train), len(scene.test)) == (9, 3)
    assert scene.train.image(8).shape == (64, 64, 4)
    assert (scene.format, scene.background, scene.extent) == ("synthetic", "alpha", 1)
    assert scene.train.cameras.sizes.tolist() == [[64, 64]] * 9
    assert len(set(scene.train.names + scene.test.names)) == 12


def test_no_test_camera_is_a_train_camera(scene):
    train, test = (world_cameras(scene, split).world_from_camera[:, :, 3] for split in ("train", "test"))
    assert torch.cdist(train, test).min() > 0.1


def test_cameras_look_at_the_middle_from_above(scene):
    for split in ("train", "test"):
        cameras = world_cameras(scene, split)
        pixels, depth = cameras.project(torch.zeros(len(cameras), 3), torch.arange(len(cameras)))
        assert torch.allclose(pixels, torch.full_like(pixels, 32.0), atol=1e-2)
        assert (depth > 2 * SCENE_RADIUS).all()
        assert (cameras.world_from_camera[:, 2, 3] > 0.1).all()
        assert (cameras.world_from_camera[:, 2, 1] < 0).all()  # pictures stand upright


def test_everything_lies_in_the_unit_cube_and_in_every_picture(scene):
    for images in (scene.train, scene.test):
        for i in range(len(images)):
            alpha = images.image(i)[..., 3]
            assert alpha[[0, -1]].max() == 0
            assert alpha[:, [0, -1]].max() == 0
            assert 0.15 < (alpha > 127).float().mean() < 0.7
    corners = scene.scene_from_world.apply(torch.tensor([[-1.0] * 3, [1.0] * 3]))
    assert torch.allclose(corners, torch.tensor([[0.0] * 3, [1.0] * 3]))
    for solid in still_life().solids:
        reach = torch.tensor(solid.center).norm() + solid.shape.radius
        flat = isinstance(solid.shape, Cylinder)
        assert reach < SCENE_RADIUS or flat


def test_nothing_lies_nearer_than_near(scene):
    nearest = min(float(c.world_from_camera[:, :, 3].sub(0.5).norm(dim=1).min()) for c in (scene.train.cameras,))
    assert nearest - scene.scene_from_world.scale * SCENE_RADIUS > scene.near


def test_empty_pixels_are_transparent_black_and_edges_are_partly_covered(scene):
    pixels = scene.train.pixels
    assert (pixels[pixels[:, 3] == 0] == 0).all()
    partly = (pixels[:, 3] > 0) & (pixels[:, 3] < 255)
    assert partly.any()
    assert set(pixels[:, 3].tolist()) <= {0, 64, 128, 191, 255}
    # Straight alpha: a pixel that is half covered is not half as bright.
    assert pixels[partly, :3].float().mean() > 0.6 * pixels[pixels[:, 3] == 255, :3].float().mean()


def test_the_same_seed_gives_the_same_pictures_on_any_number_of_threads(scene):
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        again = synthetic_scene(train_views=9, test_views=3, size=64)
        assert torch.get_num_threads() == threads + 1
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(again.train.pixels, scene.train.pixels)
    other = synthetic_scene(train_views=9, test_views=3, size=64, seed=1)
    assert not torch.equal(other.train.pixels, scene.train.pixels)


def seen_from(studio: Studio, direction: torch.Tensor, point: torch.Tensor) -> torch.Tensor:
    """Screen colour of a world point seen from afar along a direction, mean of the sub-samples."""
    origins = (point + 3 * direction)[:, None]
    color, hit = studio.trace(origins, -direction[:, None].expand(3, 4).contiguous(), torch.arange(4))
    assert hit.all()
    return display_from_linear(color).mean(dim=1)


def test_the_glossy_solid_depends_on_the_view_and_wood_does_not():
    bounds = glossy_bounds()
    out = torch.nn.functional.normalize(torch.tensor([0.2, 0.1, 1.0]), dim=0)
    on_ball = bounds.center + bounds.radius * out
    on_wood = torch.tensor([0.1, -0.75, still_life().solids[0].center[2] + 0.07])
    angles = torch.linspace(0, 2 * math.pi, 17)[:-1]
    views = torch.stack([angles.cos() * 0.4, angles.sin() * 0.4, torch.ones_like(angles)], dim=1)
    views = torch.nn.functional.normalize(views, dim=1)
    ball, wood = (torch.stack([seen_from(still_life(), view, point) for view in views]) for point in (on_ball, on_wood))
    assert (ball.amax(dim=0) - ball.amin(dim=0)).max() > 0.25
    assert (wood.amax(dim=0) - wood.amin(dim=0)).max() < 0.05


def test_shadows_are_dark_and_cast_away_from_the_lamp():
    plinth, ball = still_life().solids[:2]
    lamp, middle = torch.tensor(still_life().lights[0].position), torch.tensor(ball.center)
    empty = Studio([plinth], still_life().lights[:1], still_life().surroundings)
    with_ball = Studio([plinth, ball], empty.lights, empty.surroundings)
    sideways = torch.nn.functional.normalize((middle - lamp)[:2], dim=0)
    down = torch.tensor([0.0, 0.0, 1.0])
    brightness: list[float] = []
    for distance in (0.55, -0.55):
        point = torch.tensor([*(middle[:2] + distance * sideways), plinth.center[2] + 0.07])
        brightness.append(float(seen_from(with_ball, down, point).mean() / seen_from(empty, down, point).mean()))
    behind, before = brightness
    assert behind < 0.7
    assert 0.9 < before <= 1


def test_glossy_bounds_cover_the_ball_in_the_pictures(scene):
    """Traced at the projected centre, the ball is what is seen, at its front."""
    bounds = glossy_bounds()
    cameras = world_cameras(scene, "test")
    everywhere = torch.arange(len(cameras))
    pixels, _ = cameras.project(bounds.center.expand(len(cameras), 3), everywhere)
    origins, directions = cameras.rays(pixels, everywhere)
    ball = still_life().solids[1]
    t = ball.intersect(origins.T.contiguous(), directions.T.contiguous())
    assert torch.allclose(t, (origins - bounds.center).norm(dim=1) - bounds.radius, atol=1e-4)


def test_the_folder_holds_the_same_photos_in_the_blender_format(tmp_path: Path, scene):
    folder = tmp_path / "mine"
    write_synthetic_folder(folder, train_views=9, test_views=3, size=64)
    assert sorted(file.name for file in folder.iterdir()) == [
        "test", "train", "transforms_test.json", "transforms_train.json",
    ]  # fmt: skip
    for split in ("train", "test"):
        transforms = json.loads((folder / f"transforms_{split}.json").read_text())
        images, cameras = getattr(scene, split), world_cameras(scene, split)
        assert len(transforms["frames"]) == len(images)
        focal = 32 / math.tan(transforms["camera_angle_x"] / 2)
        assert focal == pytest.approx(float(cameras.focal[0, 0]))
        for i, frame in enumerate(transforms["frames"]):
            with Image.open(folder / f"{frame['file_path']}.png") as file:
                np.testing.assert_array_equal(np.asarray(file), images.image(i).numpy())
            pose = torch.tensor(frame["transform_matrix"]) * torch.tensor([1.0, -1, -1, 1])
            assert torch.allclose(pose[:3], cameras.world_from_camera[i], atol=1e-5)
            assert pose[3].tolist() == [0, 0, 0, 1]
    assert [file.name for file in tmp_path.iterdir()] == ["mine"]


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(ValueError, match="exists already and is not an empty folder"):
        write_synthetic_folder(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["precious.txt"]


@pytest.mark.parametrize(("name", "value", "least"), [("train_views", 0, 1), ("test_views", 0, 1), ("size", 7, 8)])
def test_counts_that_are_too_small_are_refused(name: str, value: int, least: int):
    with pytest.raises(ValueError, match=f"{name} must be at least {least}, got {value}"):
        synthetic_scene(**{name: value})
