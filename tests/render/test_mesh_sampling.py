"""Samples of a mesh's surface: on it, even, and the same for the same seed."""

import pytest
import torch

from neufield.render.mesh_sampling import sample_surface
from neufield.render.meshes import Mesh

# An L of two triangles at right angles, areas 1/2 and 3/2, and one without area between them.
VERTICES = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 3]], dtype=torch.float64)
BENT = Mesh(VERTICES, torch.tensor([[0, 1, 2], [1, 1, 2], [0, 2, 3]]))


def test_samples_lie_evenly_on_the_surface() -> None:
    count = 200_000
    points, normals = sample_surface(BENT, count, generator=torch.Generator().manual_seed(0))
    assert normals is not None
    flat = points[:, 2] == 0.0
    assert int(flat.sum()) / count == pytest.approx(0.25, abs=0.005)
    assert normals[flat].unique(dim=0).tolist() == [[0.0, 0.0, 1.0]]
    assert normals[~flat].unique(dim=0).tolist() == [[1.0, 0.0, 0.0]]
    assert (points >= 0.0).all()
    x, y, z = points.unbind(dim=1)
    assert (x + y + z / 3.0 <= 1.0 + 1e-12).all()
    # Means and squares over a right triangle with legs of 1: 1/3 and 1/6.
    part = points[flat, :2]
    torch.testing.assert_close(part.mean(dim=0), torch.full((2,), 1 / 3, dtype=torch.float64), atol=5e-3, rtol=0.0)
    torch.testing.assert_close(
        part.square().mean(dim=0), torch.full((2,), 1 / 6, dtype=torch.float64), atol=5e-3, rtol=0.0
    )


def test_samples_depend_on_the_generator_alone() -> None:
    first, again, other = (
        sample_surface(BENT, 50, generator=torch.Generator().manual_seed(seed)) for seed in (3, 3, 4)
    )
    assert torch.equal(first.points, again.points)
    assert not torch.equal(first.points, other.points)
    assert sample_surface(BENT, 0, generator=torch.Generator()).points.shape == (0, 3)


@pytest.mark.parametrize("faces", [[[0, 0, 1]], []])
def test_a_mesh_without_area(faces: list[list[int]]) -> None:
    mesh = Mesh(VERTICES, torch.tensor(faces, dtype=torch.int64).reshape(-1, 3))
    with pytest.raises(ValueError, match="triangles have a finite area, found"):
        sample_surface(mesh, 5, generator=torch.Generator())
    with pytest.raises(ValueError, match="an area of nan"):
        sample_surface(Mesh(VERTICES * torch.nan, BENT.faces), 5, generator=torch.Generator())
