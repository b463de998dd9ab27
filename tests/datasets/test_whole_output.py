"""A file or folder is complete or absent, and what was there before is kept until then."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from neufield.datasets import OutputError
from neufield.datasets.whole_output import whole_file, whole_folder


def test_a_file_that_failed_leaves_what_was_there(tmp_path: Path):
    path = tmp_path / "a.txt"
    path.write_text("before")

    def fail() -> None:
        with whole_file(path) as aside:
            aside.write_text("half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("whole", [whole_file, whole_folder])
def test_it_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: Any):
    """fsync of what was written, the rename, then fsync of the folder it is in: a power cut finds all or nothing."""
    done: list[str] = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("sync"), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), rename(a, b)))
    with whole(tmp_path / "a") as aside:
        (aside / "file" if aside.is_dir() else aside).write_text("new")
    assert done == ["sync", *(["sync"] if whole is whole_folder else []), "rename", "sync"]


def test_faults_of_the_disk_are_told_of_files(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"file/b: cannot be written \(.*\); see to the space"):  # noqa: SIM117
        with whole_file(tmp_path / "file" / "b"):
            raise AssertionError
    with pytest.raises(OutputError, match=r"b: cannot be written \(full\)"), whole_file(tmp_path / "b"):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(FileNotFoundError), whole_file(tmp_path / "b"):
        Path("/nowhere/at/all").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_it_appears_when_complete(tmp_path: Path):
    with whole_folder(tmp_path / "a" / "b") as aside:
        (aside / "file").write_text("new")
        assert not (tmp_path / "a" / "b").exists()
    assert (tmp_path / "a" / "b" / "file").read_text() == "new"
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b"]


def test_a_failure_leaves_nothing(tmp_path: Path):
    def fail() -> None:
        with whole_folder(tmp_path / "b") as aside:
            (aside / "file").write_text("new")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("fails", [False, True])
def test_replacing(tmp_path: Path, fails: bool):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "file").write_text("old")
    try:
        with whole_folder(tmp_path / "b", replace=True) as aside:
            (aside / "file").write_text("new")
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert (tmp_path / "b" / "file").read_text() == ("old" if fails else "new")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_faults_of_the_disk_are_told_of_folders(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"cannot be written .*name another place"):  # noqa: SIM117
        with whole_folder(tmp_path / "file" / "b"):
            raise AssertionError
    with pytest.raises(OutputError, match=r"b: cannot be written \(full\)"), whole_folder(tmp_path / "b"):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "b"):
        Path("/nowhere/at/all").read_text()
