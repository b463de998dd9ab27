"""Distances from points to a surface, with what is nearest: to the triangles of a mesh, or to the points of a cloud."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from ...render.meshes import Mesh
from ..open3d_library import load_open3d

_AT_ONCE = 250_000


class Nearest(NamedTuple):
    """What is nearest to each point, and how far it is."""

    distances: Float64[Tensor, "n"]
    """In the coordinates' unit, >= 0."""
    indices: Int64[Tensor, "n"]
    """Triangles of the mesh, or points of the cloud."""


def nearest_in_mesh(points: Float64[Tensor, "n 3"], mesh: Mesh) -> Nearest:
    """The nearest triangle of a mesh, and the distance to it.

    The triangle is found by Embree in single precision, in a frame around the mesh whose longest side is 1; the
    distance to it is then computed in double precision from the coordinates as they are. Where another triangle is
    nearer by less than some 1e-7 of the longest side, either may be taken.

    Raises:
        ValueError: The mesh has no triangles, or a number is not finite.
        MissingPackageError: open3d cannot be loaded.
    """
    if not len(mesh.faces) or not mesh.vertices.isfinite().all() or not points.isfinite().all():
        raise ValueError(
            f"Distances are taken between finite points and a mesh with triangles, found {len(mesh.faces)} triangles"
            + ("." if len(mesh.faces) == 0 else " and numbers that are NaN or infinite.")
        )
    low, high = mesh.vertices.amin(dim=0), mesh.vertices.amax(dim=0)
    middle, side = 0.5 * (low + high), float((high - low).max()) or 1.0
    open3d = load_open3d("Distances to a mesh")
    scene = open3d.t.geometry.RaycastingScene()
    tensor = open3d.core.Tensor
    scene.add_triangles(
        tensor(((mesh.vertices - middle) / side).float().numpy()),
        tensor(mesh.faces.numpy().astype(np.uint32)),
    )
    distances, indices = torch.empty(len(points), dtype=torch.float64), torch.empty(len(points), dtype=torch.int64)
    for start in range(0, len(points), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        query = tensor(((points[part] - middle) / side).float().contiguous().numpy())
        found = scene.compute_closest_points(query)["primitive_ids"].numpy()
        indices[part] = torch.from_numpy(found.astype(np.int64))
        distances[part] = triangle_distances(points[part], mesh.vertices[mesh.faces[indices[part]]])
    return Nearest(distances, indices)


def nearest_in_cloud(points: Float64[Tensor, "n 3"], cloud: Float64[Tensor, "m 3"]) -> Nearest:
    """The nearest point of a cloud, and the distance to it.

    Raises:
        ValueError: The cloud is empty, or a number is not finite.
    """
    from scipy.spatial import KDTree

    if not len(cloud) or not cloud.isfinite().all() or not points.isfinite().all():
        raise ValueError(f"Distances are taken between points in finite numbers, found a cloud of {len(cloud)} points.")
    distances, indices = KDTree(cloud.numpy()).query(points.numpy(), workers=-1)
    return Nearest(torch.from_numpy(distances), torch.from_numpy(indices))


def triangle_distances(points: Float64[Tensor, "n 3"], corners: Float64[Tensor, "n 3 3"]) -> Float64[Tensor, "n"]:
    """Distance from each point to its triangle; one without area is a segment or a point.

    Above the triangle it is the distance to its plane, elsewhere to the nearest of its sides. (Ericson 2005, "Real-Time
    Collision Detection", 5.1.5.)
    """
    following = corners.roll(-1, dims=1)
    sides, to_point = following - corners, points[:, None] - corners
    lengths = sides.square().sum(dim=2)
    along = ((to_point * sides).sum(dim=2) / lengths.clamp(min=torch.finfo(torch.float64).tiny)).clamp(0.0, 1.0)
    nearest = (to_point - along[..., None] * sides).norm(dim=2).amin(dim=1)
    normals = torch.linalg.cross(sides[:, 0], sides[:, 1])
    doubled = normals.norm(dim=1)
    inward = torch.linalg.cross(normals[:, None].expand_as(sides), sides)
    is_above = ((to_point * inward).sum(dim=2) >= 0.0).all(dim=1) & (doubled > 0.0)
    height = (to_point[:, 0] * normals).sum(dim=1).abs() / doubled
    return torch.where(is_above, height, nearest)
