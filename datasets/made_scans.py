"""Scans made from a mesh, for tests and benchmarks: the truth is known, and how far the points are from it."""

import torch

from ..render.mesh_sampling import SurfacePoints, sample_surface
from ..render.meshes import Mesh

_ENLARGED = 0.1  # of the bounding box's sides, on either side of it: where outliers may lie
_DRAWN = 1000  # at least, so that chance does not empty a hole's surroundings
_LEAST_LEFT = 0.01  # of the surface, outside of a hole


def made_scan(
    mesh: Mesh, count: int, *, noise: float = 0.0, outliers: float = 0.0, hole: float = 0.0, seed: int = 0
) -> SurfacePoints:
    """Draws points evenly from a mesh's surface and spoils them as scanners do.

    A hole is what a ball around a point of the surface, chosen by the seed, would take out: none is drawn there, and
    there are `count` points all the same. With the same seed, stronger noise moves the same points further.

    Args:
        mesh: The true surface.
        count: Points in all, outliers included.
        noise: Standard deviation of Gaussian noise in each coordinate, as a share of the bounding box's diagonal.
        outliers: Share of points, in [0, 1], that lie anywhere in the bounding box, enlarged by a tenth on each side.
            They come last, and their normals point anywhere.
        hole: Radius of the ball, as a share of the diagonal; 0 leaves the surface whole.
        seed: Of everything that is drawn.

    Returns:
        Points, and the true normals of the places that they were drawn at.

    Raises:
        ValueError: A share is out of range, or the hole leaves nothing of the surface.
    """
    if not (count >= 0 and noise >= 0.0 and hole >= 0.0 and 0.0 <= outliers <= 1.0):
        raise ValueError(
            "A made scan takes a count, noise and a hole >= 0 and outliers in [0, 1], found "
            f"{count=}, {noise=}, {hole=} and {outliers=}."
        )
    generator = torch.Generator().manual_seed(seed)
    scattered = round(outliers * count)
    diagonal = mesh.diagonal()
    center = sample_surface(mesh, 1, generator=generator).points
    points, normals = _with_hole(mesh, count - scattered, center, hole * diagonal, generator)
    points = points + noise * diagonal * torch.randn(points.shape, generator=generator, dtype=torch.float64)
    low, high = mesh.vertices.amin(dim=0), mesh.vertices.amax(dim=0)
    margin = _ENLARGED * (high - low)
    anywhere = torch.rand(scattered, 3, generator=generator, dtype=torch.float64)
    anywhere = low - margin + anywhere * (high - low + 2.0 * margin)
    directions = torch.nn.functional.normalize(torch.randn(scattered, 3, generator=generator), dim=1)
    return SurfacePoints(torch.cat([points, anywhere]), torch.cat([normals, directions]))


def _with_hole(
    mesh: Mesh, count: int, center: torch.Tensor, radius: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and normals outside of a ball."""
    points, normals = sample_surface(mesh, 0, generator=generator)
    assert normals is not None
    while len(points) < count:
        drawn = sample_surface(mesh, max(count, _DRAWN), generator=generator)
        assert drawn.normals is not None
        outside = (drawn.points - center).norm(dim=1) >= radius
        if int(outside.sum()) < _LEAST_LEFT * len(outside):
            raise ValueError(
                f"The hole's ball, {radius:.6g} in radius, takes nearly all of the surface; choose a smaller one."
            )
        points, normals = torch.cat([points, drawn.points[outside]]), torch.cat([normals, drawn.normals[outside]])
    return points[:count], normals[:count]
