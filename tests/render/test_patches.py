"""Clouds cut into patches: noise, cover, sheets kept apart, frames."""

import pytest
import torch

from neufield.render.patches import cover, estimate_noise


def sphere(n: int, noise: float = 0.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=1)
    return points + noise * torch.randn(n, 3, generator=generator)


@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_noise_is_found(noise: float):
    found, neighbors = estimate_noise(sphere(4000, noise))
    assert found == pytest.approx(noise, rel=0.2)
    assert neighbors >= 24


def test_without_noise_little_is_found():
    assert estimate_noise(sphere(4000))[0] < 1e-4


def test_few_points_are_named():
    with pytest.raises(ValueError, match="24 points or more, found 5"):
        estimate_noise(torch.zeros(5, 3))


@pytest.mark.parametrize("oriented", [True, False])
def test_every_point_is_covered_and_frames_cancel(oriented: bool):
    points = sphere(2000)
    patches = cover(points, points if oriented else None, spacing=0.25, radius=0.4, neighbors=24)
    assert set(patches.members.tolist()) == set(range(2000))
    members, mask = patches.padded(2, 7)
    local = patches.into_frames(points[members], 2)
    assert local.norm(dim=2)[mask].max() <= 1 + 1e-5
    assert local[..., 2][mask].abs().max() < 0.3
    torch.testing.assert_close(patches.out_of_frames(local, 2), points[members], rtol=0, atol=1e-5)


def test_sheets_that_lie_close_are_kept_apart():
    plane = torch.rand(3000, 2, generator=torch.Generator().manual_seed(0))
    points = torch.cat([torch.nn.functional.pad(plane[:1500], (0, 1)), torch.nn.functional.pad(plane[1500:], (0, 1))])
    points[1500:, 2] = 0.16
    patches = cover(points, None, spacing=0.12, radius=0.2, neighbors=12)
    for k in range(len(patches)):
        heights = points[patches.members[patches.starts[k] : patches.starts[k + 1]], 2]
        assert heights.min() == heights.max()
