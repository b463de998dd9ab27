"""Photos are made ready without touching the originals; what cannot be read is named."""

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from neufield.datasets import PhotosError
from neufield.datasets.photo_posing.photo_files import (
    Photo,
    list_photos,
    prepare_photos,
    require_photos,
    same_lens_groups,
)

PIXELS = np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)  # 30 wide, 20 high


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """An empty folder for originals and one for what is prepared."""
    for name in ("originals", "prepared"):
        (tmp_path / name).mkdir()
    return tmp_path / "originals", tmp_path / "prepared"


def prepare(folders: tuple[Path, Path]):
    return prepare_photos(list_photos(folders[0]).photos, folders[1])


def test_upright_photos_are_linked_to(folders: tuple[Path, Path]):
    for name in ("b.jpg", "a.PNG"):
        Image.fromarray(PIXELS).save(folders[0] / name)
    found = prepare(folders)
    assert found.photos == (Photo("a.PNG", "a.PNG", (30, 20)), Photo("b.jpg", "b.jpg", (30, 20)))
    assert (folders[1] / "b.jpg").read_bytes() == (folders[0] / "b.jpg").read_bytes()


def test_turned_photos_are_written_upright_with_their_focal_length(folders: tuple[Path, Path]):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 27
    Image.fromarray(PIXELS).save(folders[0] / "a.jpg", exif=exif, quality=100, subsampling=0)
    before = (folders[0] / "a.jpg").read_bytes()
    (found,) = prepare(folders).photos
    assert (found.name, found.size, found.lens[3]) == ("a.jpg", (20, 30), "27")
    with Image.open(folders[1] / "a.jpg") as image:
        assert image.size == (20, 30)
        assert ExifTags.Base.Orientation not in image.getexif()
        assert image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] == 27
    assert (folders[0] / "a.jpg").read_bytes() == before


def test_other_formats_become_png(folders: tuple[Path, Path]):
    image = Image.fromarray(PIXELS)
    image.save(folders[0] / "a.bmp")
    image.convert("P").save(folders[0] / "b.png")
    image.save(folders[0] / "c.jpg", format="PNG")  # an ending that says something else
    found = prepare(folders)
    assert [photo.name for photo in found.photos] == ["a.bmp.png", "b.png.png", "c.jpg.png"]
    with Image.open(folders[1] / "a.bmp.png") as written:
        assert (np.asarray(written) == PIXELS).all()


def test_names_without_spaces_stay_different(folders: tuple[Path, Path]):
    for name in ("a b.jpg", "a_b.jpg", "a\tb.jpg"):
        Image.fromarray(PIXELS).save(folders[0] / name)
    found = prepare(folders)
    assert [photo.original for photo in found.photos] == ["a\tb.jpg", "a b.jpg", "a_b.jpg"]
    assert [photo.name for photo in found.photos] == ["a_b.jpg", "a_b_.jpg", "a_b__.jpg"]


def test_unreadable_photos_are_named(folders: tuple[Path, Path]):
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for name in ("a.jpg", "b.jpg", "c.png"):
        image.save(folders[0] / name)
    (folders[0] / "b.jpg").write_bytes((folders[0] / "b.jpg").read_bytes()[:-2000])
    (folders[0] / "c.png").write_text("no image")
    (folders[0] / "d.jpg").symlink_to("nowhere.jpg")
    found = prepare(folders)
    assert [photo.name for photo in found.photos] == ["a.jpg"]
    assert len(found.unreadable) == 3
    for reason, name in zip(found.unreadable, ("b.jpg", "c.png", "d.jpg"), strict=True):
        assert reason.startswith(f"{name}: cannot be read as an image (")
    assert sorted(path.name for path in folders[1].iterdir()) == ["a.jpg"]


def test_transparency_is_noted(folders: tuple[Path, Path]):
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(folders[0] / "a.png")
    assert [photo.transparent for photo in prepare(folders).photos] == [True]


def test_what_is_no_photo_is_sorted_out(folders: tuple[Path, Path]):
    for name in ("a.jpg", "notes.txt", "IMG_1.HEIC", ".hidden.jpg"):
        (folders[0] / name).touch()
    (folders[0] / "more").mkdir()
    found = list_photos(folders[0])
    assert [path.name for path in found.photos] == ["a.jpg"]
    assert (found.camera_files, found.others, found.folders) == (("IMG_1.HEIC",), ("notes.txt",), ("more",))


@pytest.mark.parametrize(
    ("names", "unreadable", "texts"),
    [
        ([], [], ("at least 3 photos that overlap, found no photos that can be read; take 30 or more",)),
        (["a.jpg"], [], ("found 1 photo that can be read; take 30",)),
        (["a.jpg", "b.jpg"], ["b.jpg: no"], ("found 1 photo that can be read and 1 that cannot (b.jpg); take",)),
        (["a.heic", "b.HEIC"], [], ("found no photos", "a.heic, b.HEIC; convert those to JPEG first")),
        (
            ["images/a.jpg", "images/b.jpg", "images/c.jpg"],
            [],
            ("but photos in these folders of it: images; give one of them",),
        ),
    ],
)
def test_too_few_photos(folders: tuple[Path, Path], names: list[str], unreadable: list[str], texts: tuple[str, ...]):
    for name in names:
        (folders[0] / name).parent.mkdir(exist_ok=True)
        (folders[0] / name).touch()
    with pytest.raises(PhotosError) as refused:
        require_photos(folders[0], list_photos(folders[0]), unreadable)
    for text in texts:
        assert text in str(refused.value)


def test_groups_are_by_size_and_lens():
    photos = [Photo(name, name, size) for name, size in (("a", (4, 3)), ("b", (3, 4)), ("c", (4, 3)))]
    photos.append(Photo("d", "d", (4, 3), lens=("phone", "wide")))
    assert [[photo.name for photo in group] for group in same_lens_groups(photos)] == [["a", "c"], ["b"], ["d"]]


def test_names_that_would_be_comments_in_lists_of_pairs_are_changed(folders: tuple[Path, Path]):
    Image.fromarray(PIXELS).save(folders[0] / "#1.jpg")
    (found,) = prepare(folders).photos
    assert (found.original, found.name) == ("#1.jpg", "_#1.jpg")


def test_a_phone_s_jpeg_with_a_second_picture_stays_as_it_is(folders: tuple[Path, Path]):
    second = Image.fromarray(PIXELS)
    Image.fromarray(PIXELS).save(folders[0] / "a.jpg", format="MPO", save_all=True, append_images=[second])
    with Image.open(folders[0] / "a.jpg") as image:
        assert image.format == "MPO"
    assert prepare(folders).photos == (Photo("a.jpg", "a.jpg", (30, 20)),)
    assert (folders[1] / "a.jpg").read_bytes() == (folders[0] / "a.jpg").read_bytes()
