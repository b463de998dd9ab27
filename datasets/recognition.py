"""Which formats of poses a folder holds, told by its content."""

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from .blender import read_blender
from .colmap import find_colmap_model, read_colmap
from .errors import MissingFolderError, NoPosesError
from .image_files import IMAGE_ENDINGS
from .listed_files import listed
from .llff import read_llff
from .transforms_json import is_nerfstudio, read_transforms_json
from .views import Capture

Reader = Callable[..., Capture]


class Recognised(NamedTuple):
    """A format that was found."""

    format: str
    evidence: str
    """The file that shows it."""
    read: Reader


def recognise(folder: Path) -> list[Recognised]:
    """All formats of poses in a folder, the one to take first: Blender, transforms.json, COLMAP, LLFF."""
    found: list[Recognised] = []
    if (folder / "transforms_train.json").is_file():
        found.append(Recognised("blender", "transforms_train.json", read_blender))
    if (folder / "transforms.json").is_file():
        dialect = "nerfstudio" if is_nerfstudio(folder) else "instant-ngp"
        found.append(Recognised(dialect, "transforms.json", read_transforms_json))
    model = find_colmap_model(folder)
    if model:
        found.append(Recognised("colmap", f"{model.name}/cameras{model.ending}".removeprefix("./"), read_colmap))
    if (folder / "poses_bounds.npy").is_file():
        found.append(Recognised("llff", "poses_bounds.npy", read_llff))
    return found


def require_format(folder: Path) -> list[Recognised]:
    """As `recognise`, but a folder without poses is an error.

    Raises:
        MissingFolderError: if the folder is not there.
        NoPosesError: if it has no poses, with the ways to get some.
    """
    if not folder.exists():
        raise MissingFolderError(f"{folder}: expected a folder of posed photos, found nothing; check the path")
    if not folder.is_dir():
        raise MissingFolderError(
            f"{folder}: expected a folder of posed photos, found a file; give the folder it lies in"
        )
    found = recognise(folder)
    if not found:
        raise NoPosesError(_no_poses(folder))
    return found


def several_note(found: list[Recognised]) -> str | None:
    """Says which of several formats is taken; None where there is only one."""
    if len(found) < 2:
        return None
    others = ", ".join(f"{other.format} ({other.evidence})" for other in found[1:])
    return f"found {len(found)} formats: {found[0].format} ({found[0].evidence}) is taken, not {others}"


def _no_poses(folder: Path) -> str:
    children = sorted(path for path in folder.iterdir() if path.is_dir())
    deeper = [path.name for path in children if recognise(path)]
    sources = [path for path in (folder, folder / "images") if path.is_dir()]
    counts = {source: sum(path.suffix.lower() in IMAGE_ENDINGS for path in source.iterdir()) for source in sources}
    source, images = max(counts.items(), key=lambda item: item[1])
    message = (
        f"{folder}: expected poses in one of these: transforms_train.json (Blender), transforms.json (instant-ngp, "
        "nerfstudio), sparse/0/cameras.bin or .txt (COLMAP), poses_bounds.npy (LLFF); found none"
    )
    if deeper:
        return f"{message}, but poses in these folders of it: {listed(deeper)}; give one of them"
    if images:
        return (
            f"{message}, and {images} images; get poses by `neufield data pose {shlex.quote(str(source))}` "
            "and give the folder that it writes"
        )
    return f"{message}, and no images; check the path"
