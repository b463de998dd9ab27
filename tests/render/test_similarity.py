"""Similarities form a group, survive JSON, and refuse what is none."""

import json

import pytest
import torch

from neufield.render.similarity import Similarity


def random_similarity(seed: int) -> Similarity:
    generator = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    rotation = rotation * torch.linalg.det(rotation).sign()
    return Similarity(0.3 + seed, rotation, torch.randn(3, generator=generator, dtype=torch.float64))


def test_inverse_cancels() -> None:
    similarity = random_similarity(1)
    points = torch.randn(10, 3, dtype=torch.float64)
    torch.testing.assert_close(similarity.inverse().apply(similarity.apply(points)), points)
    torch.testing.assert_close(similarity.compose(similarity.inverse()).apply(points), points)


def test_compose_applies_the_argument_first() -> None:
    second, first = random_similarity(1), random_similarity(2)
    points = torch.randn(10, 3, dtype=torch.float64)
    torch.testing.assert_close(second.compose(first).apply(points), second.apply(first.apply(points)))


def test_directions_are_differences_without_the_scale() -> None:
    similarity = random_similarity(3)
    a, b = torch.randn(2, 5, 3, dtype=torch.float64)
    difference = (similarity.apply(a) - similarity.apply(b)) / similarity.scale
    torch.testing.assert_close(similarity.apply_directions(a - b), difference)


def test_apply_keeps_dtype_and_batch_shape() -> None:
    points = torch.randn(2, 4, 3)
    assert Similarity.identity().apply(points).dtype == torch.float32
    torch.testing.assert_close(Similarity.identity().apply(points), points)


def test_dict_survives_json_exactly() -> None:
    similarity = random_similarity(4)
    restored = Similarity.from_dict(json.loads(json.dumps(similarity.to_dict())))
    assert restored.scale == similarity.scale
    assert torch.equal(restored.rotation, similarity.rotation)
    assert torch.equal(restored.translation, similarity.translation)


@pytest.mark.parametrize(
    ("scale", "rotation", "message"),
    [
        (0.0, torch.eye(3), "scale 0"),
        (float("nan"), torch.eye(3), "scale nan"),
        (1.0, 2 * torch.eye(3), "not orthonormal"),
        (1.0, torch.diag(torch.tensor([1.0, 1.0, -1.0])), "reflection"),
    ],
)
def test_refuses_what_is_no_similarity(scale: float, rotation: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Similarity(scale, rotation, torch.zeros(3))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scale": 1.0}, "needs 'scale', 'rotation' and 'translation'"),
        ({"scale": 1.0, "rotation": [[1.0]], "translation": [0.0, 0.0, 0.0]}, "3x3 rotation"),
    ],
)
def test_from_dict_says_what_is_missing(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Similarity.from_dict(values)


@pytest.mark.parametrize("flat", [False, True])
def test_aligning_finds_the_map_between_points(flat: bool) -> None:
    generator = torch.Generator().manual_seed(2)
    rotation = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64)).Q
    truth = Similarity(0.7, rotation * torch.linalg.det(rotation).sign(), torch.tensor([1.0, -2.0, 3.0]))
    source = torch.randn(9, 3, generator=generator, dtype=torch.float64)
    if flat:
        source[:, 1] = 0.5  # a mirror image fits as well; a rotation is found all the same
    found = Similarity.aligning(source, truth.apply(source))
    torch.testing.assert_close(found.apply(source), truth.apply(source))
    torch.testing.assert_close(found.rotation, truth.rotation)
    assert found.scale == pytest.approx(0.7)


def test_aligning_is_the_best_map_where_none_is_exact() -> None:
    generator = torch.Generator().manual_seed(3)
    source, target = torch.randn(2, 20, 3, generator=generator, dtype=torch.float64)
    found = Similarity.aligning(source, target)
    error = (found.apply(source) - target).square().sum()
    for scale, shift in ((1.02, 0.0), (0.98, 0.0), (1.0, 0.02), (1.0, -0.02)):
        other = Similarity(found.scale * scale, found.rotation, found.translation + shift)
        assert (other.apply(source) - target).square().sum() > error


def test_aligning_needs_three_points() -> None:
    with pytest.raises(ValueError, match="at least 3 points; found 2"):
        Similarity.aligning(torch.zeros(2, 3), torch.zeros(2, 3))
    with pytest.raises(ValueError, match="not all in one place"):
        Similarity.aligning(torch.ones(4, 3), torch.ones(4, 3))
