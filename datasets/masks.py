"""Masks: which pixels of a photo are to be ignored, by the conventions of nerfstudio, instant-ngp and COLMAP."""

import posixpath
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Bool

from .errors import DataError, FormatError
from .image_files import large_images_allowed, read_image, read_image_header
from .json_document import JsonObject
from .listed_files import inside, listed, listed_companion, relative_name
from .pixel_runs import PixelRuns
from .views import MaskFile, Report, View, require_photo_size

MASK_FOLDER = "masks"
"""Where masks lie beside the folder of photos."""

_LOSSY = (".jpg", ".jpeg")
_MASK_PATH = "nerfstudio mask_path"
_DYNAMIC = "instant-ngp dynamic_mask_<name>.png"
_BESIDE = f"COLMAP, folder {MASK_FOLDER}"


def mask_of_frame(entry: JsonObject, folder: Path, image: Path) -> MaskFile | None:
    """The mask of a frame of a `transforms*.json`: nerfstudio's `mask_path` or instant-ngp's `dynamic_mask_<name>.png`.

    Raises:
        FormatError: if the listed mask is not there, or the frame has both.
    """
    stated = listed_companion(entry, "mask_path", folder, "mask")
    beside = image.with_name(f"dynamic_mask_{image.stem}.png")
    if not beside.is_file():
        return stated and MaskFile(stated, relative_name(stated, folder), "black", _MASK_PATH)
    name = relative_name(beside, folder)
    if stated is not None:
        raise FormatError(
            f"{entry.where}: expected one mask, found 'mask_path' {relative_name(stated, folder)} (black = ignore) and "
            f"{name} (white = ignore); remove one of them"
        )
    return MaskFile(inside(folder, name, entry.where), name, "white", _DYNAMIC)


def mask_in_folder(folder: Path, image: str, where: str) -> MaskFile | None:
    """The mask that COLMAP would use: `masks/<name>.png` beside `images`, the photo's ending kept or replaced.

    Args:
        folder: The data folder.
        image: The photo's name below its own folder, e.g. `left/001.jpg`.
        where: Names the file and image in messages.
    """
    plain = PurePosixPath(posixpath.normpath(image.replace("\\", "/")))
    for name in (f"{plain}.png", str(plain.with_suffix(".png")), str(plain)):
        if (folder / MASK_FOLDER / name).is_file():
            name = f"{MASK_FOLDER}/{name}"
            return MaskFile(inside(folder, name, where), name, "black", _BESIDE)
    return None


def strange_masks_note(folder: Path, views: Sequence[View]) -> list[str]:
    """Says that a folder of masks is there and none of them is named after a photo; empty if all is well."""
    if not views or any(view.mask for view in views) or not (folder / MASK_FOLDER).is_dir():
        return []
    expected = PurePosixPath(views[0].name).name
    return [f"the folder {MASK_FOLDER} is not used: it has no mask of any photo, such as {MASK_FOLDER}/{expected}.png"]


def require_mask_size(view: View, size: tuple[int, int]) -> None:
    """Holds a photo's mask, where it has one, to the size of the photo's file.

    Raises:
        ImageSizeError: if it has another one.
        ImageFileError: if it is no image.
    """
    if view.mask is not None:
        found = read_image_header(view.mask.path, view.mask.name).size
        require_photo_size(view, size, view.mask.name, found, "mask")


def read_ignored(view: View) -> Bool[np.ndarray, "height width"]:
    """Which pixels of a photo, at the size it is read at, its mask leaves out; one that is ignored in part is ignored.

    Raises:
        ImageFileError: if the mask cannot be decoded.
    """
    assert view.mask is not None
    assert view.file_size is not None
    assert view.lens.size is not None
    ignored = _is_black(view.mask)
    ignored = _touched(ignored if view.mask.ignored == "black" else ~ignored, view.file_size)
    width, height = view.lens.size
    return _touched(ignored[: height * view.reduce, : width * view.reduce], view.lens.size)


def _is_black(mask: MaskFile) -> Bool[np.ndarray, "height width"]:
    """Black is 0, as in the tools that made these conventions, and darker than half where JPEG has blurred it."""
    pixels = read_image(mask.path, mask.name, channels=4)
    limit = 128 if mask.path.suffix.lower() in _LOSSY else 1
    return (pixels[:, :, :3].max(axis=2) < limit) | (pixels[:, :, 3] == 0)


def _touched(marked: Bool[np.ndarray, "_ _"], size: tuple[int, int]) -> Bool[np.ndarray, "height width"]:
    """A mask at a smaller size: a pixel is marked if it covers anything that is, be it in part."""
    for axis, target in enumerate(reversed(size)):
        source = marked.shape[axis]
        if target == source:
            continue
        steps = np.arange(target)
        covers = np.stack([steps * source // target, -(-(steps + 1) * source // target)], axis=1).ravel()
        padded = np.concatenate([marked, np.zeros_like(marked.take([0], axis))], axis=axis)
        marked = np.logical_or.reduceat(padded, covers, axis=axis).take(2 * steps, axis)
    return marked


def with_masks(views: Sequence[View], report: Report) -> list[View]:
    """Decodes the masks, in parallel: views that have one know which of their pixels are kept.

    Args:
        views: With known sizes.
        report: Is given every fault; what it does not raise is left out.
    """

    def kept(view: View) -> PixelRuns | DataError | None:
        try:
            return PixelRuns.of_mask(~read_ignored(view)) if view.mask else None
        except DataError as error:
            return error

    found: list[View] = []
    with large_images_allowed(), ThreadPoolExecutor() as pool:
        for view, runs in zip(views, pool.map(kept, views), strict=True):
            if isinstance(runs, DataError):
                report(runs)
            else:
                found.append(replace(view, kept=runs))
    return found


def wholly_masked(view: View) -> bool:
    """Whether a photo's mask leaves nothing of it."""
    return view.kept is not None and len(view.kept) == 0


def mask_notes(views: Sequence[View]) -> list[str]:
    """Says which photos have masks, by which rule they are read and what they leave out; empty where there are none."""
    rules = Counter(mask_rule(view.mask) for view in views if view.mask)
    if not rules:
        return []
    told = ", and ".join(f"{count} of {len(views)} photos, {rule}" for rule, count in rules.items())
    notes = [f"masks: {told}; {100.0 * ignored_share(views):.1f} % of the pixels are left out"]
    empty = sorted(view.name for view in views if wholly_masked(view))
    if empty:
        notes.append(
            f"{len(empty)} of {len(views)} photos are left out, their masks leave no pixel of them: {listed(empty)}"
        )
    return notes


def mask_rule(mask: MaskFile) -> str:
    """How a mask is read, in words."""
    return f"{mask.ignored} = ignore ({mask.source})"


def ignored_share(views: Sequence[View]) -> float:
    """Which share of the pixels of all these photos the masks leave out."""
    areas = [view.lens.size[0] * view.lens.size[1] for view in views if view.lens.size]
    kept = [area if view.kept is None else len(view.kept) for view, area in zip(views, areas, strict=True)]
    return 1.0 - sum(kept) / max(sum(areas), 1)
