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
