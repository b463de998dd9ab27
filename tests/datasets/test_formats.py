"""A ring of cameras, written in every format, comes back as the same cameras; splits and frames are as stated."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from neufield.datasets import PosedImages, PosedScene, inspect_folder, load_posed_scene

Write = Callable[..., Path]
FOCAL, RADIUS, COUNT = 10.0, 4.0, 10


def world_poses(scene: PosedScene, images: PosedImages) -> Tensor:
    """Poses in the user's world."""
    return images.cameras.transformed(scene.scene_from_world.inverse()).world_from_camera


def assert_is_the_ring(scene: PosedScene) -> None:
    """All cameras look at the world's origin along +z, upright, from where the ring puts them."""
    poses = torch.cat([world_poses(scene, scene.train), world_poses(scene, scene.test)])
    names = [*scene.train.names, *scene.test.names]
    angles = torch.tensor([int(name[-7:-4]) for name in names]) * 2 * torch.pi / COUNT
    expected = RADIUS * torch.stack([angles.cos(), angles.sin(), torch.full((COUNT,), 0.3)], dim=1)
    torch.testing.assert_close(poses[:, :, 3], expected, rtol=0.0, atol=1e-5)
    forward = -expected / expected.norm(dim=1, keepdim=True)
    torch.testing.assert_close(poses[:, :, 2], forward, rtol=0.0, atol=1e-5)
    assert bool((poses[:, 2, 1] < -0.9).all())  # the image's down is the world's -z
    torch.testing.assert_close(torch.linalg.det(poses[:, :, :3]), torch.ones(COUNT))
    cameras = scene.train.cameras
    torch.testing.assert_close(cameras.focal, torch.full_like(cameras.focal, FOCAL))
    torch.testing.assert_close(cameras.center, torch.tensor([[6.0, 4.0]]).expand_as(cameras.center))


@pytest.mark.parametrize("ending", [".bin", ".txt"])
def test_colmap(write_colmap: Write, ending: str) -> None:
    scene = load_posed_scene(write_colmap(ending))
    assert scene.format == "colmap"
    assert_is_the_ring(scene)


def test_instant_ngp(write_transforms: Write) -> None:
    scene = load_posed_scene(write_transforms(aabb_scale=3, offset=[0.5, 0.4, 0.3]))
    assert (scene.format, scene.extent) == ("instant-ngp", 4)
    assert scene.scene_from_world.scale == 0.33
    assert scene.scene_from_world.translation.tolist() == [0.5, 0.4, 0.3]
    assert_is_the_ring(scene)


def test_nerfstudio(write_transforms: Write) -> None:
    scene = load_posed_scene(write_transforms(camera_model="OPENCV"))
    assert scene.format == "nerfstudio"
    assert_is_the_ring(scene)


def test_llff(write_llff: Write) -> None:
    scene = load_posed_scene(write_llff())
    assert scene.format == "llff"
    assert_is_the_ring(scene)


def test_blender(blender: Path) -> None:
    scene = load_posed_scene(blender)
    assert (scene.format, scene.split_rule) == ("blender", "transforms_test.json")
    assert scene.train.names == tuple(f"train/r_{i}.png" for i in range(6))
    assert scene.test.names == ("test/r_0.png", "test/r_1.png")
    assert (scene.extent, scene.near, scene.background) == (1, 0.0, "alpha")
    torch.testing.assert_close(scene.train.cameras.focal, torch.full((6, 2), FOCAL))
    corners = scene.scene_from_world.apply(torch.tensor([[-1.5] * 3, [1.5] * 3]))
    torch.testing.assert_close(corners, torch.tensor([[0.0] * 3, [1.0] * 3]))


def test_blender_never_trains_on_other_splits(blender: Path) -> None:
    (blender / "transforms_test.json").unlink()
    scene = load_posed_scene(blender)
    assert scene.split_rule == "transforms_val.json"
    assert all(name.startswith("val/") for name in scene.test.names)
    (blender / "transforms_val.json").unlink()
    scene = load_posed_scene(blender)
    assert scene.split_rule == "every 8th image by name"
    assert all(name.startswith("train/") for name in (*scene.train.names, *scene.test.names))


def test_every_nth_image_is_held_out(write_transforms: Write) -> None:
    folder = write_transforms()
    scene = load_posed_scene(folder)
    assert scene.test.names == ("images/000.png", "images/008.png")
    assert scene.split_rule == "every 8th image by name"
    scene = load_posed_scene(folder, holdout_every=3)
    assert scene.test.names == tuple(f"images/00{i}.png" for i in (0, 3, 6, 9))
    assert scene.split_rule == "every 3rd image by name"


def test_nerfstudio_split(write_transforms: Write) -> None:
    names = [f"images/{i:03d}.png" for i in range(10)]
    folder = write_transforms(
        train_filenames=names[:6], val_filenames=names[6:8], test_filenames=[f"./{name}" for name in names[8:]]
    )
    scene = load_posed_scene(folder)
    assert scene.train.names == tuple(names[:6])
    assert scene.test.names == tuple(names[8:])
    assert any("2 images are in no part" in note for note in scene.notes)
    assert inspect_folder(folder).unused_images == 2


def test_nerfstudio_does_not_train_on_held_out_images(write_transforms: Write) -> None:
    names = [f"images/{i:03d}.png" for i in range(10)]
    scene = load_posed_scene(write_transforms(train_filenames=names, val_filenames=names[:3]))
    assert scene.train.names == tuple(names[3:])
    assert any("3 images are listed for training and held out" in note for note in scene.notes)


def test_nerfstudio_says_what_is_not_used(write_transforms: Write) -> None:
    folder = write_transforms(
        frames={0: {"rolling_shutter": [0, 0, 0, 1]}}, applied_transform=np.eye(4)[:3].tolist(), applied_scale=1.0
    )
    scene = load_posed_scene(folder)
    assert scene.format == "nerfstudio"
    assert any("the rolling shutter ('rolling_shutter' of 1 frames) are not used" in note for note in scene.notes)
    assert any("applied_transform" in note for note in scene.notes)


def test_intrinsics_of_a_frame_go_first(write_transforms: Write) -> None:
    scene = load_posed_scene(write_transforms(frames={1: {"fl_x": 20.0, "fl_y": 21.0, "k1": 0.01}}))
    at = scene.train.names.index("images/001.png")
    assert scene.train.cameras.focal[at].tolist() == [20.0, 21.0]
    torch.testing.assert_close(scene.train.cameras.distortion[at, 0], torch.tensor(0.01))
    assert scene.train.cameras.distortion[at + 1].tolist() == [0.0] * 6


@pytest.mark.parametrize(
    ("keys", "fx", "fy"),
    [
        ({"camera_angle_x": np.pi / 2}, 6.0, 6.0),
        ({"x_fov": 90.0}, 6.0, 6.0),
        ({"x_fov": 90.0, "y_fov": 90.0}, 6.0, 4.0),
        ({"camera_angle_x": np.pi / 2, "camera_angle_y": np.pi / 2}, 6.0, 4.0),
    ],
)
def test_angles_of_view(write_transforms: Write, keys: dict[str, float], fx: float, fy: float) -> None:
    scene = load_posed_scene(write_transforms(fl_x=None, fl_y=None, **keys))
    torch.testing.assert_close(scene.train.cameras.focal[0], torch.tensor([fx, fy]))


@pytest.mark.parametrize("keys", [{"is_fisheye": True}, {"camera_model": "OPENCV_FISHEYE"}])
def test_fisheye(write_transforms: Write, keys: dict[str, object]) -> None:
    scene = load_posed_scene(write_transforms(k1=0.1, k2=0.2, k3=0.03, k4=0.04, p1=0.5, **keys))
    assert bool(scene.train.cameras.fisheye.all())
    torch.testing.assert_close(scene.train.cameras.distortion[0], torch.tensor([0.1, 0.2, 0.03, 0.04, 0.0, 0.0]))


@pytest.mark.parametrize(
    ("model", "params", "distortion"),
    [
        ((0, "SIMPLE_PINHOLE"), (FOCAL, 6.0, 4.0), [0.0] * 6),
        ((2, "SIMPLE_RADIAL"), (FOCAL, 6.0, 4.0, 0.1), [0.1, 0.0, 0.0, 0.0, 0.0, 0.0]),
        ((3, "RADIAL"), (FOCAL, 6.0, 4.0, 0.1, 0.2), [0.1, 0.2, 0.0, 0.0, 0.0, 0.0]),
        ((4, "OPENCV"), (FOCAL, FOCAL, 6.0, 4.0, 0.1, 0.2, 0.03, 0.04), [0.1, 0.2, 0.0, 0.0, 0.03, 0.04]),
        ((5, "OPENCV_FISHEYE"), (FOCAL, FOCAL, 6.0, 4.0, 0.1, 0.2, 0.3, 0.4), [0.1, 0.2, 0.3, 0.4, 0.0, 0.0]),
    ],
)
@pytest.mark.parametrize("ending", [".bin", ".txt"])
def test_colmap_models(
    write_colmap: Write,
    ending: str,
    model: tuple[int, str],
    params: tuple[float, ...],
    distortion: list[float],
) -> None:
    scene = load_posed_scene(write_colmap(ending, model=model, params=params))
    torch.testing.assert_close(scene.train.cameras.distortion[0], torch.tensor(distortion))
    assert bool(scene.train.cameras.fisheye[0]) == (model[1] == "OPENCV_FISHEYE")
    assert_is_the_ring(scene)
    assert inspect_folder(scene.folder).camera_models == ((model[1], 10),)


@pytest.mark.parametrize("where", ["sparse/0", "sparse", "colmap/sparse/0"])
def test_colmap_folders(write_colmap: Write, where: str) -> None:
    folder = write_colmap(where=where)
    for name in ("rigs", "frames"):  # newer versions write these, too
        (folder / where / f"{name}.bin").write_bytes(b"\0" * 8)
    assert_is_the_ring(load_posed_scene(folder))


def test_colmap_without_points(write_colmap: Write) -> None:
    folder = write_colmap()
    (folder / "sparse/0/points3D.bin").unlink()
    assert_is_the_ring(load_posed_scene(folder))


def test_two_formats_at_once(write_colmap: Write, write_transforms: Write, write_llff: Write) -> None:
    folder = write_colmap()
    assert write_llff() == folder
    note = "found 2 formats: colmap (sparse/0/cameras.bin) is taken, not llff (poses_bounds.npy)"
    assert load_posed_scene(folder).notes[0] == note
    write_transforms()
    scene = load_posed_scene(folder)
    assert scene.format == "instant-ngp"
    assert scene.notes[0].startswith("found 3 formats: instant-ngp (transforms.json) is taken, not colmap")


def test_blender_goes_before_transforms_json(blender: Path) -> None:
    (blender / "transforms.json").write_bytes((blender / "transforms_test.json").read_bytes())
    scene = load_posed_scene(blender)
    assert scene.format == "blender"
    assert "blender (transforms_train.json) is taken, not instant-ngp (transforms.json)" in scene.notes[0]


def test_frames_without_their_file_are_counted_and_named(write_transforms: Write) -> None:
    folder = write_transforms()
    for i in (3, 5):
        (folder / f"images/00{i}.png").unlink()
    scene = load_posed_scene(folder)
    note = "2 of 10 frames of transforms.json list files that are not there: images/003.png, images/005.png"
    assert note in scene.notes
    assert len(scene.train) + len(scene.test) == 8


def test_smaller_copies_are_used_for_downscale(write_colmap: Write) -> None:
    from PIL import Image

    folder = write_colmap()
    (folder / "images_2").mkdir()
    for path in (folder / "images").iterdir():
        with Image.open(path) as image:
            image.resize((6, 4)).save(folder / "images_2" / path.with_suffix(".jpg").name)
    scene = load_posed_scene(folder, downscale=2)
    assert scene.train.cameras.sizes[0].tolist() == [6, 4]
    torch.testing.assert_close(scene.train.cameras.focal[0], torch.tensor([5.0, 5.0]))
    torch.testing.assert_close(scene.train.cameras.center[0], torch.tensor([3.0, 2.0]))
    assert scene.notes == ()


def test_downscale_averages_where_there_is_no_smaller_copy(write_transforms: Write) -> None:
    folder = write_transforms()
    full, half = load_posed_scene(folder), load_posed_scene(folder, downscale=2)
    averaged = full.train.image(0).float().view(4, 2, 6, 2, 3).mean(dim=(1, 3))
    torch.testing.assert_close(half.train.image(0).float(), averaged, rtol=0.0, atol=0.51)
    torch.testing.assert_close(half.train.cameras.focal, 0.5 * full.train.cameras.focal)
    assert "10 images are averaged down 2 times on loading" in half.notes


def test_images_smaller_by_a_whole_factor_are_accepted(write_transforms: Write) -> None:
    scene = load_posed_scene(write_transforms(w=36.0, h=24.0, cx=18.0, cy=12.0, fl_x=30.0, fl_y=30.0))
    assert_is_the_ring(scene)
    assert "10 of 10 images are 3 times smaller than their cameras say; cameras are scaled to fit" in scene.notes


@pytest.mark.parametrize("name", ["lego400", "fox", "clay_bust_colmap"])
def test_real_captures_are_ready(real_data: Path, name: str) -> None:
    report = inspect_folder(real_data / name)
    assert report.ok, report.lines()
    counts = {"lego400": (100, 25), "fox": (43, 7), "clay_bust_colmap": (20, 3)}
    assert (report.train_images, report.test_images) == counts[name]
    if name == "fox":
        assert any(note.startswith("17 of 67 frames") and "images/0005.jpg" in note for note in report.notes)


def test_sparse_points_project_to_their_features(real_data: Path) -> None:
    """COLMAP's own reconstruction reprojects to a quarter of a pixel, if lens and pose are read rightly."""
    from neufield.datasets.colmap import pose_of
    from neufield.datasets.colmap_files import read_colmap_model
    from neufield.render import Cameras

    for folder, scale in (("sparse/0", 1.0), ("sparse_distorted", 3.03)):  # the latter in photos of full size
        model = read_colmap_model(real_data / "clay_bust_colmap" / folder, ".bin")
        points = dict(zip(model.point_ids.tolist(), model.points, strict=True))
        errors = []
        for image in model.images:
            camera = model.cameras[image.camera_id]
            pose = torch.from_numpy(pose_of(image, image.name))[None]
            posed = Cameras.from_colmap(camera.model, camera.params, world_from_camera=pose, size=camera.size)  # type: ignore[arg-type]
            seen = image.point_ids >= 0
            world = torch.from_numpy(np.stack([points[i] for i in image.point_ids[seen].tolist()]))
            pixels, depth = posed.project(world, torch.zeros(len(world), dtype=torch.int64))
            assert bool((depth > 0).all())
            errors.append((pixels - torch.from_numpy(image.keypoints[seen])).norm(dim=1))
        assert float(torch.cat(errors).median()) < 0.26 * scale


def test_photos_of_one_pose_are_noted(write_transforms: Write) -> None:
    folder = write_transforms()
    pose = json.loads((folder / "transforms.json").read_text())["frames"][2]["transform_matrix"]
    same = {i: {"transform_matrix": pose} for i in (5, 7)}
    assert not any("pose" in note for note in load_posed_scene(folder).notes)
    for frames in ({5: same[5]}, same):
        notes = inspect_folder(write_transforms(frames=frames)).notes
        told = f"photos with the pose of another one: {len(frames)}, first images/005.png (that of images/002.png)"
        assert any(note.startswith(told) for note in notes)
