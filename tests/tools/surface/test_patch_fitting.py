"""The patches of a noisy cloud: smoother than it, and turned outwards."""

import pytest
import torch

from neufield.configs.surface_config import PatchesConfig
from neufield.tools.surface.patch_fitting import chosen_settings, fit_patches


def noisy_sphere(n: int = 2500, noise: float = 0.03) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator), dim=1)
    return points + noise * torch.randn(n, 3, generator=generator)


def test_a_noisy_sphere_is_smoothed_and_looks_outwards():
    cloud = noisy_sphere()
    found = fit_patches(cloud, None, PatchesConfig())
    off = (found.points.norm(dim=1) - 1).abs().mean()
    assert off < 0.5 * (cloud.norm(dim=1) - 1).abs().mean()
    outwards = torch.nn.functional.normalize(found.points, dim=1)
    agreement = (found.normals * outwards).sum(1)
    assert agreement.min() > 0.5
    assert agreement.mean() > 0.97


def test_given_normals_are_followed():
    cloud = noisy_sphere(1200, 0.01)
    inwards = -torch.nn.functional.normalize(cloud, dim=1)
    found = fit_patches(cloud, inwards, PatchesConfig(steps=15, agreement_rounds=1))
    assert (found.normals * torch.nn.functional.normalize(found.points, dim=1)).sum(1).mean() < -0.95


def test_choices_follow_the_scale_of_the_cloud():
    cloud = noisy_sphere(800)
    settings, _ = chosen_settings(cloud, PatchesConfig(), seed=0)
    assert settings.noise == pytest.approx(0.03, rel=0.3)
    larger, _ = chosen_settings(10 * cloud, PatchesConfig(), seed=0)
    assert larger.radius == pytest.approx(10 * settings.radius, rel=1e-3)


def test_chunks_give_samples_of_the_same_quality():
    cloud = noisy_sphere()
    found = fit_patches(cloud, None, PatchesConfig(), memory_bytes=1 << 20)
    assert (found.points.norm(dim=1) - 1).abs().mean() < 0.6 * (cloud.norm(dim=1) - 1).abs().mean()
    assert len(found.points) == 2500
