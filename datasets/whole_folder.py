"""Folders that appear complete or not at all."""

import errno
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputFolderError

_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Generator[Path]:
    """Gives a new folder beside `path` to write to, and renames it to `path` when all went well.

    After an exception `path` is as it was before and what was written is removed. Missing parents are made.

    Args:
        replace: What lies at `path` goes away in the moment in which the new folder is complete; else only an empty
            folder may be there.

    Raises:
        OutputFolderError: Nothing can be written there, or the disk is full.
    """
    aside, old = (path.with_name(f".{path.name}.{os.getpid()}.{part}") for part in ("partial", "old"))
    try:
        aside.mkdir(parents=True)
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        yield aside
        if replace and path.exists():
            os.replace(path, old)
        os.replace(aside, path)
    except OSError as error:
        if error.errno in _DISK_FAULTS or _is_within(error.filename, (aside, path)):
            raise _not_writable(path, error) from error
        raise
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
        for rest in (aside, old):
            shutil.rmtree(rest, ignore_errors=True)


def _is_within(file: object, folders: tuple[Path, ...]) -> bool:
    return isinstance(file, str | Path) and any(Path(file).is_relative_to(folder) for folder in folders)


def _not_writable(path: Path, error: OSError) -> OutputFolderError:
    return OutputFolderError(f"{path}: cannot be written ({error.strerror or error}); name another folder")
