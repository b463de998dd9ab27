"""What a mesh has too much: surface where there is no data, and small pieces."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float64, Int64
from torch import Tensor

from ...render.meshes import Mesh

_NEIGHBOURS = 16


@dataclass(frozen=True, kw_only=True)
class Trimming:
    """How much is trimmed; lengths are in units of the samples' local spacing.

    Attributes:
        gap: Surface that comes this far from the samples spans a gap: it is removed. Holes with a radius below it stay
            closed.
        rim: A gap is removed up to this distance from the samples.
        piece: Connected pieces with less than this share of the largest one's area are removed.
    """

    gap: float = 4.0
    rim: float = 1.5
    piece: float = 0.01

    def __post_init__(self) -> None:
        if not (0.0 < self.rim <= self.gap and 0.0 <= self.piece <= 1.0):
            raise ValueError(f"Trimming needs 0 < rim <= gap and 0 <= piece <= 1, got {self}.")


DEFAULT = Trimming()
"""What suits dense samples."""


def trimmed(
    mesh: Mesh, samples: Float64[Tensor, "n 3"], trimming: Trimming = DEFAULT, *, watertight: bool = False
) -> Mesh:
    """Removes the surface that spans gaps of the samples, and small pieces.

    A vertex is off the data where its distance to the nearest sample is more than `rim` spacings; a connected region
    of such vertices is a gap if anywhere in it that distance is more than `gap` spacings, and a pinhole, which stays,
    if not.

    Args:
        mesh: The mesh.
        samples: Where there is data.
        trimming: How much.
        watertight: Only whole pieces are removed: what is closed stays closed.
    """
    from scipy.spatial import KDTree

    if not watertight and len(mesh.faces):
        spacing = local_spacing(samples).numpy()
        distance, nearest = KDTree(samples.numpy()).query(mesh.vertices.numpy(), workers=-1)
        # Samples that lie on each other, seventeen and more, have no spacing.
        off = torch.from_numpy(distance / np.maximum(spacing[nearest], np.median(spacing) * 1e-3 + 1e-300))
        mesh = kept_faces(mesh, ~_gaps(mesh, off, trimming)[mesh.faces].any(dim=1))
    return without_small_pieces(mesh, share=trimming.piece)


def local_spacing(samples: Float64[Tensor, "n 3"]) -> Float64[Tensor, " n"]:
    """1 / sqrt(density) about every sample, by the distance r to its k-th neighbour: k in a disk of area pi r^2.

    k is 16: with fewer, where points are scattered, chance speaks more than the density.
    """
    from scipy.spatial import KDTree

    count = max(min(_NEIGHBOURS + 1, len(samples)), 2)
    distances, _ = KDTree(samples.numpy()).query(samples.numpy(), k=count, workers=-1)
    return torch.from_numpy(distances[:, -1] * np.sqrt(np.pi / _NEIGHBOURS))


def without_small_pieces(mesh: Mesh, *, share: float) -> Mesh:
    """Keeps the connected pieces that have at least a share of the largest one's area."""
    if not len(mesh.faces):
        return mesh
    pieces = _pieces(mesh.faces, len(mesh.vertices))[mesh.faces[:, 0]]
    a, b, c = mesh.vertices[mesh.faces.T]
    areas = torch.zeros(int(pieces.max()) + 1, dtype=torch.float64)
    areas.index_add_(0, pieces, torch.linalg.cross(b - a, c - a).norm(dim=1))
    return kept_faces(mesh, (areas >= share * areas.max())[pieces])


def capped(mesh: Mesh) -> Mesh:
    """Closes a mesh that ends somewhere: a fan from the middle of each border to its edges.

    A border is a connected set of edges that have one face. Screened Poisson leaves them at the sides of its cube.
    """
    count = len(mesh.vertices)
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    border = edges[~torch.isin(edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0])]
    if not len(border):
        return mesh
    pieces = _pieces(border[:, [0, 1, 0]], count)[border[:, 0]]
    _, pieces = pieces.unique(return_inverse=True)
    middles = torch.zeros(int(pieces.max()) + 1, 3, dtype=torch.float64)
    middles.index_add_(0, pieces, mesh.vertices[border[:, 0]])
    middles /= pieces.bincount()[:, None]
    fans = torch.stack([border[:, 1], border[:, 0], count + pieces], dim=1)
    return Mesh(torch.cat([mesh.vertices, middles]), torch.cat([mesh.faces, fans]))


def kept_faces(mesh: Mesh, kept: Bool[Tensor, " f"]) -> Mesh:
    """The mesh of some of its faces and the vertices that they use."""
    faces = mesh.faces[kept]
    used = torch.zeros(len(mesh.vertices), dtype=torch.bool)
    used[faces] = True
    numbers = torch.cumsum(used, dim=0) - 1
    normals = None if mesh.normals is None else mesh.normals[used]
    colors = None if mesh.colors is None else mesh.colors[used]
    return Mesh(mesh.vertices[used], numbers[faces], normals, colors)


def _gaps(mesh: Mesh, off: Float64[Tensor, " v"], trimming: Trimming) -> Bool[Tensor, " v"]:
    """Which vertices lie in gaps, from their distances to the data in spacings."""
    beyond = off > trimming.rim
    regions = _pieces(mesh.faces[beyond[mesh.faces].all(dim=1)], len(mesh.vertices))
    wide = torch.zeros(int(regions.max()) + 1, dtype=torch.bool)
    wide[regions[off > trimming.gap]] = True
    return beyond & wide[regions]


def _pieces(faces: Int64[Tensor, "f 3"], vertices: int) -> Int64[Tensor, " v"]:
    """The number of the connected piece that each vertex belongs to."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    a, b = torch.cat([faces[:, :2], faces[:, 1:]]).T.numpy()
    graph = coo_array((np.ones(len(a), bool), (a, b)), shape=(vertices, vertices))
    return torch.from_numpy(connected_components(graph, directed=False)[1].astype(np.int64))
