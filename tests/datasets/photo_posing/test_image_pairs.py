"""Pairs come once each; look-alikes are found by their features alone."""

import numpy as np
import pytest

from neufield.datasets.photo_posing.image_pairs import (
    MOST_EXHAUSTIVE,
    all_pairs,
    look_alike_pairs,
    neighbour_pairs,
    pairs_to_match,
    resolved_matching,
    signatures_of,
)


def descriptors(kinds: list[int], features: int = 300) -> list[np.ndarray]:
    """Features of photos that show one of several things each."""
    random = np.random.default_rng(1)
    things = random.integers(0, 256, (max(kinds) + 1, 20, 128))
    drawn = [things[kind][random.integers(0, 20, features)] for kind in kinds]
    return [(x + random.integers(-20, 21, x.shape)).clip(0, 255).astype(np.uint8) for x in drawn]


@pytest.mark.parametrize("photos", [0, 1, 2, 7])
def test_all_pairs(photos: int):
    pairs = all_pairs(photos)
    assert len(pairs) == len(set(pairs)) == photos * (photos - 1) // 2
    assert all(0 <= i < j < photos for i, j in pairs)


def test_neighbours_reach_far_in_few_steps():
    pairs = neighbour_pairs(100)
    assert len(pairs) == len(set(pairs))
    assert {j for i, j in pairs if i == 0} == {*range(1, 11), 16, 32, 64}
    assert neighbour_pairs(5) == [(i, j) for i in range(5) for j in range(i + 1, 5)]
    assert neighbour_pairs(0) == []


def test_look_alikes_show_the_same_thing():
    kinds = [i % 3 for i in range(15)]
    signatures = signatures_of(descriptors(kinds), seed=0)
    np.testing.assert_allclose(np.linalg.norm(signatures, axis=1), 1.0, rtol=1e-5)
    assert all(kinds[i] == kinds[j] for i, j in look_alike_pairs(signatures, 4))


def test_signatures_repeat_and_stand_featureless_photos():
    photos = [*descriptors([0, 1]), np.zeros((0, 128), np.uint8)]
    first = signatures_of(photos, seed=3)
    assert (first == signatures_of(photos, seed=3)).all()
    assert (first[2] == 0.0).all()
    assert np.isfinite(signatures_of([np.zeros((0, 128), np.uint8)] * 3, seed=0)).all()


def test_every_way_gives_ordered_pairs_once():
    found = descriptors([0] * 6 + [1] * 6)
    for matching in ("exhaustive", "sequential", "similar"):
        pairs = pairs_to_match(matching, 12, found, seed=0)
        assert len(pairs) == len(set(pairs))
        assert all(i < j for i, j in pairs)
    assert set(neighbour_pairs(12)) <= set(pairs_to_match("sequential", 12, found, seed=0))


def test_what_auto_stands_for():
    assert resolved_matching("auto", MOST_EXHAUSTIVE, in_time=True) == "exhaustive"
    assert resolved_matching("auto", MOST_EXHAUSTIVE + 1, in_time=True) == "sequential"
    assert resolved_matching("auto", MOST_EXHAUSTIVE + 1, in_time=False) == "similar"
    assert resolved_matching("sequential", 5, in_time=False) == "sequential"
