"""Pixels in memory are the files' pixels, drawn uniformly and at their places; so are those of a pool."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neufield.datasets import PosedImages, PosedScene, load_posed_scene, pixel_pool
from neufield.datasets.image_files import read_image, read_image_header

Write = Callable[..., Path]


def file_pixels(scene: PosedScene, name: str) -> torch.Tensor:
    with Image.open(scene.folder / name) as image:
        return torch.from_numpy(np.array(image))


def assert_holds_its_files(scene: PosedScene) -> None:
    for images in (scene.train, scene.test):
        for i, name in enumerate(images.names):
            assert torch.equal(images.image(i), file_pixels(scene, name))


@pytest.fixture
def mixed_sizes(write_transforms: Write) -> Path:
    """Ten images of which one is half as large."""
    folder = write_transforms()
    noise = np.random.default_rng(9).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "images/004.png")
    return folder


def test_pixels_are_those_of_the_files(write_transforms: Write) -> None:
    scene = load_posed_scene(write_transforms())
    assert scene.background == "none"
    assert scene.train.pixels.shape == (8 * 12 * 8, 3)
    assert_holds_its_files(scene)
    assert torch.equal(scene.train.image(-1), scene.train.image(7))
    with pytest.raises(IndexError, match="image 8 of 8"):
        scene.train.image(8)


def test_images_of_different_sizes(mixed_sizes: Path) -> None:
    scene = load_posed_scene(mixed_sizes)
    assert_holds_its_files(scene)
    assert_samples_fit(scene.train)


def test_straight_alpha_is_kept(blender: Path) -> None:
    scene = load_posed_scene(blender)
    assert scene.train.pixels.shape[1] == 4
    assert_holds_its_files(scene)
    assert_samples_fit(scene.train)


def test_opaque_alpha_is_dropped(blender: Path) -> None:
    for path in blender.glob("*/*.png"):
        with Image.open(path) as image:
            image.putalpha(255)
            image.save(path)
    scene = load_posed_scene(blender)
    assert scene.background == "none"
    assert scene.train.pixels.shape[1] == 3


def test_one_transparent_image_keeps_alpha_for_all(write_transforms: Write) -> None:
    folder = write_transforms()
    Image.new("RGBA", (12, 8), (1, 2, 3, 0)).save(folder / "images/004.png")
    scene = load_posed_scene(folder)
    assert scene.background == "alpha"
    alphas = [int(scene.train.image(i)[0, 0, 3]) for i in range(len(scene.train))]
    assert sorted(alphas) == [0] + [255] * 7


def assert_samples_fit(images: PosedImages) -> None:
    """Each colour is what the image shows where the sample says it was taken."""
    batch = images.sample(500, torch.Generator().manual_seed(0))
    assert batch.pixels.dtype == torch.float32
    for camera, (x, y), color in zip(batch.camera_indices.tolist(), batch.pixels.tolist(), batch.colors, strict=True):
        assert (x % 1.0, y % 1.0) == (0.5, 0.5)
        assert torch.equal(images.image(camera)[int(y), int(x)], color)


def test_samples_fit(write_transforms: Write) -> None:
    assert_samples_fit(load_posed_scene(write_transforms()).train)


def test_samples_are_uniform_over_pixels(mixed_sizes: Path) -> None:
    images = load_posed_scene(mixed_sizes).train
    batch = images.sample(100_000, torch.Generator().manual_seed(0))
    small = images.names.index("images/004.png")
    share = float((batch.camera_indices == small).float().mean())
    assert share == pytest.approx(24 / (24 + 7 * 96), abs=0.003)
    corner = (batch.pixels == torch.tensor([11.5, 7.5])).all(1).float().mean()
    assert float(corner) == pytest.approx(7 / (24 + 7 * 96), abs=0.002)


def test_samples_repeat_with_the_seed(write_transforms: Write) -> None:
    images = load_posed_scene(write_transforms()).train
    first, second = (images.sample(50, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first.colors, second.colors)
    assert torch.equal(first.pixels, second.pixels)
    assert len(images.sample(0, torch.Generator()).colors) == 0


def small_pool(monkeypatch: pytest.MonkeyPatch, folder: Path, *, pixels: int) -> PosedImages:
    """The training images with room for so many of their pixels."""
    monkeypatch.setattr(pixel_pool, "_FEWEST_PIXELS", pixels)
    return load_posed_scene(folder, memory_bytes=1).train


def test_a_pool_s_samples_fit_and_its_images_are_the_files(monkeypatch: pytest.MonkeyPatch, blender: Path) -> None:
    images, whole = small_pool(monkeypatch, blender, pixels=100), load_posed_scene(blender).train
    assert len(images.pixels) == 100 < len(whole.pixels)
    assert_samples_fit(images)
    for i in range(len(images)):
        assert torch.equal(images.image(i), whole.image(i))
        assert torch.equal(images.image(i, reduce=2), whole.image(i, reduce=2))
    assert whole.image(0, reduce=3).shape[:2] == tuple(size // 3 for size in whole.image(0).shape[:2])


def test_a_pool_holds_every_image_s_share(monkeypatch: pytest.MonkeyPatch, mixed_sizes: Path) -> None:
    images = small_pool(monkeypatch, mixed_sizes, pixels=500)
    batch = images.sample(20_000, torch.Generator().manual_seed(0))
    small = images.names.index("images/004.png")
    share = float((batch.camera_indices == small).float().mean())
    assert share == pytest.approx(24 / (24 + 7 * 96), abs=0.006)


def test_a_pool_is_drawn_anew_when_it_was_used_up(monkeypatch: pytest.MonkeyPatch, blender: Path) -> None:
    images = small_pool(monkeypatch, blender, pixels=60)
    assert images.pool is not None
    turns = []
    for drawn in (0, 59, 60, 119, 121):
        images.turn_over(drawn)
        assert_samples_fit(images)
        turns.append(images.pool.places.clone())
    assert torch.equal(turns[0], turns[1])
    assert not torch.equal(turns[1], turns[2])
    assert torch.equal(turns[2], turns[3])
    assert not torch.equal(turns[3], turns[4])
    again = small_pool(monkeypatch, blender, pixels=60)
    again.turn_over(121)  # as a resumed run does
    assert again.pool is not None
    assert torch.equal(again.pool.places, turns[4])
    assert torch.equal(again.pixels, images.pixels)


def test_photos_that_do_not_fit_are_said_to(blender: Path) -> None:
    notes = load_posed_scene(blender, memory_bytes=100).notes
    assert any("of them are in memory at a time" in note for note in notes)
    assert not any("in memory" in note for note in load_posed_scene(blender).notes)


def test_a_damaged_image_is_named_by_a_pool_as_well(write_transforms: Write) -> None:
    folder = write_transforms()
    path = folder / "images/004.png"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"images/004.png: cannot be read"):
        load_posed_scene(folder, memory_bytes=100)


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "LA", "RGBA", "RGB"])
def test_kinds_of_images(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.new("RGB", (5, 3), (255, 255, 255)).convert(mode).save(path)
    assert read_image(path).tolist() == np.full((3, 5, 3), 255).tolist()
    assert read_image(path, channels=4).shape == (3, 5, 4)
    header = read_image_header(path)
    assert header.size == (5, 3)
    assert header.has_alpha == (mode in ("LA", "RGBA"))


def test_averaging_premultiplies(tmp_path: Path) -> None:
    pixels = np.zeros((2, 2, 4), dtype=np.uint8)
    pixels[0, 0] = (200, 100, 50, 255)
    pixels[1, 1] = (255, 255, 255, 0)  # invisible: its colour must not count
    Image.fromarray(pixels).save(tmp_path / "a.png")
    mean = read_image(tmp_path / "a.png", channels=4, reduce=2)[0, 0]
    assert mean[3] == 64
    np.testing.assert_allclose(mean[:3], (200, 100, 50), atol=3)
