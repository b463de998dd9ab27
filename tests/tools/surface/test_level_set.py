"""Marching cubes on blocks, held to the whole grid and to closed forms."""

import math

import pytest
import torch
from torch import Tensor

from neufield.render.meshes import Mesh
from neufield.tools.surface.level_set import Distance, enclosed_volume, extract_level_set

LOWER, UPPER = torch.full((3,), -0.5), torch.full((3,), 0.5)


def torus(x: Tensor) -> Tensor:
    around = x[:, :2].norm(dim=1) - 0.3
    return torch.stack([around, x[:, 2]], dim=1).norm(dim=1, keepdim=True) - 0.12


def ball(radius: float, center: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Distance:
    return lambda x: (x - torch.tensor(center)).norm(dim=1) - radius


def is_closed(mesh: Mesh) -> bool:
    """Whether every edge is walked once in each direction."""
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    numbers = len(mesh.vertices) * edges[:, 0] + edges[:, 1]
    back = len(mesh.vertices) * edges[:, 1] + edges[:, 0]
    return len(numbers.unique()) == len(numbers) and torch.equal(numbers.sort().values, back.sort().values)


@pytest.mark.parametrize("distance", [torus, ball(0.33, (0.02, 0.0, -0.1))])
def test_blocks_give_what_the_whole_grid_gives(distance: Distance):
    evaluated: list[int] = []

    def counted(x: Tensor) -> Tensor:
        evaluated.append(len(x))
        return distance(x)

    meshes = []
    counts = []
    for bound in (1.0, 1e9):
        evaluated.clear()
        meshes.append(extract_level_set(counted, LOWER, UPPER, resolution=96, lipschitz=bound))
        counts.append(sum(evaluated))
    assert torch.equal(meshes[0].faces, meshes[1].faces)
    torch.testing.assert_close(meshes[0].vertices, meshes[1].vertices, rtol=0.0, atol=1e-7)
    assert counts[0] < 0.3 * counts[1]


def test_a_torus_is_closed_and_positive_and_close_to_the_truth():
    mesh = extract_level_set(torus, LOWER, UPPER, resolution=100)
    assert is_closed(mesh)
    assert len(mesh.vertices) - len(mesh.faces) // 2 == 0  # Euler's number of a torus
    assert enclosed_volume(mesh) == pytest.approx(2.0 * math.pi**2 * 0.3 * 0.12**2, rel=0.005)
    assert torus(mesh.vertices.float()).abs().max().item() < 2e-4


def test_the_sides_of_the_box_are_outside():
    lower = torch.tensor([-0.05, -0.5, -0.5])
    mesh = extract_level_set(ball(0.3), lower, UPPER, resolution=64)
    assert is_closed(mesh)
    assert mesh.vertices[:, 0].min().item() >= -0.05
    cap = 0.25
    missing = math.pi * cap**2 * (0.3 - cap / 3.0)
    assert enclosed_volume(mesh) == pytest.approx(4.0 / 3.0 * math.pi * 0.3**3 - missing, rel=0.05)


def test_nothing_is_evaluated_or_meshed_beyond_the_box():
    upper = torch.tensor([0.5, 0.5, 0.07])

    def strict(x: Tensor) -> Tensor:
        assert bool((x <= upper + 1e-6).all())
        assert bool((x >= LOWER - 1e-6).all())
        return ball(0.3)(x)

    mesh = extract_level_set(strict, LOWER, upper, resolution=60)
    assert is_closed(mesh)
    assert mesh.vertices[:, 2].max().item() == pytest.approx(0.07, abs=1.0 / 60.0)


def test_a_slope_beyond_the_bound_leaves_it_closed():
    mesh = extract_level_set(lambda x: 4.0 * torus(x), LOWER, UPPER, resolution=64, lipschitz=1.0)
    assert is_closed(mesh)


def test_places_without_a_number_are_outside():
    mesh = extract_level_set(lambda x: torch.where(x[:, :1] > 0.1, torch.nan, torus(x)), LOWER, UPPER, resolution=64)
    assert is_closed(mesh)
    assert mesh.vertices[:, 0].max().item() <= 0.1 + 1.0 / 64.0


def test_nothing_inside_gives_no_mesh():
    mesh = extract_level_set(lambda x: torch.ones(len(x)), LOWER, UPPER, resolution=32)
    assert (len(mesh.vertices), len(mesh.faces)) == (0, 0)


def test_what_is_refused():
    with pytest.raises(ValueError, match="lower < upper"):
        extract_level_set(torus, UPPER, LOWER, resolution=32)
    with pytest.raises(ValueError, match="resolution >= 1"):
        extract_level_set(torus, LOWER, UPPER, resolution=0)
