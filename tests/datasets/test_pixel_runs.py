"""Runs of pixels name each chosen pixel once, in order, and no other."""

import numpy as np
import pytest
import torch

from neufield.datasets.pixel_runs import PixelRuns

MASKS = {
    "all": np.ones((3, 4), dtype=bool),
    "none": np.zeros((3, 4), dtype=bool),
    "first and last": np.array([[True, False], [False, False], [False, True]]),
    "middle": np.array([[False, True], [True, True], [False, False]]),
    "noise": np.random.default_rng(0).random((7, 5)) < 0.5,
}


@pytest.mark.parametrize("name", MASKS)
def test_places_are_those_of_the_mask(name: str) -> None:
    mask = MASKS[name]
    runs = PixelRuns.of_mask(mask)
    assert len(runs) == mask.sum()
    assert runs.places(torch.arange(len(runs))).tolist() == np.flatnonzero(mask).tolist()
    assert runs.within(0, mask.size).tolist() == mask.ravel().tolist()


def test_a_run_goes_on_over_the_end_of_a_row() -> None:
    assert len(PixelRuns.of_mask(MASKS["all"]).shift) == 1
    assert len(PixelRuns.of_mask(MASKS["middle"]).shift) == 1


def test_joined_runs_are_those_of_the_joined_images() -> None:
    whole = np.ones((2, 2), dtype=bool)
    masks = [MASKS["noise"], whole, MASKS["none"], MASKS["middle"], whole]
    parts = [None if mask is whole else PixelRuns.of_mask(mask) for mask in masks]
    joined = PixelRuns.joined(parts, [mask.size for mask in masks])
    row = np.concatenate([mask.ravel() for mask in masks])
    assert joined.places(torch.arange(len(joined))).tolist() == np.flatnonzero(row).tolist()
    place = 0
    for mask in masks:
        assert joined.within(place, place + mask.size).tolist() == mask.ravel().tolist()
        place += mask.size
    assert joined.within(3, 3).tolist() == []


@pytest.mark.parametrize("share", [0.02, 0.5, 0.999])
def test_pixels_are_found_within_runs_of_all_lengths(share: float) -> None:
    mask = np.random.default_rng(1).random((300, 70)) < share
    mask[100:150] = True
    runs = PixelRuns.of_mask(mask)
    numbers = torch.randperm(len(runs), generator=torch.Generator().manual_seed(0))
    assert runs.places(numbers).tolist() == np.flatnonzero(mask)[numbers.numpy()].tolist()


def test_runs_cost_little() -> None:
    """A hole of any shape in a photo of full HD costs two numbers a row."""
    mask = np.ones((1080, 1920), dtype=bool)
    mask[200:800, 300:900] = False
    runs = PixelRuns.of_mask(mask)
    assert 8 * (runs.before.numel() + runs.shift.numel()) < 10_000
