"""Meshes whose areas, volumes and normals are known in closed form."""

import math

import pytest
import torch

from neufield.render.meshes import Mesh

BOX = Mesh(
    vertices=torch.tensor([[x, y, z] for x in (0.0, 2.0) for y in (0.0, 3.0) for z in (0.0, 5.0)], dtype=torch.float64),
    faces=torch.tensor(
        [
            [0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
            [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3],
        ]
    ),
)  # fmt: skip


def moved(mesh: Mesh, by: float) -> Mesh:
    return Mesh(mesh.vertices + by, mesh.faces)


def test_a_box() -> None:
    assert BOX.is_closed()
    assert BOX.volume() == pytest.approx(30.0, rel=1e-14)
    assert moved(BOX, 1e7).volume() == pytest.approx(30.0, rel=1e-7)
    assert float(BOX.face_areas().sum()) == pytest.approx(2.0 * (6.0 + 10.0 + 15.0), rel=1e-14)
    assert BOX.diagonal() == pytest.approx(math.sqrt(4.0 + 9.0 + 25.0))
    outward = BOX.corners().mean(dim=1) - torch.tensor([1.0, 1.5, 2.5])
    assert ((outward * BOX.face_normals()).sum(dim=1) > 0.0).all()
    inside_out = Mesh(BOX.vertices, BOX.faces.flip(1))
    assert inside_out.is_closed()
    assert inside_out.volume() == pytest.approx(-30.0, rel=1e-14)


def test_vertex_normals_are_weighted_by_area() -> None:
    # Two triangles share vertex 0; the second has three times the area, in a plane at right angles.
    vertices = torch.tensor([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 3], [9, 9, 9]], dtype=torch.float64)
    mesh = Mesh(vertices, torch.tensor([[0, 1, 2], [0, 3, 4]]))
    normals = mesh.vertex_normals()
    torch.testing.assert_close(normals[0], torch.tensor([3.0, 0.0, 1.0]) / math.sqrt(10.0))
    assert normals[1].tolist() == [0.0, 0.0, 1.0]
    assert normals[5].tolist() == [0.0, 0.0, 0.0]  # in no triangle


@pytest.mark.parametrize(
    "faces",
    [
        BOX.faces[1:],  # a hole
        torch.cat([BOX.faces, BOX.faces[:1]]),  # an edge in three triangles
        torch.cat([BOX.faces, torch.tensor([[0, 0, 1]])]),  # a triangle that is none
        BOX.faces[:0],
    ],
)
def test_meshes_that_are_not_closed(faces: torch.Tensor) -> None:
    assert not Mesh(BOX.vertices, faces).is_closed()


def test_an_empty_mesh() -> None:
    mesh = Mesh(torch.empty(0, 3, dtype=torch.float64), torch.empty(0, 3, dtype=torch.int64))
    assert not mesh.is_closed()
    assert mesh.volume() == 0.0
    assert mesh.diagonal() == 0.0
    assert mesh.face_areas().shape == (0,)
    assert mesh.vertex_normals().shape == (0, 3)


def test_a_triangle_without_area_has_no_normal() -> None:
    mesh = Mesh(BOX.vertices, torch.tensor([[0, 0, 1], [0, 1, 3]]))
    assert mesh.face_normals()[0].tolist() == [0.0, 0.0, 0.0]
    assert mesh.vertex_normals().isfinite().all()


def test_what_is_no_mesh() -> None:
    for faces in ([[0, 1, 8]], [[-1, 0, 1]]):
        with pytest.raises(ValueError, match="A mesh's faces are rows of its 8 vertices, found"):
            Mesh(BOX.vertices, torch.tensor(faces))
