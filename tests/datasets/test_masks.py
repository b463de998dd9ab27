"""Masks by the conventions of nerfstudio, instant-ngp and COLMAP: what they leave out is never drawn, and said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neufield.datasets import PosedScene, inspect_folder, load_posed_scene, pixel_pool
from neufield.datasets import errors as kinds

Write = Callable[..., Path]
Refused = Callable[..., None]
HOLE = np.zeros((8, 12), dtype=bool)
HOLE[2:5, 3:9] = True


def write_mask(path: Path, ignored: np.ndarray, *, white_is_ignored: bool = False, mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(ignored == white_is_ignored, 255, 0).astype(np.uint8)).convert(mode).save(path)


def with_mask_paths(write_transforms: Write, masks: dict[int, np.ndarray], **more: Any) -> Path:
    folder = write_transforms(frames={i: {"mask_path": f"masks/{i}.png"} for i in masks}, **more)
    for i, mask in masks.items():
        write_mask(folder / f"masks/{i}.png", mask)
    return folder


def ignored_in(scene: PosedScene, name: str) -> list[list[bool]]:
    """What a photo's mask leaves out, by the scene."""
    images = scene.train if name in scene.train.names else scene.test
    kept = images.kept_in(images.names.index(name))
    assert kept is not None
    return (~kept).tolist()


def assert_hole_of_photo_4(scene: PosedScene, ignored: np.ndarray = HOLE, name: str = "images/004.png") -> None:
    assert ignored_in(scene, name) == ignored.tolist()
    assert not torch.tensor(ignored_in(scene, scene.train.names[0])).any()


def test_nerfstudio_ignores_black(write_transforms: Write) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE, 8: HOLE})
    scene = load_posed_scene(folder)
    assert scene.format == "nerfstudio"
    assert_hole_of_photo_4(scene)
    assert ignored_in(scene, "images/008.png") == HOLE.tolist()  # held out
    note = "masks: 2 of 10 photos, black = ignore (nerfstudio mask_path); 3.7 % of the pixels are left out"
    assert note in scene.notes
    assert f"note: {note}" in inspect_folder(folder).lines()


def test_instant_ngp_ignores_white(write_transforms: Write) -> None:
    folder = write_transforms()
    write_mask(folder / "images/dynamic_mask_004.png", HOLE, white_is_ignored=True)
    scene = load_posed_scene(folder)
    assert_hole_of_photo_4(scene)
    rule = "masks: 1 of 10 photos, white = ignore (instant-ngp dynamic_mask_<name>.png); 1.9 % of the pixels"
    assert any(note.startswith(rule) for note in scene.notes)


@pytest.mark.parametrize("name", ["004.png.png", "004.png"])
@pytest.mark.parametrize("write", ["write_colmap", "write_llff"])
def test_colmap_ignores_black(request: pytest.FixtureRequest, write: str, name: str) -> None:
    folder = request.getfixturevalue(write)()
    write_mask(folder / "masks" / name, HOLE)
    scene = load_posed_scene(folder)
    assert_hole_of_photo_4(scene)
    assert any("1 of 10 photos, black = ignore (COLMAP, folder masks)" in note for note in scene.notes)


def test_colmap_masks_lie_in_the_folders_of_the_photos(write_colmap: Write) -> None:
    folder = write_colmap(names=[f"left/{i:03d}.png" for i in range(10)])
    (folder / "images").rename(folder / "left")
    (folder / "images").mkdir()
    (folder / "left").rename(folder / "images/left")
    write_mask(folder / "masks/left/004.png.png", HOLE)
    assert_hole_of_photo_4(load_posed_scene(folder), name="images/left/004.png")


def test_blender_folders_may_have_them_too(blender: Path) -> None:
    write_mask(blender / "train/dynamic_mask_r_4.png", HOLE, white_is_ignored=True)
    assert_hole_of_photo_4(load_posed_scene(blender), name="train/r_4.png")


def test_two_conventions_in_one_folder(write_transforms: Write) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    write_mask(folder / "images/dynamic_mask_005.png", ~HOLE, white_is_ignored=True)
    scene = load_posed_scene(folder)
    assert ignored_in(scene, "images/005.png") == (~HOLE).tolist()
    assert any("(nerfstudio mask_path), and 1 of 10 photos, white = ignore" in note for note in scene.notes)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_kinds_of_masks(write_transforms: Write, mode: str) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    write_mask(folder / "masks/4.png", HOLE, mode=mode)
    assert_hole_of_photo_4(load_posed_scene(folder))


def test_masks_of_zeros_and_ones(write_transforms: Write) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    Image.fromarray((~HOLE).astype(np.uint8)).save(folder / "masks/4.png")
    assert_hole_of_photo_4(load_posed_scene(folder))


def test_masks_that_jpeg_has_blurred(write_transforms: Write) -> None:
    folder = write_transforms(frames={4: {"mask_path": "masks/4.jpg"}})
    write_mask(folder / "masks/4.jpg", HOLE)
    assert_hole_of_photo_4(load_posed_scene(folder))


def test_transparent_is_black(write_transforms: Write) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    white = np.full((8, 12, 4), 255, dtype=np.uint8)
    white[HOLE, 3] = 0
    Image.fromarray(white).save(folder / "masks/4.png")
    assert_hole_of_photo_4(load_posed_scene(folder))


def test_masked_pixels_are_never_drawn_and_all_others_are(write_transforms: Write) -> None:
    images = load_posed_scene(with_mask_paths(write_transforms, {4: HOLE, 5: ~HOLE})).train
    batch = images.sample(50_000, torch.Generator().manual_seed(0))
    drawn = torch.zeros(len(images), 8, 12, dtype=torch.int64)
    x, y = (batch.pixels - 0.5).long().unbind(1)
    drawn.index_put_((batch.camera_indices, y, x), torch.ones(1, dtype=torch.int64), accumulate=True)
    kept = torch.stack([images.kept_in(i) for i in range(len(images))])  # type: ignore[list-item]
    assert torch.equal(drawn > 0, kept)
    counts = drawn[kept].float()
    assert float(counts.std() / counts.mean()) < 1.2 * float(counts.mean()) ** -0.5  # evenly: as Poisson scatters
    for camera, (row, column), color in zip(batch.camera_indices[:200], torch.stack([y, x], 1), batch.colors):
        assert torch.equal(images.image(int(camera))[row, column], color)


def test_draws_without_masks_are_those_they_were(write_transforms: Write) -> None:
    images = load_posed_scene(write_transforms()).train
    assert images.kept is None
    assert images.kept_in(0) is None
    chosen = torch.randint(len(images.pixels), (99,), generator=torch.Generator().manual_seed(7))
    assert torch.equal(images.sample(99, torch.Generator().manual_seed(7)).colors, images.pixels[chosen])


def reduced(mask: np.ndarray) -> np.ndarray:
    return mask.reshape(4, 2, 6, 2).any(axis=(1, 3))


def test_a_pixel_that_is_ignored_in_part_is_ignored(write_transforms: Write) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    scene = load_posed_scene(folder, downscale=2)
    assert_hole_of_photo_4(scene, reduced(HOLE))
    assert_hole_of_photo_4(load_posed_scene(folder, downscale=3), HOLE[:6].reshape(2, 3, 4, 3).any(axis=(1, 3)))


@pytest.mark.parametrize("size", [(6, 4), (12, 8)])
def test_masks_of_smaller_copies(write_colmap: Write, size: tuple[int, int]) -> None:
    """A mask has the size of the photo or that of its smaller copy."""
    folder = write_colmap()
    (folder / "images_2").mkdir()
    for path in (folder / "images").iterdir():
        with Image.open(path) as image:
            image.resize((6, 4)).save(folder / "images_2" / path.name)
    write_mask(folder / "masks/004.png.png", HOLE if size == (12, 8) else reduced(HOLE))
    assert_hole_of_photo_4(load_posed_scene(folder, downscale=2), reduced(HOLE))


def test_sizes_that_do_not_divide() -> None:
    from neufield.datasets.masks import _touched

    mark = np.zeros((1, 7), dtype=bool)
    for i, touched in enumerate(([0], [0], [0, 1], [1], [1, 2], [2], [2])):
        mark[:] = np.arange(7) == i
        assert np.flatnonzero(_touched(mark, (3, 1))).tolist() == touched


def test_a_mask_of_another_size(write_transforms: Write, assert_refused: Refused) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    write_mask(folder / "masks/4.png", HOLE[:6])
    text = "masks/4.png: expected 12x8 pixels as images/004.png has, whose mask it is, found 12x6; make the mask in"
    assert_refused(folder, kinds.ImageSizeError, text)


def test_a_mask_that_is_not_there(write_transforms: Write, assert_refused: Refused) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    (folder / "masks/4.png").unlink()
    text = f"transforms.json, frame 4: expected the mask 'masks/4.png' ('mask_path') in {folder}, found nothing; copy"
    assert_refused(folder, kinds.FormatError, text, "or remove the key from the frame")


@pytest.mark.parametrize("path", ["../secret.png", "/etc/hostname"])
def test_a_mask_outside_the_folder(write_transforms: Write, path: str, assert_refused: Refused) -> None:
    folder = write_transforms(frames={4: {"mask_path": path}})
    write_mask(folder.parent / "secret.png", HOLE)
    assert_refused(folder, kinds.UnsafePathError, f"transforms.json, frame 4: expected a path inside {folder}")


def test_a_mask_that_is_no_text(write_transforms: Write, assert_refused: Refused) -> None:
    text = "transforms.json, frame 4: expected 'mask_path' to be a text, found 3"
    assert_refused(write_transforms(frames={4: {"mask_path": 3}}), kinds.FormatError, text)


def test_two_masks_of_one_photo(write_transforms: Write, assert_refused: Refused) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    write_mask(folder / "images/dynamic_mask_004.png", HOLE)
    text = "frame 4: expected one mask, found 'mask_path' masks/4.png (black = ignore) and images/dynamic_mask_004.png"
    assert_refused(folder, kinds.FormatError, text, "(white = ignore); remove one of them")


@pytest.mark.parametrize("length", [0, 40])
def test_a_mask_that_cannot_be_read(write_transforms: Write, length: int, assert_refused: Refused) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    path = folder / "masks/4.png"
    path.write_bytes(path.read_bytes()[:length])
    assert_refused(folder, kinds.ImageFileError, "masks/4.png: cannot be read as an image", "copy it again")


def test_a_mask_of_16_bits(write_transforms: Write, assert_refused: Refused) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    Image.fromarray((~HOLE).astype(np.uint16) * 65535).save(folder / "masks/4.png")
    assert_refused(folder, kinds.ImageFileError, "masks/4.png: expected 8 bits per channel", "save it as 8-bit PNG")


def test_photos_that_are_masked_wholly_are_left_out_and_named(write_transforms: Write) -> None:
    folder = with_mask_paths(write_transforms, {0: HOLE | True, 4: HOLE | True, 5: HOLE})
    scene = load_posed_scene(folder)
    assert scene.test.names == ("images/008.png",)  # the others stay where they were
    assert "images/004.png" not in scene.train.names
    assert len(scene.train) == 7
    note = "2 of 10 photos are left out, their masks leave no pixel of them: images/000.png, images/004.png"
    assert note in scene.notes
    assert ignored_in(scene, "images/005.png") == HOLE.tolist()
    assert inspect_folder(folder).train_images == 7


@pytest.mark.parametrize(
    ("masked", "found"),
    [(range(10), "found 0 and 0 that can be used; 10 more"), ((0, 8), "found 8 and 0 that can be used; 2 more")],
)
def test_masks_that_leave_too_few_photos(
    write_transforms: Write, masked: list[int], found: str, assert_refused: Refused
) -> None:
    folder = with_mask_paths(write_transforms, dict.fromkeys(masked, HOLE | True))
    text = f"{found} are masked wholly (black = ignore (nerfstudio mask_path)): invert the masks, remove them"
    assert_refused(folder, kinds.TooFewImagesError, "expected at least 2 images to train on and 1 held out", text)


def test_masks_that_belong_to_no_photo_are_named(write_colmap: Write, write_transforms: Write) -> None:
    folder = write_colmap()
    write_mask(folder / "masks/elsewhere.png", HOLE)
    note = "the folder masks is not used: it has no mask of any photo, such as masks/000.png.png"
    assert note in load_posed_scene(folder).notes
    write_transforms()
    note = "the folder masks is not used: no frame of transforms.json lists a mask under 'mask_path'"
    assert note in load_posed_scene(folder).notes


def test_masks_go_with_a_pool_of_pixels(write_transforms: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = with_mask_paths(write_transforms, {4: HOLE})
    monkeypatch.setattr(pixel_pool, "_FEWEST_PIXELS", 300)
    scene = load_posed_scene(folder, memory_bytes=1)
    assert_hole_of_photo_4(scene)
    batch = scene.train.sample(3000, torch.Generator().manual_seed(0))
    masked = batch.camera_indices == scene.train.names.index("images/004.png")
    columns, rows = batch.pixels[masked].long().T
    assert len(rows) > 100
    assert not torch.from_numpy(HOLE)[rows, columns].any()
    assert torch.equal(scene.train.image(0)[0, 0], load_posed_scene(folder).train.image(0)[0, 0])
