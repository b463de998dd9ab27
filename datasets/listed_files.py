"""Files that a file of poses lists: found inside the data folder and nowhere else, and named where they are missing."""

import posixpath
from collections.abc import Iterable, Sequence
from pathlib import Path, PureWindowsPath

from .errors import FormatError, UnsafePathError
from .image_files import IMAGE_ENDINGS
from .json_document import JsonObject

_NAMES_SHOWN = 20


def inside(folder: Path, relative: str, where: str) -> Path:
    """The path of a listed file, which must lie inside the data folder, links resolved.

    Raises:
        UnsafePathError: if it does not.
    """
    plain = relative.replace("\\", "/")
    windows = PureWindowsPath(relative)
    outside = f"{where}: expected a path inside {folder}, found {relative!r}; put the images into the data folder"
    if "\0" in plain or plain.startswith("/") or windows.drive or windows.root:
        raise UnsafePathError(outside)
    path = folder / plain
    try:
        resolved = path.resolve()
    except (OSError, RuntimeError) as error:
        raise UnsafePathError(f"{outside} ({error})") from error
    if not resolved.is_relative_to(folder.resolve()):
        raise UnsafePathError(outside)
    return path


def find_image(path: Path) -> Path | None:
    """The file at `path`, or at `path` with an image's ending; None if there is none."""
    candidates = (path, *(path.with_name(path.name + ending) for ending in IMAGE_ENDINGS))
    return next((candidate for candidate in candidates if _is_file(candidate)), None)


def listed_companion(entry: JsonObject, key: str, folder: Path, kind: str) -> Path | None:
    """The file beside a photo that a frame lists under `key`; None if it lists none.

    Args:
        kind: What the file is, for messages: mask or depth map.

    Raises:
        FormatError: if it is not there.
    """
    name = entry.text(key)
    if name is None:
        return None
    path = inside(folder, name, entry.where)
    if not _is_file(path):
        raise FormatError(
            f"{entry.where}: expected the {kind} {name!r} ('{key}') in {folder}, found nothing; copy it there, or "
            "remove the key from the frame"
        )
    return path


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is too long
        return False


def listed(names: Iterable[str]) -> str:
    """Names in one line, the first twenty of them."""
    names = list(names)
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


def missing_note(missing: Sequence[str], total: int, source: str) -> str:
    """Says which of the listed images are not there."""
    return f"{len(missing)} of {total} frames of {source} list files that are not there: {listed(missing)}"


def relative_name(path: Path, folder: Path) -> str:
    """The name of a file within the data folder: forward slashes, neither `.` nor `..`."""
    return posixpath.normpath(path.relative_to(folder).as_posix())


def require_images(count: int, total: int, missing: Sequence[str], source: str) -> None:
    """Raises FormatError if a file of poses lists no image that is there."""
    if count:
        return
    if not total:
        raise FormatError(f"{source}: expected at least one posed image, found none; make the poses again")
    if missing:
        raise FormatError(
            f"{source}: none of its {total} images is there ({listed(missing)}); copy the images into the data folder"
        )


def smaller_copy(folder: Path, path: Path, factor: int) -> Path | None:
    """The photo's copy in `images_2`, `images_4`, ... beside `images`, whatever its ending; None if there is none."""
    below = path.relative_to(folder)
    if factor == 1 or below.parts[0] != "images":
        return None
    copy = folder.joinpath(f"images_{factor}", *below.parts[1:])
    candidates = (copy, *(copy.with_suffix(ending) for ending in IMAGE_ENDINGS))
    found = next((candidate for candidate in candidates if _is_file(candidate)), None)
    return found and inside(folder, str(found.relative_to(folder)), path.name)
