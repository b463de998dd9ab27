"""Scans made from a cube: noise, outliers and holes are what was asked for."""

import math

import pytest
import torch

from neufield.datasets.made_scans import made_scan
from neufield.render.meshes import Mesh

# A square of side 2 at z = 0, and far above it a tiny triangle, so that the box has a height.
VERTICES = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0], [0, 0, 1], [1e-6, 0, 1], [0, 1e-6, 1]]
SHEET = Mesh(torch.tensor(VERTICES, dtype=torch.float64), torch.tensor([[0, 1, 2], [0, 2, 3], [4, 5, 6]]))
DIAGONAL = 3.0


def test_noise_is_a_share_of_the_diagonal() -> None:
    clean, noisy = made_scan(SHEET, 20_000, seed=2), made_scan(SHEET, 20_000, noise=0.01, seed=2)
    assert (clean.points[:, 2] == 0.0).all()
    moved = noisy.points - clean.points
    torch.testing.assert_close(
        moved.std(dim=0), torch.full((3,), 0.01 * DIAGONAL, dtype=torch.float64), rtol=0.03, atol=0.0
    )
    assert noisy.normals is not None
    assert noisy.normals.unique(dim=0).tolist() == [[0.0, 0.0, 1.0]]
    stronger = made_scan(SHEET, 20_000, noise=0.02, seed=2)
    torch.testing.assert_close(stronger.points - clean.points, 2.0 * moved)
    assert not torch.equal(clean.points, made_scan(SHEET, 20_000, seed=3).points)


def test_outliers_fill_the_enlarged_box() -> None:
    points, normals = made_scan(SHEET, 10_000, outliers=0.3, seed=1)
    assert normals is not None
    assert len(points) == 10_000
    assert (points[:7000, 2] == 0.0).all()
    scattered = points[7000:]
    low, high = scattered.amin(dim=0), scattered.amax(dim=0)
    expected = torch.tensor([1.2, 1.2, 1.1], dtype=torch.float64)
    torch.testing.assert_close(high, expected, atol=0.01, rtol=0.0)
    torch.testing.assert_close(low, torch.tensor([-1.2, -1.2, -0.1], dtype=torch.float64), atol=0.01, rtol=0.0)
    torch.testing.assert_close(normals.norm(dim=1), torch.ones(10_000))
    assert (normals[7000:].mean(dim=0).abs() < 0.05).all()


def test_a_hole_is_a_ball_without_points() -> None:
    whole, holed = made_scan(SHEET, 5000, seed=5), made_scan(SHEET, 5000, hole=0.1, seed=5)
    assert len(holed.points) == 5000
    # The widest gap between points of the grid around which nothing lies.
    grid = torch.cartesian_prod(*[torch.linspace(-0.9, 0.9, 61, dtype=torch.float64)] * 2)
    gaps = [float(torch.cdist(grid, scan.points[:, :2]).amin(dim=1).max()) for scan in (whole, holed)]
    assert gaps[0] < 0.1
    assert 0.9 * 0.1 * DIAGONAL < gaps[1] < 1.15 * 0.1 * DIAGONAL


def test_nothing_and_too_much() -> None:
    assert made_scan(SHEET, 0).points.shape == (0, 3)
    assert len(made_scan(SHEET, 1, hole=0.1).points) == 1
    assert len(made_scan(SHEET, 7, outliers=1.0).points) == 7
    with pytest.raises(ValueError, match="takes nearly all of the surface"):
        made_scan(SHEET, 100, hole=1.0)
    for wrong in ({"noise": -0.1}, {"outliers": 1.1}, {"hole": -1.0}, {"noise": math.nan}):
        with pytest.raises(ValueError, match=r"A made scan takes a count, noise and a hole >= 0"):
            made_scan(SHEET, 10, **wrong)
