"""Depth maps by the conventions of nerfstudio and instant-ngp: their values, their unit, and what is said of them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neufield.datasets import DataError, PosedScene, inspect_folder, load_posed_scene, pixel_pool
from neufield.datasets import errors as kinds

Write = Callable[..., Path]
Refused = Callable[..., None]
COUNT = 10
STEPS = np.arange(96, dtype=np.uint16).reshape(8, 12) * 50  # 0: unknown


def write_numbers(path: Path, numbers: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".npy":
        np.save(path, numbers)
    else:
        Image.fromarray(numbers).save(path)


def with_depth(
    write_transforms: Write,
    *,
    numbers: np.ndarray = STEPS,
    key: str = "depth_file_path",
    ending: str = "png",
    **more: Any,
) -> Path:
    """A folder whose photos all have the same depth map."""
    folder = write_transforms(frames={i: {key: f"depth/{i}.{ending}"} for i in range(COUNT)}, **more)
    for i in range(COUNT):
        write_numbers(folder / f"depth/{i}.{ending}", numbers)
    return folder


def depth_of(scene: PosedScene, index: int = 0) -> torch.Tensor:
    """Depth in units of the poses."""
    depth = scene.train.depth_in(index)
    assert depth is not None
    return depth / scene.scene_from_world.scale


def assert_depth(scene: PosedScene, expected: np.ndarray, index: int = 0) -> None:
    torch.testing.assert_close(depth_of(scene, index), torch.from_numpy(expected).float(), rtol=1e-3, atol=0.0)


@pytest.mark.parametrize(
    ("ending", "numbers"),
    [
        ("png", STEPS),
        ("tif", STEPS.astype(np.int32)),
        ("tif", STEPS.astype(np.float32)),
        ("npy", STEPS),
        ("npy", STEPS.astype(np.float64)[..., None]),
    ],
)
def test_nerfstudio_counts_in_thousandths(write_transforms: Write, ending: str, numbers: np.ndarray) -> None:
    scene = load_posed_scene(with_depth(write_transforms, numbers=numbers, ending=ending))
    assert scene.format == "nerfstudio"
    assert_depth(scene, STEPS * 0.001)
    note = "depth maps: 10 of 10 photos, a stored 1 is 0.001 units of the poses (nerfstudio depth_file_path)"
    assert any(note in line and "about 99 % of their pixels are known" in line for line in scene.notes)
    assert any(note in line for line in inspect_folder(scene.folder).lines())


def test_instant_ngp_says_what_it_counts_in(write_transforms: Write) -> None:
    scene = load_posed_scene(with_depth(write_transforms, key="depth_path", integer_depth_scale=0.02))
    assert scene.format == "instant-ngp"
    assert_depth(scene, STEPS * 0.02)
    assert any("a stored 1 is 0.02 units of the poses (instant-ngp depth_path)" in note for note in scene.notes)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({}, "'integer_depth_scale', what a stored 1 means, is not given"),
        ({"integer_depth_scale": 0.1, "enable_depth_loading": False}, "'enable_depth_loading' is false"),
    ],
)
def test_instant_ngp_may_not_use_them(write_transforms: Write, keys: dict[str, Any], reason: str) -> None:
    scene = load_posed_scene(with_depth(write_transforms, key="depth_path", **keys))
    assert scene.train.depth is None
    assert f"depth maps ('depth_path' of 10 frames) are not used: {reason}" in scene.notes
    folder = with_depth(write_transforms, key="depth_path", integer_depth_scale=0.1, enable_depth_loading=True)
    assert load_posed_scene(folder).train.depth is not None


def test_blender_folders_may_have_them_too(blender: Path) -> None:
    import json

    path = blender / "transforms_train.json"
    document = json.loads(path.read_text())
    document["frames"][2]["depth_file_path"] = "depth/2.png"
    path.write_text(json.dumps(document))
    write_numbers(blender / "depth/2.png", STEPS)
    scene = load_posed_scene(blender)
    assert_depth(scene, STEPS * 0.001, index=2)
    assert not depth_of(scene, 3).any()  # no map: nothing is known
    assert scene.test.depth is None


def test_numbers_that_say_nothing_are_unknown(write_transforms: Write) -> None:
    numbers = np.full((8, 12), 2000.0, dtype=np.float32)
    numbers[0, :5] = np.nan, np.inf, -np.inf, -3.0, 0.0
    depth = depth_of(load_posed_scene(with_depth(write_transforms, numbers=numbers, ending="npy")))
    assert (depth[0, :5] == 0.0).all()
    assert (depth.flatten()[5:] > 1.9).all()


def test_maps_that_know_nothing_are_named(write_transforms: Write) -> None:
    nothing = np.zeros((8, 12), dtype=np.uint16)
    scene = load_posed_scene(with_depth(write_transforms, numbers=nothing))
    (note,) = [note for note in scene.notes if "depth" in note]
    assert "they are of no use, all their pixels are 0, which is unknown" in note


def test_depth_goes_with_its_pixels(write_transforms: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = with_depth(write_transforms)
    whole = load_posed_scene(folder).train
    monkeypatch.setattr(pixel_pool, "_FEWEST_PIXELS", 150)
    pooled = load_posed_scene(folder, memory_bytes=1).train
    assert pooled.pool is not None
    for images in (whole, pooled):
        batch = images.sample(200, torch.Generator().manual_seed(0))
        assert batch.depth is not None
        for camera, (x, y), depth in zip(batch.camera_indices.tolist(), batch.pixels.tolist(), batch.depth.tolist()):
            assert depth == images.depth_in(camera)[int(y), int(x)]  # type: ignore[index]


def test_without_depth_maps_there_is_none(write_transforms: Write) -> None:
    images = load_posed_scene(write_transforms()).train
    assert images.depth is None
    assert images.depth_in(0) is None
    assert images.sample(5, torch.Generator().manual_seed(0)).depth is None


def test_a_smaller_photo_takes_values_and_no_means(write_transforms: Write) -> None:
    folder = with_depth(write_transforms)
    assert_depth(load_posed_scene(folder, downscale=2), STEPS[1::2, 1::2] * 0.001)
    assert_depth(load_posed_scene(folder, downscale=3), STEPS[1:6:3, 1::3] * 0.001)


def ring_depths(scene: PosedScene, points: np.ndarray, index: int) -> np.ndarray:
    """A depth map of a few points: thousandths of z at the pixels where they appear, near ones last."""
    world = scene.train.cameras.transformed(scene.scene_from_world.inverse())
    pixels, z = world.project(torch.from_numpy(points).float(), torch.full((len(points),), index))
    numbers = np.zeros((8, 12), dtype=np.float64)
    for (x, y), depth in sorted(zip(pixels.tolist(), z.tolist()), key=lambda found: -found[1]):
        if 0 <= x < 12 and 0 <= y < 8:
            numbers[int(y), int(x)] = 1000.0 * depth
    return numbers


def with_points(write_transforms: Write, *, factor: float, where: str = "ply", **more: Any) -> Path:
    """A folder whose depth maps show its sparse points, in millimetres times `factor`."""
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (200, 3))
    scene = load_posed_scene(write_transforms())
    numbers = {scene.train.names[i]: ring_depths(scene, points, i) for i in range(len(scene.train))}
    key = {"ply_file_path": "sparse_pc.ply"} if where == "ply" else {}
    frames = {int(name[-7:-4]): {"depth_file_path": f"depth/{name[-7:-4]}.npy"} for name in numbers}
    folder = write_transforms(frames=frames, **key, **more)
    for name, values in numbers.items():
        write_numbers(folder / f"depth/{name[-7:-4]}.npy", values * factor)
    if where == "ply":
        rows = "\n".join(" ".join(map(str, point)) for point in points)
        header = "ply\nformat ascii 1.0\nelement vertex 200\nproperty float x\nproperty float y\nproperty float z\n"
        (folder / "sparse_pc.ply").write_text(f"{header}end_header\n{rows}\n")
    return folder


def unit_notes(folder: Path) -> list[str]:
    return [note for note in load_posed_scene(folder).notes if "unit of the" in note or "another unit" in note]


@pytest.mark.parametrize("factor", [1000.0, 0.001, 2.0, 0.4])
def test_a_wrong_unit_is_found_out(write_transforms: Write, factor: float) -> None:
    (note,) = unit_notes(with_points(write_transforms, factor=factor))
    assert note.startswith("the depth maps seem to be in another unit than the poses: what they show is")
    found = float(note.split("what they show is ")[1].split(" times")[0])
    assert found == pytest.approx(factor, rel=0.1)
    assert "as the points of sparse_pc.ply" in note
    assert "divide them by that, or train without them (--optimizer.depth 0)" in note


def test_the_right_unit_gives_no_warning(write_transforms: Write) -> None:
    assert unit_notes(with_points(write_transforms, factor=1.0)) == []


@pytest.mark.parametrize(("factor", "warned"), [(1.0, False), (1000.0, True)])
def test_points_of_colmap_serve_as_well(
    write_transforms: Write, write_colmap: Write, factor: float, warned: bool
) -> None:
    """The COLMAP model is the captured one, moved and scaled as the file states."""
    from neufield.datasets.colmap_files import read_colmap_model

    folder = write_colmap()
    points = read_colmap_model(folder / "sparse/0", ".bin").points
    turn = np.array([[0.0, 1.0, 0.0, 0.3], [-1.0, 0.0, 0.0, 0.1], [0.0, 0.0, 1.0, -0.2]])
    moved = 0.5 * (points @ turn[:, :3].T + turn[:, 3])
    scene = load_posed_scene(write_transforms())
    frames = {i: {"depth_file_path": f"depth/{i}.npy"} for i in range(1, 8)}
    folder = write_transforms(frames=frames, applied_transform=turn.tolist(), applied_scale=0.5)
    for i in frames:
        write_numbers(folder / f"depth/{i}.npy", factor * ring_depths(scene, moved, i - 1))
    notes = [note for note in unit_notes(folder) if "another unit" in note]
    assert len(notes) == warned
    assert all("as the points of sparse/0/points3D.bin" in note for note in notes)


def test_it_is_said_that_the_unit_was_not_checked(write_transforms: Write) -> None:
    (note,) = unit_notes(with_depth(write_transforms))
    assert note == "the unit of the depth maps was not checked: there are no sparse points to hold them against"
    folder = with_points(write_transforms, factor=1.0)
    (folder / "sparse_pc.ply").write_text("no PLY file")
    assert unit_notes(folder) == [note]
    folder = with_points(write_transforms, factor=0.0)
    write_numbers(folder / "depth/001.npy", np.pad([[1.0]], ((0, 7), (0, 11))))
    few = "the unit of the depth maps was not checked: they know too few of the points of sparse_pc.ply"
    assert unit_notes(folder) == [few]


@pytest.mark.parametrize("ending", ["png", "npy"])
def test_a_map_of_another_size(write_transforms: Write, ending: str, assert_refused: Refused) -> None:
    folder = with_depth(write_transforms, ending=ending)
    write_numbers(folder / f"depth/4.{ending}", STEPS[:6])
    text = f"depth/4.{ending}: expected 12x8 pixels as images/004.png has, whose depth map it is, found 12x6; make the"
    assert_refused(folder, kinds.ImageSizeError, text)


@pytest.mark.parametrize("key", ["depth_file_path", "depth_path"])
def test_a_map_that_is_not_there(write_transforms: Write, key: str, assert_refused: Refused) -> None:
    folder = with_depth(write_transforms, key=key, integer_depth_scale=0.001)
    (folder / "depth/4.png").unlink()
    text = f"transforms.json, frame 4: expected the depth map 'depth/4.png' ('{key}') in {folder}, found nothing; copy"
    assert_refused(folder, kinds.FormatError, text)


def test_a_map_outside_the_folder(write_transforms: Write, assert_refused: Refused) -> None:
    folder = write_transforms(frames={4: {"depth_file_path": "../secret.png"}})
    write_numbers(folder.parent / "secret.png", STEPS)
    assert_refused(folder, kinds.UnsafePathError, f"transforms.json, frame 4: expected a path inside {folder}")


def test_two_maps_of_one_photo(write_transforms: Write, assert_refused: Refused) -> None:
    folder = with_depth(write_transforms)
    frames = {i: {"depth_file_path": f"depth/{i}.png", "depth_path": f"depth/{i}.png"} for i in range(COUNT)}
    write_transforms(frames=frames, integer_depth_scale=0.001)
    assert_depth(load_posed_scene(folder), STEPS * 0.001)
    frames = {4: {"depth_file_path": "depth/4.png", "depth_path": "depth/4.png"}}
    write_transforms(frames=frames, integer_depth_scale=0.01)
    text = "frame 4: expected one depth map, found depth/4.png (nerfstudio depth_file_path, a stored 1 is 0.001) and"
    assert_refused(folder, kinds.FormatError, text, "remove one of the keys")


def test_a_map_of_8_bits(write_transforms: Write, assert_refused: Refused) -> None:
    folder = with_depth(write_transforms)
    write_numbers(folder / "depth/4.png", (STEPS // 50).astype(np.uint8))
    text = "depth/4.png: expected one number of 16 bits per pixel, found pixels of type L; save it as 16-bit PNG"
    assert_refused(folder, kinds.ImageFileError, text)


@pytest.mark.parametrize("numbers", [np.zeros((8, 12, 3)), np.zeros(5), np.array([["a"]])])
def test_arrays_that_are_no_maps(write_transforms: Write, numbers: np.ndarray, assert_refused: Refused) -> None:
    folder = with_depth(write_transforms, ending="npy")
    np.save(folder / "depth/4.npy", numbers)
    text = "depth/4.npy: expected a number for every row and column of its photo, found"
    assert_refused(folder, kinds.FormatError, text)


@pytest.mark.parametrize(
    ("ending", "length", "kind", "text"),
    [
        ("png", 0, kinds.ImageFileError, "depth/4.png: cannot be read as an image"),
        ("png", 60, kinds.ImageFileError, "depth/4.png: cannot be read as an image"),
        ("npy", 0, kinds.FormatError, "depth/4.npy: expected an array that numpy.save wrote"),
        ("npy", 150, kinds.FormatError, "depth/4.npy: expected an array that numpy.save wrote"),
    ],
)
def test_a_map_that_is_cut_short(
    write_transforms: Write, ending: str, length: int, kind: type[DataError], text: str, assert_refused: Refused
) -> None:
    folder = with_depth(write_transforms, ending=ending)
    path = folder / f"depth/4.{ending}"
    path.write_bytes(path.read_bytes()[:length])
    assert_refused(folder, kind, text)


@pytest.mark.parametrize("scale", [0, -1.0, "mm"])
def test_a_scale_that_is_none(write_transforms: Write, scale: object) -> None:
    folder = with_depth(write_transforms, key="depth_path", integer_depth_scale=scale)
    text = "transforms.json: expected 'integer_depth_scale' to be a finite number above 0"
    with pytest.raises(kinds.FormatError, match=text):
        load_posed_scene(folder)
