"""Which photos are compared with which: all with all while they are few, else neighbours in time and look-alikes."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from jaxtyping import Float32, Int64, UInt8

Matching = Literal["auto", "exhaustive", "sequential", "similar"]
Pair = tuple[int, int]

MOST_EXHAUSTIVE = 80
"""Photos up to which `auto` compares all with all: 3160 pairs, some minutes on two cores."""

_NEIGHBOURS = 10
_LOOK_ALIKES = {"sequential": 8, "similar": 30}
_WORDS, _ROUNDS = 32, 10
_LARGEST_SAMPLE = 20_000  # descriptors that the words are found from


def resolved_matching(matching: Matching, photos: int, *, in_time: bool) -> Matching:
    """What `auto` stands for, given how many photos there are and whether they are frames of a video."""
    if matching != "auto":
        return matching
    if photos <= MOST_EXHAUSTIVE:
        return "exhaustive"
    return "sequential" if in_time else "similar"


def all_pairs(photos: int) -> list[Pair]:
    """Every pair once."""
    return [(i, j) for i in range(photos) for j in range(i + 1, photos)]


def neighbour_pairs(photos: int) -> list[Pair]:
    """Every photo with the ten that follow, and with those that are 16, 32, 64, ... further, against drift."""
    steps = list(range(1, _NEIGHBOURS + 1))
    steps += [2**k for k in range(4, max(photos, 1).bit_length())]
    return [(i, i + step) for i in range(photos) for step in steps if i + step < photos]


def look_alike_pairs(signatures: Float32[np.ndarray, "photos numbers"], count: int) -> list[Pair]:
    """Every photo with the `count` others whose signatures have the largest inner products with its own."""
    photos = len(signatures)
    alike = signatures @ signatures.T
    np.fill_diagonal(alike, -np.inf)
    best = np.argsort(-alike, axis=1, kind="stable")[:, : min(count, photos - 1)]
    return [(i, int(j)) for i in range(photos) for j in best[i]]


def pairs_to_match(
    matching: Matching, photos: int, descriptors: Sequence[UInt8[np.ndarray, "_ 128"]], *, seed: int
) -> list[Pair]:
    """The pairs that a way of matching asks for, each one once and ordered.

    Args:
        matching: Not `auto`.
        descriptors: Of every photo, in the same order; not looked at by `exhaustive`.
        seed: Of the choice of the words that look-alikes are told by.
    """
    if matching == "exhaustive":
        return all_pairs(photos)
    pairs = neighbour_pairs(photos) if matching == "sequential" else []
    pairs += look_alike_pairs(signatures_of(descriptors, seed=seed), _LOOK_ALIKES[matching])
    return sorted({(min(pair), max(pair)) for pair in pairs})


def signatures_of(
    descriptors: Sequence[UInt8[np.ndarray, "_ 128"]], *, seed: int
) -> Float32[np.ndarray, "photos numbers"]:
    """One unit vector per photo that says what kinds of features it has; zero for a photo without any.

    Words are the means of k-means over a sample of the photos' own features, so that no vocabulary has to be
    downloaded; a signature is the sum of the features' differences to their words, word by word (VLAD, Jégou et al.
    2010), each word's part brought to length 1 (Arandjelović and Zisserman 2013).
    """
    random = np.random.default_rng(seed)
    share = max(_LARGEST_SAMPLE // max(len(descriptors), 1), 1)
    samples = [_some(found, share, random) for found in descriptors]
    words = _words(np.concatenate(samples), random)
    return np.stack([_signature(sample, words) for sample in samples])


def _some(
    descriptors: UInt8[np.ndarray, "features 128"], count: int, random: np.random.Generator
) -> Float32[np.ndarray, "sample 128"]:
    chosen = random.permutation(len(descriptors))[:count]
    return descriptors[np.sort(chosen)].astype(np.float32)


def _words(sample: Float32[np.ndarray, "sample 128"], random: np.random.Generator) -> Float32[np.ndarray, "words 128"]:
    if not len(sample):
        return np.zeros((1, 128), np.float32)
    words = sample[random.permutation(len(sample))[:_WORDS]].copy()
    for _ in range(_ROUNDS):
        nearest = _nearest(sample, words)
        for word in range(len(words)):
            if (members := nearest == word).any():
                words[word] = sample[members].mean(axis=0)
    return words


def _nearest(
    features: Float32[np.ndarray, "features 128"], words: Float32[np.ndarray, "words 128"]
) -> Int64[np.ndarray, "features"]:
    return (0.5 * (words * words).sum(axis=1) - features @ words.T).argmin(axis=1)


def _signature(
    features: Float32[np.ndarray, "features 128"], words: Float32[np.ndarray, "words 128"]
) -> Float32[np.ndarray, "numbers"]:
    parts = np.zeros((_WORDS, 128), np.float32)
    if len(features):
        nearest = _nearest(features, words)
        np.add.at(parts, nearest, features - words[nearest])
    lengths = np.linalg.norm(parts, axis=1, keepdims=True)
    flat = (parts / np.maximum(lengths, 1e-12)).ravel()
    return flat / max(float(np.linalg.norm(flat)), 1e-12)
