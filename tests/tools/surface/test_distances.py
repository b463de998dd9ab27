"""Distances to triangles and points against brute force in double precision."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from neufield.render.meshes import Mesh
from neufield.tools.surface.distances import nearest_in_cloud, nearest_in_mesh, triangle_distances


def random(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def closest_by_descent(points: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
    """Distance to a triangle as the least over a fine grid of its points, refined around the best of each round."""
    best = torch.full((len(points), 2), 1.0 / 3.0, dtype=torch.float64)
    size = 1.0
    steps = torch.linspace(-1.0, 1.0, 21, dtype=torch.float64)
    offsets = torch.cartesian_prod(steps, steps)
    distance = torch.empty(len(points), dtype=torch.float64)
    for _ in range(30):
        u, v = (best[:, None] + size * offsets).unbind(dim=2)
        u = u.clamp(0.0, 1.0)
        v = torch.minimum(v.clamp(min=0.0), 1.0 - u)
        weights = torch.stack([1.0 - u - v, u, v], dim=2)
        distance, place = (weights @ corners - points[:, None]).norm(dim=2).min(dim=1)
        rows = torch.arange(len(points))
        best = torch.stack([u[rows, place], v[rows, place]], dim=1)
        size *= 0.6
    return distance


def test_distance_to_a_triangle() -> None:
    points, corners = 2.0 * random(100, 3, seed=1), random(100, 3, 3, seed=2)
    torch.testing.assert_close(
        triangle_distances(points, corners), closest_by_descent(points, corners), atol=1e-6, rtol=0.0
    )


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_the_distance_does_not_depend_on_the_order_of_corners(seed: int) -> None:
    points, corners = random(40, 3, seed=seed), random(40, 3, 3, seed=seed + 1)
    expected = triangle_distances(points, corners)
    for order in ([1, 2, 0], [2, 1, 0]):
        torch.testing.assert_close(triangle_distances(points, corners[:, order]), expected)


def test_triangles_without_area() -> None:
    segment = torch.tensor([[[0, 0, 0], [2, 0, 0], [1, 0, 0]], [[1, 1, 1], [1, 1, 1], [1, 1, 1]]], dtype=torch.float64)
    points = torch.tensor([[1.5, 3.0, 4.0], [1.0, 1.0, 3.0]], dtype=torch.float64)
    assert triangle_distances(points, segment).tolist() == [5.0, 2.0]
    assert triangle_distances(points[:0], segment[:0]).shape == (0,)


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (1e-6, 0.0), (1e4, 0.0), (1.0, 1e6)])
def test_a_mesh_against_all_its_triangles(scale: float, shift: float) -> None:
    vertices = scale * random(60, 3, seed=3) + shift
    faces = torch.randint(0, 60, (100, 3), generator=torch.Generator().manual_seed(4))
    points = scale * 1.5 * random(500, 3, seed=5) + shift
    found = nearest_in_mesh(points, Mesh(vertices, faces))
    every = triangle_distances(points.repeat_interleave(100, dim=0), vertices[faces].repeat(500, 1, 1)).reshape(
        500, 100
    )
    torch.testing.assert_close(found.distances, every.amin(dim=1), atol=1e-6 * scale, rtol=1e-6)
    assert torch.equal(found.distances, every.gather(1, found.indices[:, None])[:, 0])


def test_points_on_a_mesh_have_no_distance() -> None:
    vertices = random(30, 3, seed=6) + 1e5
    faces = torch.arange(30).reshape(10, 3)
    weights = torch.rand(10, 3, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    points = ((weights / weights.sum(dim=1, keepdim=True))[:, None] @ vertices[faces])[:, 0]
    assert float(nearest_in_mesh(points, Mesh(vertices, faces)).distances.max()) < 1e-6  # float32 would be off by 0.01


def test_a_cloud_against_all_its_points() -> None:
    points, cloud = random(300, 3, seed=8), random(200, 3, seed=9)
    found = nearest_in_cloud(points, cloud)
    expected, indices = torch.cdist(points, cloud, compute_mode="donot_use_mm_for_euclid_dist").min(dim=1)
    torch.testing.assert_close(found.distances, expected)
    assert torch.equal(found.indices, indices)


def test_nothing_to_measure_to() -> None:
    points, vertices = random(3, 3, seed=1), random(3, 3, seed=2)
    empty = Mesh(vertices, torch.empty(0, 3, dtype=torch.int64))
    triangle = torch.tensor([[0, 1, 2]])
    with pytest.raises(ValueError, match=r"a mesh with triangles, found 0 triangles\."):
        nearest_in_mesh(points, empty)
    with pytest.raises(ValueError, match="found 1 triangles and numbers that are NaN"):
        nearest_in_mesh(points, Mesh(vertices * torch.nan, triangle))
    with pytest.raises(ValueError, match="found a cloud of 0 points"):
        nearest_in_cloud(points, points[:0])
    with pytest.raises(ValueError, match="points in finite numbers"):
        nearest_in_cloud(points * torch.inf, points)
    assert nearest_in_mesh(points[:0], Mesh(vertices, triangle)).distances.shape == (0,)
