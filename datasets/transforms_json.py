"""`transforms.json` in the dialects of instant-ngp and nerfstudio."""

import posixpath
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from .depth_check import landmarks_of
from .depth_maps import unused_depth_notes
from .errors import DataError
from .json_document import JsonObject, read_json
from .listed_files import listed, missing_note, require_images
from .masks import MASK_FOLDER
from .scene_frame import SceneFrame, instant_ngp_frame
from .transforms_frames import read_frames
from .views import Capture, Report, View

_FILE = "transforms.json"
_NERFSTUDIO_KEYS = (
    "camera_model", "applied_transform", "applied_scale", "ply_file_path", "orientation_override",
    "train_filenames", "val_filenames", "test_filenames",
)  # fmt: skip
_NERFSTUDIO_FRAME_KEYS = ("mask_path", "depth_file_path", "colmap_im_id")
_FRAME_KEYS = ("aabb_scale", "scale", "offset")
_DEFAULT_SCALE = 0.33
_DEFAULT_OFFSET = 0.5
_UNUSED = {
    "rolling_shutter": "the rolling shutter",
    "ply_file_path": "the point cloud",
}


def is_nerfstudio(folder: Path) -> bool:
    """Whether a folder's `transforms.json` has keys that nerfstudio writes and instant-ngp does not."""
    try:
        document = read_json(folder / _FILE)
    except DataError:
        return False
    frames = document.values.get("frames")
    entries = cast(list[Any], frames) if isinstance(frames, list) else []
    in_frames = any(isinstance(entry, dict) and key in entry for entry in entries for key in _NERFSTUDIO_FRAME_KEYS)
    return in_frames or any(key in document for key in _NERFSTUDIO_KEYS)


def read_transforms_json(folder: Path, report: Report, *, downscale: int = 1) -> Capture:
    """Reads a `transforms.json`; frames whose file is not there are counted and named in the notes.

    Raises:
        DataError: if the file is not what it should be, unless `report` collects the fault.
    """
    try:
        document = read_json(folder / _FILE)
        frames = read_frames(document, folder, report, downscale=downscale)
        require_images(len(frames.views), frames.total, frames.missing, _FILE)
        notes = [missing_note(frames.missing, frames.total, _FILE)] if frames.missing else []
        views, split_rule, split_notes = _apply_split(document, frames.views)
        frame = stated_frame(document)
        if frame is None and not is_nerfstudio(folder):
            frame = instant_ngp_frame(scale=_DEFAULT_SCALE, offset=_offset(document), aabb_scale=1.0)
    except DataError as error:
        report(error)
        return Capture(())
    notes += [*split_notes, *_unused_notes(document), *unused_depth_notes(document), *_unlisted_masks(folder, views)]
    landmarks = landmarks_of(document, folder) if any(view.depth for view in views) else None
    return Capture(views, split_rule, frame, landmarks=landmarks, notes=tuple(notes))


def stated_frame(document: JsonObject) -> SceneFrame | None:
    """The frame that instant-ngp's keys state; None where there is none of them."""
    if not any(key in document for key in _FRAME_KEYS):
        return None
    aabb_scale = document.number("aabb_scale", above=0.0, below=1025.0) or 1.0
    scale = document.number("scale", above=0.0) or _DEFAULT_SCALE
    return instant_ngp_frame(scale=scale, offset=_offset(document), aabb_scale=aabb_scale)


def _offset(document: JsonObject) -> tuple[float, float, float]:
    given = document.values.get("offset", _DEFAULT_OFFSET)
    numbers = cast(list[Any], given) if isinstance(given, list) else [given] * 3
    if len(numbers) != 3:
        raise document.wrong("offset", "a number or three")
    checked = [JsonObject({"offset": number}, document.where).number("offset") for number in numbers]
    x, y, z = (value if value is not None else _DEFAULT_OFFSET for value in checked)
    return x, y, z


def _apply_split(document: JsonObject, views: tuple[View, ...]) -> tuple[tuple[View, ...], str | None, list[str]]:
    """Sorts the views into the parts that nerfstudio's lists of file names state."""
    lists = {part: document.texts(f"{part}_filenames") for part in ("train", "val", "test")}
    names = {part: {_bare(name) for name in given or []} for part, given in lists.items()}
    held_key = next((part for part in ("test", "val") if names[part]), None)
    if held_key is None and not names["train"]:
        return views, None, []
    known = {_bare(view.name) for view in views}
    notes: list[str] = []
    strangers = sorted(set().union(*names.values()) - known)
    if strangers:
        notes.append(f"{len(strangers)} file names of the split belong to no image that is used: {listed(strangers)}")
    never = names["val"] | names["test"]
    both = sorted(names["train"] & never & known)
    if both:
        notes.append(f"{len(both)} images are listed for training and held out; not trained on: {listed(both)}")
    held_out = names[held_key] if held_key else known - names["train"]
    train = (names["train"] or known) - never - held_out
    parts = [(view, _bare(view.name)) for view in views]
    sorted_views = tuple(
        replace(view, part="test" if bare in held_out else "train" if bare in train else "unused")
        for view, bare in parts
    )
    unused = [view.name for view in sorted_views if view.part == "unused"]
    if unused:
        notes.append(f"{len(unused)} images are in no part of the split that is used: {listed(unused)}")
    rule = f"{held_key}_filenames of {_FILE}" if held_key else f"images that are not in train_filenames of {_FILE}"
    return sorted_views, rule if held_out & known else None, notes


def _bare(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/"))


def _unlisted_masks(folder: Path, views: tuple[View, ...]) -> list[str]:
    """Says that there is a folder of masks that no frame lists."""
    if (folder / MASK_FOLDER).is_dir() and not any(view.mask for view in views):
        return [f"the folder {MASK_FOLDER} is not used: no frame of {_FILE} lists a mask under 'mask_path'"]
    return []


def _unused_notes(document: JsonObject) -> list[str]:
    """What the file offers and nothing here uses yet."""
    entries = document.objects("frames", "frame")
    notes: list[str] = []
    for key, what in _UNUSED.items():
        count = sum(key in entry for entry in entries)
        if count:
            notes.append(f"{what} ('{key}' of {count} frames) are not used yet")
        elif key in document and document.values[key] != [0, 0, 0, 0]:
            notes.append(f"{what} ('{key}') are not used yet")
    if "applied_transform" in document or "applied_scale" in document:
        notes.append(
            "'applied_transform' and 'applied_scale' are not undone: results are in the coordinates of transforms.json"
        )
    return notes
