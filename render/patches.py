"""A cloud cut into overlapping patches: where they are, how they lie, and which points each of them has."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

_SAMPLES = 2000  # points at which noise and spacing are estimated
_NEIGHBORS = (24, 48, 96, 192, 384)  # tried in turn, until they reach well beyond the noise
_REACH = 4.0  # neighbourhoods reach so many times the noise
_LINKS = 10  # neighbours that points of a patch are connected through


@dataclass(frozen=True)
class Patches:
    """Patches of a cloud; points of patch k are `members[starts[k] : starts[k + 1]]`.

    Attributes:
        members: Indices of points; most points are in several patches.
        starts: Where each patch begins, patches + 1.
        centers: Origins of the patches' frames.
        frames: Their axes as rows: two along the patch, the third across it.
        scales: Distance from the origin that is 1 in the frame.
    """

    members: Int64[Tensor, " entries"]
    starts: Int64[Tensor, " patches_plus_1"]
    centers: Float[Tensor, "patches 3"]
    frames: Float[Tensor, "patches 3 3"]
    scales: Float[Tensor, " patches"]

    def __len__(self) -> int:
        return len(self.scales)

    def padded(self, first: int, last: int) -> tuple[Int64[Tensor, "patches widest"], Bool[Tensor, "patches widest"]]:
        """Members of patches first to last side by side, and which of them there are; others are member 0 there."""
        counts = self.starts[first + 1 : last + 1] - self.starts[first:last]
        column = torch.arange(int(counts.max()))
        mask = column < counts[:, None]
        place = torch.where(mask, self.starts[first:last, None] + column, self.starts[first:last, None])
        return self.members[place], mask

    def into_frames(self, points: Float[Tensor, "patches widest 3"], first: int) -> Float[Tensor, "patches widest 3"]:
        """Points in the frames of patches from `first` on."""
        part = slice(first, first + len(points))
        turned = (points - self.centers[part, None]) @ self.frames[part].mT
        return turned / self.scales[part, None, None]

    def out_of_frames(self, points: Float[Tensor, "patches widest 3"], first: int) -> Float[Tensor, "patches widest 3"]:
        """The opposite of `into_frames`."""
        part = slice(first, first + len(points))
        return (points * self.scales[part, None, None]) @ self.frames[part] + self.centers[part, None]


def estimate_noise(points: Float[Tensor, "n 3"], *, seed: int = 0) -> tuple[float, int]:
    """Standard deviation of the noise across the surface, and how many neighbours reach well beyond it.

    Around some of the points a quadric is fitted to the neighbours; the median of what is left is the noise. The
    number of neighbours grows until they reach four times as far as the noise.

    Raises:
        ValueError: There are fewer than 24 points.
    """
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

    if len(points) < _NEIGHBORS[0]:
        raise ValueError(f"Patches need {_NEIGHBORS[0]} points or more, found {len(points)}.")
    cloud = points.double().numpy()
    chosen = np.random.default_rng(seed).permutation(len(cloud))[:_SAMPLES]
    tree, noise, count = cKDTree(cloud), 0.0, _NEIGHBORS[0]
    for count in (k for k in _NEIGHBORS if k <= len(cloud)):
        far, near = tree.query(cloud[chosen], k=count, workers=-1)
        noise = float(np.median(_quadric_residuals(cloud[near])))
        if np.median(far[:, -1]) > _REACH * noise:
            break
    return noise, count


def _quadric_residuals(near: np.ndarray) -> np.ndarray:
    """Standard deviations from the quadric z(x, y) over the plane of each neighbourhood (n, k, 3)."""
    centered = near - near.mean(1, keepdims=True)
    _, axes = np.linalg.eigh(np.einsum("nki,nkj->nij", centered, centered))
    z, x, y = np.moveaxis(centered @ axes, 2, 0)
    size = np.abs(centered).max((1, 2))[:, None] + 1e-30
    x, y = x / size, y / size
    basis = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], 2)
    normal = np.einsum("nki,nkj->nij", basis, basis) + 1e-9 * np.eye(6)
    weights = np.linalg.solve(normal, np.einsum("nki,nk->ni", basis, z)[..., None])
    left = z - (basis @ weights)[..., 0]
    return np.sqrt((left**2).sum(1) / (near.shape[1] - 6))


def cover(
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"] | None,
    *,
    spacing: float,
    radius: float,
    neighbors: int,
    most_degrees: float = 95.0,
    seed: int = 0,
) -> Patches:
    """Covers a cloud with patches around points of it.

    Centres are drawn until every point is closer than `spacing` to one of them. A patch is what can be reached from its
    centre within the ball of `radius`, from neighbour to neighbour, and whose normal turns less than `most_degrees`
    from the centre's. Without normals those of the neighbours' planes are taken, their signs carried along the way.
    A point that is in no patch in the end (one that is far from all others) is left out.

    Args:
        points: Any unit.
        normals: Oriented unit normals, if there are any.
        spacing: Of centres.
        radius: Of patches, larger than the spacing so that patches overlap.
        neighbors: Whose plane gives a point's normal where there is none.
        most_degrees: How far normals may turn.
        seed: Seed of the centres.
    """
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

    cloud = points.double().numpy()
    tree = cKDTree(cloud)
    links = tree.query(cloud, k=min(_LINKS + 1, len(cloud)), workers=-1)[1][:, 1:]
    across = _plane_normals(cloud, tree, neighbors) if normals is None else normals.double().numpy()
    local = np.full(len(cloud), -1)
    lowest, oriented = math.cos(math.radians(most_degrees)), normals is not None
    found: list[np.ndarray] = []
    covered = np.zeros(len(cloud), bool)
    for center in np.random.default_rng(seed).permutation(len(cloud)):
        if covered[center]:
            continue
        ball = np.asarray(tree.query_ball_point(cloud[center], radius))
        part = _reached(int(center), ball, links, across, local, lowest, oriented)
        close = part[np.linalg.norm(cloud[part] - cloud[center], axis=1) < spacing]
        covered[close] = covered[center] = True
        if len(part) >= _LINKS:
            found.append(part)
    return _framed(points, found)


def _plane_normals(cloud: np.ndarray, tree: Any, neighbors: int) -> np.ndarray:
    """Unit normals of the neighbours' planes, signs as they come."""
    normals = np.empty_like(cloud)
    for first in range(0, len(cloud), 20_000):
        near = cloud[tree.query(cloud[first : first + 20_000], k=min(neighbors, len(cloud)), workers=-1)[1]]
        near -= near.mean(1, keepdims=True)
        normals[first : first + 20_000] = np.linalg.eigh(np.einsum("nki,nkj->nij", near, near))[1][:, :, 0]
    return normals


def _reached(
    center: int,
    ball: np.ndarray,
    links: np.ndarray,
    across: np.ndarray,
    local: np.ndarray,
    lowest: float,
    oriented: bool,
) -> np.ndarray:
    """Points of the ball that are reached from its centre; `local` is -1 everywhere, before and after."""
    local[ball] = np.arange(len(ball))
    near = local[links[ball]]
    local[ball] = -1
    turned = across[ball].copy()
    start = int(np.flatnonzero(ball == center)[0])
    seen = np.zeros(len(ball), bool)
    seen[start] = True
    frontier = np.array([start])
    while len(frontier):
        source, target = np.repeat(frontier, near.shape[1]), near[frontier].ravel()
        fresh = target >= 0
        fresh[fresh] = ~seen[target[fresh]]
        source, target = source[fresh], target[fresh]
        target, once = np.unique(target, return_index=True)
        source = source[once]
        if not oriented:
            along = (turned[source] * turned[target]).sum(1)
            turned[target] *= np.where(along < 0, -1.0, 1.0)[:, None]
        frontier = target[turned[target] @ turned[start] > lowest]
        seen[frontier] = True
    return ball[seen]


def _framed(points: Tensor, found: list[np.ndarray]) -> Patches:
    """Every patch in the frame of its principal axes, around its mean."""
    counts = torch.tensor([len(part) for part in found], dtype=torch.int64)
    starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    members = torch.from_numpy(np.concatenate(found) if found else np.zeros(0, np.int64)).long()
    centers = torch.zeros(len(found), 3, dtype=points.dtype)
    frames, scales = torch.zeros(len(found), 3, 3, dtype=points.dtype), torch.ones(len(found), dtype=points.dtype)
    cloud = points.double().numpy()
    for k, part in enumerate(found):
        own = cloud[part]
        center = own.mean(0)
        own = own - center
        axes = np.linalg.eigh(own.T @ own)[1][:, ::-1].T.copy()
        axes[2] *= np.sign(np.linalg.det(axes))
        centers[k], frames[k] = torch.from_numpy(center), torch.from_numpy(axes)
        scales[k] = max(float(np.linalg.norm(own, axis=1).max()), 1e-12)
    return Patches(members, starts, centers, frames, scales)
