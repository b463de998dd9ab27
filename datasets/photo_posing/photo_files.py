"""A folder of plain photos, made ready to be measured: upright, decodable to the end, sorted by camera."""

import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image, ImageOps

from ..errors import DataError, PhotosError
from ..image_files import DECODER_ERRORS, IMAGE_ENDINGS, large_images_allowed, read_image_header
from ..listed_files import listed

FEWEST_PHOTOS = 3
"""Two to train on and one held out."""

_JPEG_ENDINGS = (".jpg", ".jpeg")
_ENDINGS = {"JPEG": _JPEG_ENDINGS, "MPO": _JPEG_ENDINGS, "PNG": (".png",)}  # MPO: JPEG with a second picture behind
_PLAIN_MODES = {"RGB", "RGBA", "L"}
_JPEG_QUALITY = 97
_CAMERA_FILES = (".heic", ".heif", ".avif", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")


@dataclass(frozen=True)
class Photo:
    """One photo that can be used."""

    original: str
    """What the user calls it."""
    name: str
    """Its file in the folder of prepared photos: no spaces, an ending that fits its content."""
    size: tuple[int, int]
    """Width and height, upright."""
    transparent: bool = False
    lens: tuple[str, ...] = ()
    """What its EXIF says of camera and focal length; empty where it says nothing."""


@dataclass(frozen=True)
class FolderListing:
    """What a folder of photos holds."""

    photos: tuple[Path, ...]
    """Files with the ending of an image, by name."""
    camera_files: tuple[str, ...]
    """Photos in formats that are not read here."""
    others: tuple[str, ...]
    """Files that are no photos."""
    folders: tuple[str, ...]


@dataclass(frozen=True)
class PreparedPhotos:
    """Photos in a folder of their own, and what was left out."""

    photos: tuple[Photo, ...]
    unreadable: tuple[str, ...]
    """Why each photo that is left out cannot be read, its name first."""


def list_photos(folder: Path) -> FolderListing:
    """Sorts what lies in a folder, hidden files and all below its own folders left out.

    Raises:
        PhotosError: It cannot be listed.
    """
    try:
        entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise PhotosError(f"{folder}: cannot be listed ({error.strerror}); check its permissions") from error
    files = [path for path in entries if not path.is_dir()]
    photos = tuple(path for path in files if path.suffix.lower() in IMAGE_ENDINGS)
    camera_files = tuple(path.name for path in files if path.suffix.lower() in _CAMERA_FILES)
    others = tuple(path.name for path in files if path not in set(photos) and path.name not in camera_files)
    return FolderListing(photos, camera_files, others, tuple(path.name for path in entries if path.is_dir()))


def require_photos(folder: Path, listing: FolderListing, unreadable: Sequence[str] = ()) -> None:
    """Refuses a folder with too few photos, and says what it has instead.

    Args:
        unreadable: Why each photo of the listing that cannot be read cannot, its name first.

    Raises:
        PhotosError: There are fewer than three that can be read.
    """
    usable = len(listing.photos) - len(unreadable)
    if usable >= FEWEST_PHOTOS:
        return
    message = f"{folder}: expected a video or at least {FEWEST_PHOTOS} photos that overlap, found "
    message += f"{usable or 'no'} photo{'' if usable == 1 else 's'} that can be read"
    if unreadable:
        message += f" and {len(unreadable)} that cannot ({listed(reason.split(':')[0] for reason in unreadable)})"
    deeper = [name for name in listing.folders if _has_photos(folder / name)]
    if listing.camera_files:
        message += f", and {listed(listing.camera_files)}; convert those to JPEG first"
    elif deeper:
        message += f", but photos in these folders of it: {listed(deeper)}; give one of them"
    else:
        message += "; take 30 or more around the scene, each one showing most of what the one before shows"
    raise PhotosError(message)


def _has_photos(folder: Path) -> bool:
    try:
        return len(list_photos(folder).photos) >= FEWEST_PHOTOS
    except PhotosError:
        return False


def prepare_photos(
    paths: Sequence[Path], folder: Path, *, progress: Callable[[float], None] | None = None
) -> PreparedPhotos:
    """Puts photos into a folder as they will be measured; the originals are only read.

    JPEG and PNG files that are upright are linked to, or copied where links are refused. The others are written anew:
    JPEG for JPEG, with the focal length of its EXIF, PNG for all else.

    Args:
        folder: An empty folder.
        progress: Is told the share that is done, in [0, 1].
    """
    targets = [folder / name for name in _plain_names(paths)]
    photos: list[Photo] = []
    unreadable: list[str] = []
    with large_images_allowed(), ThreadPoolExecutor() as pool:
        for done, found in enumerate(pool.map(_prepared, paths, targets), 1):
            if isinstance(found, Photo):
                photos.append(found)
            else:
                unreadable.append(found)
            if progress is not None:
                progress(done / len(paths))
    return PreparedPhotos(tuple(photos), tuple(unreadable))


def same_lens_groups(photos: Sequence[Photo]) -> list[list[Photo]]:
    """Photos by their size and by what EXIF says of the lens: what one lens took, as far as one can tell."""
    groups: defaultdict[tuple[tuple[int, int], tuple[str, ...]], list[Photo]] = defaultdict(list)
    for photo in photos:
        groups[photo.size, photo.lens].append(photo)
    return list(groups.values())


def _plain_names(paths: Sequence[Path]) -> list[str]:
    """Names without spaces, which lists of pairs could not hold, in UTF-8, each one once."""
    names: dict[str, None] = {}
    for path in paths:
        stem, ending = (re.sub(r"\s", "_", part.encode(errors="replace").decode()) for part in (path.stem, path.suffix))
        stem = f"_{stem}" if stem.startswith("#") else stem  # COLMAP takes such a line for a comment
        name = stem + ending
        while name in names:
            stem += "_"
            name = stem + ending
        names[name] = None
    return list(names)


def _prepared(path: Path, target: Path) -> Photo | str:
    """The photo after it was linked to or written anew at `target`; or why it cannot be read."""
    try:
        header = read_image_header(path, path.name)
        with Image.open(path) as image:
            upright = image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            fits = path.suffix.lower() in _ENDINGS.get(image.format or "", ())
            is_jpeg = image.format in ("JPEG", "MPO") and fits
            lens = _lens(image.getexif())
            image.load()  # to its end: a photo that is cut short is found now
            anew = None if fits and upright and image.mode in _PLAIN_MODES else ImageOps.exif_transpose(image)
    except DataError as error:
        return str(error)
    except DECODER_ERRORS as error:
        return f"{path.name}: cannot be read as an image ({str(error) or type(error).__name__})"
    if anew is None:
        _link(path, target)
        return Photo(path.name, target.name, header.size, header.has_alpha, lens)
    target = target if is_jpeg else target.with_name(f"{target.name}.png")
    _write_anew(anew.convert("RGB"), target)
    return Photo(path.name, target.name, anew.size, header.has_alpha, lens)


def _lens(exif: Image.Exif) -> tuple[str, ...]:
    details = exif.get_ifd(ExifTags.IFD.Exif)
    said = [exif.get(ExifTags.Base.Make), exif.get(ExifTags.Base.Model)]
    said += [details.get(ExifTags.Base.FocalLength), details.get(ExifTags.Base.FocalLengthIn35mmFilm)]
    return tuple(str(value) for value in said) if any(said) else ()


def _link(path: Path, target: Path) -> None:
    try:
        target.symlink_to(path.resolve())
    except OSError:  # file systems without links
        shutil.copyfile(path, target)


def _write_anew(image: Image.Image, target: Path) -> None:
    # "x": never through a link to one of the originals.
    with target.open("xb") as file:
        if target.suffix.lower() == ".png":
            image.save(file, "PNG", compress_level=1)
        else:
            image.save(file, "JPEG", quality=_JPEG_QUALITY, subsampling=0, exif=image.getexif().tobytes())
