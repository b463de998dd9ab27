"""What many frames have in common is told once."""

from collections.abc import Callable
from pathlib import Path

import pytest

from neufield.datasets import (
    DataError,
    FormatError,
    ImageFileError,
    PoseError,
    TooFewImagesError,
    inspect_folder,
    load_posed_scene,
)
from neufield.datasets.faults import told_once

Write = Callable[..., Path]


def test_faults_that_differ_in_names_and_numbers_are_one():
    faults = [PoseError(f"a.json, frame {i} (images/{i}.png): expected a rotation, off by 0.{i}4") for i in range(3)]
    other = FormatError("a.json, frame 9: expected 'fl_x' to be a finite number")
    found = told_once([*faults, other, faults[0]])
    assert [str(fault) for fault in found] == [f"{faults[0]} (and 2 more like it)", str(other)]
    assert [type(fault) for fault in found] == [PoseError, FormatError]


def test_faults_of_other_kinds_are_told_each():
    faults = [ImageFileError("a.png: not read"), FormatError("a.png: not found"), FormatError("a.png: found NaN")]
    assert told_once(faults) == faults


def test_what_follows_is_not_told():
    few = TooFewImagesError("found 0 and 0")
    assert told_once([few]) == [few]
    assert [str(fault) for fault in told_once([PoseError("bad"), few])] == ["bad"]


def test_a_mistake_of_all_frames_is_told_once(write_transforms: Write):
    """And not that posed images should be added, of which there are enough."""
    folder = write_transforms(frames={i: {"mask_path": f"masks/{i:03d}.png"} for i in range(10)})
    report = inspect_folder(folder)
    assert report.lines()[-1] == "not ready: 1 problem"
    assert "transforms.json, frame 0: expected the mask 'masks/000.png'" in report.problems[0]
    assert report.problems[0].endswith("remove the key from the frame (and 9 more like it)")
    with pytest.raises(DataError) as caught:
        load_posed_scene(folder)
    assert str(caught.value) == report.problems[0]


def test_photos_that_cannot_be_decoded_are_told_once(write_transforms: Write):
    folder = write_transforms()
    for i in (3, 5, 6):
        path = folder / f"images/{i:03d}.png"
        path.write_bytes(path.read_bytes()[:-60])
    (problem,) = inspect_folder(folder).problems
    assert problem.startswith("images/003.png: cannot be read as an image")
    assert problem.endswith("(and 2 more like it)")
