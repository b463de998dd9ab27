"""Points drawn from the surface of a mesh."""

from typing import NamedTuple

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from .meshes import Mesh


class SurfacePoints(NamedTuple):
    """Points of a surface."""

    points: Float64[Tensor, "n 3"]
    normals: Float32[Tensor, "n 3"] | None = None
    """Unit vectors; None where nobody knows them."""


def sample_surface(mesh: Mesh, count: int, *, generator: torch.Generator) -> SurfacePoints:
    """Draws points evenly by area, each with the normal of its triangle.

        p = (1 - √r₁) a + √r₁ (1 - r₂) b + √r₁ r₂ c,    r₁, r₂ uniform in [0, 1)

    Args:
        count: Points to draw, >= 0.
        generator: Of the CPU; the same state gives the same points.

    Raises:
        ValueError: The mesh has no area to draw from, or numbers that are not finite.

    (Osada et al. 2002, "Shape distributions", eq. 1.)
    """
    reach = mesh.face_areas().cumsum(dim=0)
    total = float(reach[-1]) if len(reach) else 0.0
    if not 0.0 < total < float("inf"):
        raise ValueError(
            f"Points are drawn from a mesh whose triangles have a finite area, found {len(mesh.faces)} triangles with "
            f"an area of {total} in all."
        )
    chosen = torch.rand(count, generator=generator, dtype=torch.float64) * total
    faces = torch.searchsorted(reach, chosen, right=True).clamp(max=len(reach) - 1)
    root, along = torch.rand(2, count, 1, generator=generator, dtype=torch.float64)
    root = root.sqrt()
    a, b, c = mesh.vertices[mesh.faces[faces]].unbind(dim=1)
    points = (1.0 - root) * a + root * (1.0 - along) * b + root * along * c
    return SurfacePoints(points, mesh.face_normals()[faces].float())
