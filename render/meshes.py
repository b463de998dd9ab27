"""Triangle meshes: what is fitted to, compared, and written to files."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float32, Float64, Int64
from torch import Tensor


@dataclass(frozen=True)
class Mesh:
    """Triangles between vertices; seen from outside, the corners of each run counterclockwise."""

    vertices: Float64[Tensor, "v 3"] = field(repr=False)
    faces: Int64[Tensor, "f 3"] = field(repr=False)
    """Rows of `vertices`, >= 0."""
    normals: Float32[Tensor, "v 3"] | None = field(default=None, repr=False)
    """Unit vectors, outwards; None where nobody said: `vertex_normals` computes them."""
    colors: Float32[Tensor, "v 3"] | None = field(default=None, repr=False)
    """In [0, 1]."""

    def __post_init__(self) -> None:
        if len(self.faces) and not 0 <= int(self.faces.min()) <= int(self.faces.max()) < len(self.vertices):
            raise ValueError(
                f"A mesh's faces are rows of its {len(self.vertices)} vertices, found {int(self.faces.min())} to "
                f"{int(self.faces.max())}."
            )

    def corners(self) -> Float64[Tensor, "f 3 3"]:
        """Positions of each triangle's three corners."""
        return self.vertices[self.faces]

    def diagonal(self) -> float:
        """Length of the bounding box's diagonal; 0 without vertices."""
        if not len(self.vertices):
            return 0.0
        return float((self.vertices.amax(dim=0) - self.vertices.amin(dim=0)).norm())

    def area_vectors(self) -> Float64[Tensor, "f 3"]:
        """Outward normals of the triangles, as long as their areas: half of (b - a) × (c - a)."""
        a, b, c = self.corners().unbind(dim=1)
        return 0.5 * torch.linalg.cross(b - a, c - a)

    def face_areas(self) -> Float64[Tensor, "f"]:
        """Areas of the triangles."""
        return self.area_vectors().norm(dim=1)

    def face_normals(self) -> Float64[Tensor, "f 3"]:
        """Outward unit normals of the triangles; zero where one has no area."""
        return _unit(self.area_vectors())

    def vertex_normals(self) -> Float32[Tensor, "v 3"]:
        """Outward unit normals of the vertices: means over their triangles, by area; zero where there is no area.

        (Gouraud 1971 with weights by area; `normals`, if the mesh has them, are not looked at.)
        """
        sums = torch.zeros_like(self.vertices)
        sums.index_add_(0, self.faces.flatten(), self.area_vectors().repeat_interleave(3, dim=0))
        return _unit(sums).float()

    def volume(self) -> float:
        """Volume inside a closed mesh; negative if its triangles are turned inside out.

            V = 1/3 Σ_f (centre of f) · (area vector of f)

        Without meaning for a mesh that is not closed. (The divergence theorem on x/3.)
        """
        if not len(self.faces):
            return 0.0
        middle = self.vertices.mean(dim=0)  # short vectors lose less to rounding
        return float(((self.corners().mean(dim=1) - middle) * self.area_vectors()).sum() / 3.0)

    def is_closed(self) -> bool:
        """Whether every edge lies in exactly two triangles; False without triangles."""
        if not len(self.faces):
            return False
        edges = torch.cat([self.faces[:, [0, 1]], self.faces[:, [1, 2]], self.faces[:, [2, 0]]])
        low, high = edges.aminmax(dim=1)
        _, counts = torch.unique(low * len(self.vertices) + high, return_counts=True)
        return bool((low != high).all() and (counts == 2).all())


def _unit(vectors: Float64[Tensor, "n 3"]) -> Float64[Tensor, "n 3"]:
    lengths = vectors.norm(dim=1, keepdim=True)
    return torch.where(lengths > 0.0, vectors / lengths, torch.zeros_like(vectors))
