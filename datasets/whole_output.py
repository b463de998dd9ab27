"""Files and folders that appear complete or not at all: written aside, flushed to the disk, renamed."""

import errno
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError

_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextmanager
def whole_file(path: Path) -> Generator[Path]:
    """Gives an empty file beside `path` with the same ending to write to, and renames it to `path` when all went well.

    After an exception `path` is as it was before and the part that was written is removed. Missing parents are made.

    Raises:
        OutputError: Nothing can be written there, which is found out first of all, or the disk is full.
    """
    aside = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        aside.touch()
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        yield aside
        _flush(aside)
        os.replace(aside, path)
        _flush(path.parent)
    except OSError as error:
        if _is_of_the_disk(error, aside, path):
            raise _not_writable(path, error) from error
        raise
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, *, replace: bool = False) -> Generator[Path]:
    """Gives a new folder beside `path` to write to, and renames it to `path` when all went well.

    After an exception `path` is as it was before and what was written is removed. Missing parents are made.

    Args:
        replace: What lies at `path` goes away in the moment in which the new folder is complete; else only an empty
            folder may be there.

    Raises:
        OutputError: Nothing can be written there, which is found out first of all, or the disk is full.
    """
    aside, old = (path.with_name(f".{path.name}.{os.getpid()}.{part}") for part in ("partial", "old"))
    try:
        aside.mkdir(parents=True)
    except OSError as error:
        raise _not_writable(path, error) from error
    try:
        yield aside
        for written in (*aside.rglob("*"), aside):
            _flush(written)
        if replace and path.exists():
            os.replace(path, old)
        os.replace(aside, path)
        _flush(path.parent)
    except OSError as error:
        if _is_of_the_disk(error, aside, path):
            raise _not_writable(path, error) from error
        raise
    finally:
        if old.exists() and not path.exists():
            os.replace(old, path)
        for rest in (aside, old):
            shutil.rmtree(rest, ignore_errors=True)


def _flush(path: Path) -> None:
    """Has a file, or a folder's list of names, on the disk before anything that comes after it."""
    posix = os.name == "posix"
    if not posix and (path.is_dir() or not os.access(path, os.W_OK)):
        return  # Windows flushes what is open for writing
    handle = os.open(path, os.O_RDONLY if posix else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _is_of_the_disk(error: OSError, *paths: Path) -> bool:
    named = isinstance(error.filename, str | Path) and any(Path(error.filename).is_relative_to(path) for path in paths)
    return named or error.errno in _DISK_FAULTS


def _not_writable(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"{path}: cannot be written ({error.strerror or error}); see to the space and the permissions there, "
        "or name another place"
    )
