"""Screened Poisson and trimming: a hemisphere stays open, pinholes close, coordinates stay the user's."""

import pytest
import torch

from neufield.render.meshes import Mesh
from neufield.tools.surface.level_set import enclosed_volume
from neufield.tools.surface.mesh_trimming import Trimming, kept_faces, local_spacing, without_small_pieces
from neufield.tools.surface.poisson_meshing import estimated_normals, poisson_depth, poisson_mesh

RADIUS = 2.0


def sphere(count: int = 4000) -> torch.Tensor:
    """Directions that are spread evenly."""
    x = torch.randn(count, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return torch.nn.functional.normalize(x, dim=1)


def border_length(mesh: Mesh) -> float:
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]).sort(dim=1).values
    unique, times = edges.unique(dim=0, return_counts=True)
    a, b = mesh.vertices[unique[times == 1]].unbind(dim=1)
    return float((a - b).norm(dim=1).sum())


def test_coordinates_are_the_users():
    far = torch.tensor([4e6, -5e6, 1e5], dtype=torch.float64)
    normals = sphere()
    mesh = poisson_mesh(RADIUS * normals + far, normals, depth=6)
    assert ((mesh.vertices - far).norm(dim=1) - RADIUS).abs().max().item() < 0.02 * RADIUS
    assert border_length(mesh) == 0.0
    assert enclosed_volume(mesh) == pytest.approx(4.0 / 3.0 * torch.pi * RADIUS**3, rel=0.02)


def test_a_hemisphere_stays_open_unless_watertight():
    normals = sphere()
    normals = normals[normals[:, 2] > 0.0]
    spacing = local_spacing(RADIUS * normals).median().item()
    mesh = poisson_mesh(RADIUS * normals, normals, depth=6)
    assert mesh.vertices[:, 2].min().item() > -3.0 * spacing
    assert border_length(mesh) == pytest.approx(2.0 * torch.pi * RADIUS, rel=0.4)
    closed = poisson_mesh(RADIUS * normals, normals, depth=6, watertight=True)
    assert border_length(closed) == 0.0


def test_a_pinhole_closes_and_a_gap_stays():
    normals = sphere()
    spacing = local_spacing(RADIUS * normals).median().item()
    tilt = torch.acos(normals[:, 2].clamp(-1.0, 1.0)) * RADIUS
    for hole, is_open in ((2.5 * spacing, False), (8.0 * spacing, True)):
        some = normals[tilt > hole]
        assert (border_length(poisson_mesh(RADIUS * some, some, depth=6)) > 0.0) == is_open


def test_small_pieces_are_removed():
    normals = sphere()
    small = sphere(400)
    points = torch.cat([RADIUS * normals, 0.1 * small + torch.tensor([0.0, 0.0, 4.0])])
    both = torch.cat([normals, small])
    assert poisson_mesh(points, both, depth=7).vertices[:, 2].max().item() < 3.0
    kept = poisson_mesh(points, both, depth=7, trimming=Trimming(piece=0.0))
    assert kept.vertices[:, 2].max().item() > 3.9


def test_pieces_and_faces():
    far = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9], [9.1, 9, 9], [9, 9.1, 9]], dtype=torch.float64)
    mesh = Mesh(far, torch.tensor([[3, 4, 5], [0, 1, 2]]))
    assert torch.equal(without_small_pieces(mesh, share=0.5).vertices, far[:3])
    assert len(without_small_pieces(mesh, share=0.005).faces) == 2
    assert len(kept_faces(mesh, torch.tensor([False, False])).vertices) == 0


def test_spacing_follows_the_density():
    grid = torch.cartesian_prod(torch.arange(20.0), torch.arange(20.0)).double()
    plane = torch.cat([grid, torch.zeros(400, 1)], dim=1)
    assert local_spacing(plane).median().item() == pytest.approx(1.0, abs=0.15)
    torch.testing.assert_close(local_spacing(3.0 * plane), 3.0 * local_spacing(plane))


def test_depth_follows_the_spacing():
    assert poisson_depth(sphere(16000)) == poisson_depth(100.0 * sphere(16000)) == poisson_depth(sphere(4000)) + 1


@pytest.mark.parametrize("seed", range(3))
def test_estimated_normals_point_outwards(seed: int):
    generator = torch.Generator().manual_seed(seed)
    x = torch.nn.functional.normalize(torch.randn(1000, 3, generator=generator, dtype=torch.float64), dim=1)
    turned = (estimated_normals(5.0 * x + 7.0) * x).sum(dim=1)
    assert turned.min().item() > 0.95


def test_what_is_refused():
    with pytest.raises(ValueError, match="at least 4 samples with a normal each, found 3 samples"):
        poisson_mesh(sphere(3), sphere(3))
    with pytest.raises(ValueError, match="found 10 samples and 9 normals"):
        poisson_mesh(sphere(10), sphere(9))
    with pytest.raises(ValueError, match="rim <= gap"):
        Trimming(gap=1.0, rim=2.0)
