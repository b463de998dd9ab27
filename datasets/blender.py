"""Blender's synthetic scenes: `transforms_train.json`, `transforms_val.json`, `transforms_test.json`."""

from pathlib import Path

from .depth_maps import unused_depth_notes
from .errors import DataError
from .json_document import read_json
from .listed_files import missing_note, require_images
from .scene_frame import SceneFrame, blender_frame
from .transforms_frames import read_frames
from .transforms_json import stated_frame
from .views import Capture, Part, Report, View


def read_blender(folder: Path, report: Report, *, downscale: int = 1) -> Capture:
    """Reads a Blender scene: only the train split is trained on, the test split (or else val) is held out.

    Raises:
        DataError: if a file is not what it should be, unless `report` collects the fault.
    """
    held_out = next((n for n in ("transforms_test.json", "transforms_val.json") if (folder / n).is_file()), None)
    views: list[View] = []
    notes: list[str] = []
    parts: list[tuple[str, Part]] = [("transforms_train.json", "train")]
    if held_out:
        parts.append((held_out, "test"))
    for name, part in parts:
        try:
            document = read_json(folder / name)
            frames = read_frames(document, folder, report, part=part, downscale=downscale)
            require_images(len(frames.views), frames.total, frames.missing, name)
        except DataError as error:
            report(error)
            continue
        views.extend(frames.views)
        notes.extend(unused_depth_notes(document))
        if frames.missing:
            notes.append(missing_note(frames.missing, frames.total, name))
    if held_out == "transforms_test.json" and (folder / "transforms_val.json").is_file():
        notes.append("transforms_val.json is not used: neither trained on nor scored")
    frame = _frame(folder, report)
    return Capture(tuple(views), held_out, frame, notes=tuple(notes))


def _frame(folder: Path, report: Report) -> SceneFrame:
    try:
        return stated_frame(read_json(folder / "transforms_train.json")) or blender_frame()
    except DataError as error:
        report(error)
        return blender_frame()
