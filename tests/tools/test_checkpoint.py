import json
import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neufield.tools.checkpoint import VERSION, Checkpoint, load_checkpoint, load_into, save_checkpoint
from neufield.tools.errors import RunError

FACTS = {"step": 7, "seconds": 1.5, "task": {"rays": 3, "names": ["a", "b"], "none": None}}


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "model.table": torch.randn(5, 3, generator=generator),
        "model.bits": torch.arange(9, dtype=torch.uint8),
        "model.seen": torch.tensor([True, False]),
        "optimizer.count": torch.arange(4, dtype=torch.int16),
        "model.scalar": torch.tensor(2.5, dtype=torch.float64),
        "model.empty": torch.zeros(0, 2),
        "model.across": torch.randn(3, 4, generator=generator).T,
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoint" / "latest.safetensors"


def test_round_trip(path: Path):
    save_checkpoint(path, Checkpoint(tensors(), FACTS))
    found = load_checkpoint(path)
    assert found.facts == FACTS
    assert found.tensors.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found.tensors[name].dtype == tensor.dtype
        assert torch.equal(found.tensors[name], tensor)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_others_may_read_it_as_they_may_any_file(path: Path):
    save_checkpoint(path, Checkpoint(tensors(), FACTS))
    other = path.with_name("other")
    other.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_the_facts_are_json_in_the_header(path: Path):
    save_checkpoint(path, Checkpoint(tensors(), FACTS))
    content = path.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert json.loads(header["__metadata__"]["facts"]) == FACTS


def test_a_failure_while_writing_leaves_the_old_one(path: Path, monkeypatch: pytest.MonkeyPatch):
    save_checkpoint(path, Checkpoint(tensors(), FACTS))

    def full(*_arguments: object, **_options: object) -> None:
        raise OSError("no space left on device")

    for broken in ("safetensors.torch.save_file", "os.fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(broken, full)
            with pytest.raises(OSError, match="no space"):
                save_checkpoint(path, Checkpoint(tensors(), {"step": 8}))
        assert load_checkpoint(path).facts == FACTS
        assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_it_is_on_the_disk_before_it_has_its_name(path: Path, monkeypatch: pytest.MonkeyPatch):
    """fsync of the file, then the rename, then fsync of the folder: a power cut finds a whole file."""
    done: list[str] = []
    sync, rename = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("sync"), sync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), rename(a, b)))
    save_checkpoint(path, Checkpoint(tensors(), FACTS))
    assert done == ["sync", "rename", "sync"]


def test_missing(path: Path):
    with pytest.raises(
        RunError, match=r"There is no checkpoint .*latest.safetensors: the run was stopped before"
    ) as error:
        load_checkpoint(path)
    assert "--force" in str(error.value)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.01, 0.3, 0.5, 0.9, 0.99])
def test_cut_short(path: Path, share: float):
    save_checkpoint(path, Checkpoint(tensors(), FACTS))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(RunError, match=r"latest.safetensors is damaged or cut short .*--force"):
        load_checkpoint(path)


@pytest.mark.parametrize("missing", [1, 7, 8, 9, 100])
def test_cut_short_by_a_few_bytes(path: Path, missing: int):
    save_checkpoint(path, Checkpoint(tensors(), FACTS))
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(RunError, match="damaged or cut short"):
        load_checkpoint(path)


def test_no_safetensors_at_all(path: Path):
    path.parent.mkdir()
    path.write_bytes(b"PK\x03\x04" * 100)
    with pytest.raises(RunError, match="damaged or cut short"):
        load_checkpoint(path)


def test_of_another_program(path: Path):
    path.parent.mkdir()
    save_file(tensors() | {"model.across": torch.zeros(1)}, path)
    with pytest.raises(RunError, match=r"latest.safetensors is not a checkpoint of neufield"):
        load_checkpoint(path)


@pytest.mark.parametrize("version", ["0", "2", "next"])
def test_of_another_version(path: Path, version: str):
    path.parent.mkdir()
    save_file({"a": torch.zeros(1)}, path, metadata={"format": "neufield", "version": version, "facts": "{}"})
    with pytest.raises(RunError, match=f"version {version} of the checkpoint format.* reads version {VERSION}"):
        load_checkpoint(path)


@pytest.mark.parametrize("facts", [{}, {"facts": "{"}])
def test_without_facts(path: Path, facts: dict[str, str]):
    path.parent.mkdir()
    save_file({"a": torch.zeros(1)}, path, metadata={"format": "neufield", "version": str(VERSION), **facts})
    with pytest.raises(RunError, match="damaged"):
        load_checkpoint(path)


def test_load_into_copies_in_place():
    weights = torch.nn.Linear(2, 3)
    before = weights.weight
    load_into(weights.state_dict(), {"m.weight": torch.ones(3, 2), "m.bias": torch.zeros(3)}, "m.", Path("x"))
    assert weights.weight is before
    assert torch.equal(weights.weight, torch.ones(3, 2))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({}, "m.weight is missing, expected torch.float32 (3, 2)"),
        ({"m.weight": torch.ones(2, 3)}, "m.weight is torch.float32 (2, 3), expected torch.float32 (3, 2)"),
        ({"m.weight": torch.ones(3, 2).double()}, "m.weight is torch.float64 (3, 2), expected torch.float32 (3, 2)"),
    ],
)
def test_load_into_refuses_what_does_not_fit(found: dict[str, torch.Tensor], text: str):
    with pytest.raises(RunError) as error:
        load_into({"weight": torch.zeros(3, 2)}, found, "m.", Path("runs/x/c.safetensors"))
    assert text in str(error.value)
    assert "runs/x/c.safetensors does not fit the run's config.yaml" in str(error.value)
