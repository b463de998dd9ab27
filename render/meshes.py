"""Triangle meshes in memory."""

from dataclasses import dataclass

from jaxtyping import Float32, Float64, Int64
from torch import Tensor


@dataclass(frozen=True)
class Mesh:
    """Triangles over vertices in the user's coordinates, counter-clockwise seen from outside."""

    vertices: Float64[Tensor, "v 3"]
    faces: Int64[Tensor, "f 3"]
    normals: Float32[Tensor, "v 3"] | None = None
    """Unit, outwards."""
    colors: Float32[Tensor, "v 3"] | None = None
    """In [0, 1]."""
