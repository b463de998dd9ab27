"""A folder is complete or absent, and what was there before is kept until then."""

import errno
from pathlib import Path

import pytest

from neufield.datasets import OutputFolderError
from neufield.datasets.whole_folder import whole_folder


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


def test_faults_of_the_disk_are_told(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputFolderError, match=r"cannot be written .*name another folder"):  # noqa: SIM117
        with whole_folder(tmp_path / "file" / "b"):
            raise AssertionError
    with pytest.raises(OutputFolderError, match=r"b: cannot be written \(full\)"), whole_folder(tmp_path / "b"):
        raise OSError(errno.ENOSPC, "full")
    with pytest.raises(FileNotFoundError), whole_folder(tmp_path / "b"):
        Path("/nowhere/at/all").read_text()
