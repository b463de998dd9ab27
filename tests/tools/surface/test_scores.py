"""Scores of surfaces whose distances are known in closed form, and against brute force."""

import math
from pathlib import Path

import pytest
import torch

from neufield.datasets.made_scans import made_scan
from neufield.datasets.point_clouds import load_point_cloud
from neufield.render.mesh_sampling import SurfacePoints
from neufield.render.meshes import Mesh
from neufield.tools.mesh_files import read_mesh
from neufield.tools.surface.scores import score_surface


def square(height: float, *, side: float = 1.0, turned: bool = False) -> Mesh:
    corners = torch.tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=torch.float64) * side
    faces = torch.tensor([[0, 1, 2], [0, 2, 3]])
    return Mesh(corners + torch.tensor([0.0, 0.0, height]), faces.flip(1) if turned else faces)


def sphere(radius: float, *, rings: int = 60) -> Mesh:
    """A grid of latitudes and longitudes; its poles are rows of equal vertices."""
    polar = torch.linspace(0.0, math.pi, rings + 1, dtype=torch.float64)
    around = torch.arange(2 * rings, dtype=torch.float64) * math.pi / rings
    theta, phi = torch.meshgrid(polar, around, indexing="ij")
    vertices = torch.stack([theta.sin() * phi.cos(), theta.sin() * phi.sin(), theta.cos()], dim=2).reshape(-1, 3)
    i, j = torch.meshgrid(torch.arange(rings), torch.arange(2 * rings), indexing="ij")
    a, b = i * 2 * rings + j, i * 2 * rings + (j + 1) % (2 * rings)
    c, d = a + 2 * rings, b + 2 * rings
    faces = torch.cat([torch.stack([a, c, b], dim=2).reshape(-1, 3), torch.stack([b, c, d], dim=2).reshape(-1, 3)])
    return Mesh(radius * vertices, faces)


@pytest.mark.parametrize("turned", [False, True])
def test_two_parallel_planes(turned: bool) -> None:
    found = score_surface(square(0.25, turned=turned), square(0.0), samples=2000)
    exact = ("chamfer", "hausdorff", "mean_to_target", "mean_from_target", "largest_to_target", "largest_from_target")
    assert [found.scores[name] for name in exact] == pytest.approx([0.25] * 6, abs=1e-12)
    assert found.scores["normal_consistency"] == pytest.approx(1.0)
    assert [found.scores[name] for name in ("f_score", "precision", "recall")] == [0.0, 0.0, 0.0]
    above = score_surface(square(0.25), square(0.0), samples=100, threshold=0.2501)
    assert above.scores["f_score"] == 1.0


def test_a_sphere_in_a_sphere() -> None:
    found = score_surface(sphere(1.0), sphere(1.5), samples=5_000).scores
    for name in ("chamfer", "hausdorff", "mean_to_target", "mean_from_target"):
        assert found[name] == pytest.approx(0.5, abs=3e-3)
    assert found["normal_consistency"] == pytest.approx(1.0, abs=3e-3)


def test_a_surface_that_covers_half_of_its_target() -> None:
    small, large = square(0.0), square(0.0, side=2.0)
    found = score_surface(small, large, samples=40_000, threshold=0.01)
    assert found.scores["mean_to_target"] == pytest.approx(0.0, abs=1e-12)
    assert found.scores["precision"] == 1.0
    assert found.scores["recall"] == pytest.approx((1.0 + 2 * 0.01) / 4.0, abs=5e-3)
    assert found.scores["f_score"] == pytest.approx(2.0 * found.scores["recall"] / (1.0 + found.scores["recall"]))
    # Beyond the two sides and the corner: 2 * 1/2 in the strips, and the mean distance from a corner of a unit square.
    corner = (math.sqrt(2.0) + math.asinh(1.0)) / 3.0
    expected = (2.0 * 0.5 + corner) / 4.0
    assert found.scores["mean_from_target"] == pytest.approx(expected, rel=0.01)
    assert found.scores["chamfer"] == pytest.approx(0.5 * expected, rel=0.01)
    assert found.scores["hausdorff"] == pytest.approx(math.sqrt(2.0), abs=0.02)
    back = score_surface(large, small, samples=40_000, threshold=0.01).scores
    assert back["precision"] == pytest.approx(found.scores["recall"], abs=5e-3)


def test_normals_that_turn() -> None:
    wall = Mesh(square(0.0).vertices[:, [0, 2, 1]], square(0.0).faces)
    crossed = score_surface(wall, square(0.0), samples=1000).scores["normal_consistency"]
    assert crossed == pytest.approx(0.0, abs=1e-7)


def test_clouds_against_brute_force() -> None:
    random = torch.Generator().manual_seed(1)
    a, b = (torch.rand(count, 3, generator=random, dtype=torch.float64) for count in (150, 220))
    normals = [torch.nn.functional.normalize(torch.randn(len(x), 3, generator=random), dim=1) for x in (a, b)]
    found = score_surface(SurfacePoints(a, normals[0]), SurfacePoints(b, normals[1]), threshold=0.1).scores
    every = (a[:, None] - b).norm(dim=2)
    to, of = every.min(dim=1)
    back, back_of = every.min(dim=0)
    assert found["chamfer"] == pytest.approx(0.5 * float(to.mean() + back.mean()), rel=1e-12)
    assert found["hausdorff"] == pytest.approx(float(torch.maximum(to.max(), back.max())), rel=1e-12)
    cosines = (normals[0] * normals[1][of]).sum(1).abs().mean(), (normals[1] * normals[0][back_of]).sum(1).abs().mean()
    assert found["normal_consistency"] == pytest.approx(0.5 * float(sum(cosines)), rel=1e-5)
    shares = [float((side <= 0.1).double().mean()) for side in (to, back)]
    assert [found["precision"], found["recall"]] == pytest.approx(shares, rel=1e-12)
    assert "normal_consistency" not in score_surface(SurfacePoints(a), SurfacePoints(b, normals[1])).scores


def test_a_cloud_against_a_mesh() -> None:
    points = torch.tensor([[0.5, 0.5, 0.3], [0.2, 0.1, -0.1]], dtype=torch.float64)
    found = score_surface(square(0.0), SurfacePoints(points), samples=10_000)
    assert found.scores["mean_from_target"] == pytest.approx(0.2)  # to the triangles
    assert found.scores["largest_from_target"] == pytest.approx(0.3)
    assert 0.2 < found.scores["mean_to_target"] < found.scores["largest_to_target"] < 1.3  # to the points
    assert found.protocol["surface"] == "mesh of 2 triangles: 10,000 places by area (seed 0), exact distances"
    assert found.protocol["target"] == "cloud of 2 points: all of them, distances to points"


def test_the_protocol_names_the_threshold_and_every_score() -> None:
    found = score_surface(square(0.0), square(0.1, side=3.0), samples=500)
    assert f"threshold of {0.03 * math.sqrt(2.0):.6g}" in found.protocol["f_score"]
    described = ", ".join(found.protocol)
    assert all(name in described for name in found.scores if name not in ("precision", "recall"))
    again = score_surface(square(0.0), square(0.1, side=3.0), samples=500)
    assert again.scores == found.scores
    assert score_surface(square(0.0), square(0.1, side=3.0), samples=500, seed=1).scores != found.scores


def test_what_cannot_be_scored() -> None:
    for options in ({"samples": 0}, {"threshold": 0.0}, {"threshold": math.nan}):
        with pytest.raises(ValueError, match="at least one sample and a threshold > 0"):
            score_surface(square(0.0), square(1.0), **options)
    empty = SurfacePoints(torch.empty(0, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match="found a cloud without points"):
        score_surface(square(0.0), empty)
    with pytest.raises(ValueError, match="triangles have a finite area"):
        score_surface(Mesh(empty.points, torch.empty(0, 3, dtype=torch.int64)), square(0.0))


def test_made_scans_of_a_real_mesh(real_data: Path) -> None:
    spot = read_mesh(real_data / "meshes" / "spot.obj")
    clean = score_surface(made_scan(spot, 5000), spot, samples=20_000).scores
    noisy = score_surface(made_scan(spot, 5000, noise=0.01), spot, samples=20_000).scores
    assert clean["largest_to_target"] < 1e-6
    assert clean["normal_consistency"] > 0.98
    # A half-normal distribution's mean, of the noise along the normal.
    assert noisy["mean_to_target"] == pytest.approx(0.01 * spot.diagonal() * math.sqrt(2.0 / math.pi), rel=0.05)
    cloud = load_point_cloud(real_data / "meshes" / "spot.obj")
    assert score_surface(cloud, spot, samples=5000).scores["largest_to_target"] < 1e-6
