"""Screened Poisson: from oriented samples of a surface to a mesh, trimmed where there is no data."""

import math

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64
from torch import Tensor

from ...render.meshes import Mesh
from ..open3d_library import load_open3d
from .mesh_trimming import DEFAULT, Trimming, capped, local_spacing, trimmed

NEIGHBOURS = 30
"""Nearest points that a normal is estimated from, and along which normals are made to agree."""

_DEPTHS = (5, 11)
_BOX = 1.1  # side of open3d's cube, in longest sides of the samples' bounding box
_FEWEST = 4


def poisson_mesh(
    points: Float64[Tensor, "n 3"],
    normals: Float[Tensor, "normals 3"],
    *,
    depth: int | None = None,
    watertight: bool = False,
    trimming: Trimming = DEFAULT,
) -> Mesh:
    """Reconstructs the surface that samples and their normals lie on. Kazhdan and Hoppe 2013.

    Args:
        points: Samples, in any coordinates.
        normals: Unit, outwards.
        depth: Of the octree, 2^depth cells along 1.1 times the longest side; by default see `poisson_depth`.
        watertight: Keep the mesh closed, also where it was made up.
        trimming: What else is removed: where there are no samples, and small pieces.

    Returns:
        The mesh in the samples' coordinates, in float64.

    Raises:
        ValueError: There are fewer than four samples, or as many normals as samples are not given, or nothing was
            reconstructed.
    """
    open3d = load_open3d("Surfaces by screened Poisson")
    if len(points) < _FEWEST or points.shape != normals.shape:
        raise ValueError(
            f"Screened Poisson needs at least {_FEWEST} samples with a normal each, found {len(points)} samples and "
            f"{len(normals)} normals."
        )
    cloud, center, scale = _open3d_cloud(points)
    cloud.normals = open3d.utility.Vector3dVector(normals.double().numpy())
    depth = poisson_depth(points) if depth is None else depth
    with open3d.utility.VerbosityContextManager(open3d.utility.VerbosityLevel.Error):
        found, _ = open3d.geometry.TriangleMesh.create_from_point_cloud_poisson(cloud, depth=depth)
    if not len(found.triangles):
        raise ValueError(
            f"Screened Poisson made no surface of {len(points)} samples at depth {depth}; try another depth, or check "
            "that the normals point outwards."
        )
    vertices = torch.from_numpy(np.asarray(found.vertices) * scale) + center
    mesh = Mesh(vertices, torch.from_numpy(np.asarray(found.triangles).astype(np.int64)))
    mesh = capped(mesh) if watertight else mesh
    return trimmed(mesh, points, trimming, watertight=watertight)


def poisson_depth(points: Float64[Tensor, "n 3"]) -> int:
    """The depth at which the octree's cells are about as large as the samples' spacing, 5 to 11."""
    spacing = float(local_spacing(points).median())
    side = _BOX * float((points.amax(dim=0) - points.amin(dim=0)).max())
    return min(max(round(math.log2(max(side / max(spacing, 1e-300), 1.0))), _DEPTHS[0]), _DEPTHS[1])


def estimated_normals(points: Float64[Tensor, "n 3"], *, neighbours: int = NEIGHBOURS) -> Float32[Tensor, "n 3"]:
    """Normals of the planes through each point's neighbours, turned so that neighbouring ones agree.

    The turning walks a minimal spanning tree of tangent planes: Hoppe et al. 1992, section 3.3. All are turned round
    at the end if the volume that they enclose, V = 1/3 sum_i area_i p_i . n_i, is negative. They point outwards where
    the walk made no mistake.

    Args:
        points: Samples, in any coordinates.
        neighbours: How many.
    """
    open3d = load_open3d("Surfaces by screened Poisson")
    cloud, _, _ = _open3d_cloud(points)
    count = min(neighbours, len(points))
    cloud.estimate_normals(open3d.geometry.KDTreeSearchParamKNN(count))
    cloud.orient_normals_consistent_tangent_plane(count)
    normals, centred = torch.from_numpy(np.asarray(cloud.normals)), torch.from_numpy(np.asarray(cloud.points))
    volume = (local_spacing(points).square() * (centred * normals).sum(dim=1)).sum()
    return torch.where(volume < 0.0, -normals, normals).float()


def _open3d_cloud(points: Float64[Tensor, "n 3"]):
    """The points for open3d, about the origin and of size 1: it meshes in float32."""
    open3d = load_open3d("Surfaces by screened Poisson")
    low, high = points.amin(dim=0), points.amax(dim=0)
    center, scale = 0.5 * (low + high), float((high - low).max()) or 1.0
    centred = ((points - center) / scale).numpy()
    return open3d.geometry.PointCloud(open3d.utility.Vector3dVector(centred)), center, scale
