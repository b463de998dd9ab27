"""The zero level set of a signed distance as a closed mesh, by marching cubes on the blocks that it crosses."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64
from torch import Tensor

from ...render.meshes import Mesh

Distance = Callable[[Tensor], Tensor]
"""Points (n, 3), float32, to signed distances (n, 1) or (n,), negative inside."""

_COARSEST, _FINEST = 32, 4  # cells along the sides of blocks: those that are looked at first, and last
_SLAB = 32  # cells that are meshed at once, along x
_AT_ONCE = 1 << 19  # points per evaluation
_AWAY = 1e-3  # of a cell: how far vertices are kept from the grid's own, so that no two of them coincide


def extract_level_set(
    distance: Distance,
    lower: Float[Tensor, "3"],
    upper: Float[Tensor, "3"],
    *,
    resolution: int,
    lipschitz: float = 2.0,
    device: torch.device | None = None,
) -> Mesh:
    """Meshes f = 0 inside a box, whose sides count as outside: the mesh is closed, and its normals point to f > 0.

    The grid is evaluated from coarse to fine: a block of cells is left out where |f| at its middle is larger than
    `lipschitz` times half its diagonal, because f cannot vanish in it then. The rest is meshed slab by slab with the
    marching cubes of Lewiner et al. 2003, and the slabs share their vertices. Where f breaks the bound, parts may be
    lost, but the mesh stays closed.

    Args:
        distance: f; evaluated without gradients, at up to half a million points at once.
        lower, upper: Corners of the box; f is not evaluated outside it.
        resolution: Cells along its longest side.
        lipschitz: Largest slope that f may have; that of a distance is 1, that of a fitted one somewhat more.
        device: Where f lies; by default the CPU.

    Returns:
        The mesh in the box's coordinates; without vertices where f is positive everywhere.

    Raises:
        ValueError: The box has no inside, or resolution or bound are not positive.
    """
    if not bool((lower < upper).all()) or resolution < 1 or not lipschitz > 0.0:
        raise ValueError(
            "Marching cubes needs lower < upper, resolution >= 1 and lipschitz > 0; got "
            f"{lower.tolist()}, {upper.tolist()}, {resolution} and {lipschitz}."
        )
    origin, sides = lower.double().numpy(), (upper - lower).double().numpy()
    grid = _Grid(distance, origin, origin + sides, float(sides.max()) / resolution, device or torch.device("cpu"))
    blocks = np.ceil(sides / (grid.cell * _COARSEST) - 1e-6).astype(np.int64)
    active, inside = grid.refined(blocks, lipschitz)
    vertices, faces = _joined(grid.slabs(active, inside))
    mesh = Mesh(torch.from_numpy(vertices * grid.cell + origin), torch.from_numpy(faces))
    assert not len(faces) or enclosed_volume(mesh) > 0.0
    return mesh


def enclosed_volume(mesh: Mesh) -> float:
    """The volume inside a closed mesh, positive where its faces are counter-clockwise seen from outside.

    V = 1/6 sum_faces a . (b x c)
    """
    a, b, c = (mesh.vertices - mesh.vertices[:1])[mesh.faces.T]
    return float((a * torch.linalg.cross(b, c)).sum()) / 6.0


class _Grid:
    """A distance on the vertices of a grid."""

    def __init__(
        self,
        distance: Distance,
        origin: Float64[np.ndarray, "3"],
        upper: Float64[np.ndarray, "3"],
        cell: float,
        device: torch.device,
    ) -> None:
        self.distance, self.origin, self.upper, self.cell, self.device = distance, origin, upper, cell, device

    @torch.no_grad()
    def values(self, places: Float64[np.ndarray, "n 3"]) -> Float32[np.ndarray, " n"]:
        """max(f, distance from the box) at places in cells from the origin, in cells; NaN counts as outside."""
        found = np.empty(len(places), np.float32)
        for start in range(0, len(places), _AT_ONCE):
            some = places[start : start + _AT_ONCE] * self.cell + self.origin
            clamped = np.minimum(some, self.upper)
            points = torch.from_numpy(clamped.astype(np.float32)).to(self.device)
            values = np.nan_to_num(self.distance(points).reshape(-1).cpu().numpy(), nan=self.cell)
            within = np.minimum(some - self.origin, self.upper - some).min(axis=1)
            beyond = np.where(within > 0.0, -within, np.linalg.norm(some - clamped, axis=1))
            found[start : start + _AT_ONCE] = np.maximum(values, beyond) / self.cell
        return found

    def refined(
        self, blocks: Int64[np.ndarray, "3"], lipschitz: float
    ) -> tuple[Bool[np.ndarray, "x y z"], Bool[np.ndarray, "x y z"]]:
        """Which of the finest blocks f may vanish in, and which lie inside as far as is known."""
        active, inside = np.ones(blocks, bool), np.zeros(blocks, bool)
        size = _COARSEST
        while True:
            places = np.argwhere(active)
            found = self.values((places + 0.5) * size)
            inside[active] = found < 0.0
            active[active] = np.abs(found) <= lipschitz * size * 0.5 * 3.0**0.5
            if size == _FINEST:
                return active, inside
            size //= 2
            active, inside = _doubled(active), _doubled(inside)

    def slabs(
        self, active: Bool[np.ndarray, "x y z"], inside: Bool[np.ndarray, "x y z"]
    ) -> Iterator[tuple[Float64[np.ndarray, "v 3"], Int64[np.ndarray, "f 3"]]]:
        """The mesh of a slab after the other, in cells."""
        from skimage.measure import marching_cubes

        deep = _SLAB // _FINEST
        last = None
        for first in range(0, active.shape[0], deep):
            volume = self._volume(active, inside, first, min(deep, active.shape[0] - first))
            if last is not None:
                volume[0] = last
            last = volume[-1].copy()
            if volume.min() < 0.0:
                vertices, faces, _, _ = marching_cubes(volume, 0.0, gradient_direction="descent")
                vertices = vertices.astype(np.float64) + np.array([first * _FINEST, 0, 0])
                yield vertices, faces.astype(np.int64)

    def _volume(
        self, active: Bool[np.ndarray, "x y z"], inside: Bool[np.ndarray, "x y z"], first: int, deep: int
    ) -> Float32[np.ndarray, "a b c"]:
        """f at the grid's vertices of so many layers of blocks; only its sign where no block is active."""
        end = first + deep
        volume = np.where(_at_vertices(inside[first:end]), np.float32(-1.0), np.float32(1.0))
        # A vertex is evaluated if any of the eight blocks around it is active, also one in the layers beside these:
        # two slabs then agree about their common vertices.
        low = max(first - 1, 0)
        corners = (np.argwhere(active[low : end + 1]) + np.array([low - first, 0, 0])) * _FINEST
        wanted = np.zeros(volume.shape, bool)
        for offset in np.ndindex(*(_FINEST + 1,) * 3):
            x, y, z = (corners + offset).T
            here = (x >= 0) & (x < len(volume))
            wanted[x[here], y[here], z[here]] = True
        places = np.argwhere(wanted)
        found = self.values(places + np.array([first * _FINEST, 0.0, 0.0]))
        volume[wanted] = np.where(np.abs(found) < _AWAY, np.float32(_AWAY), found)
        return volume


def _doubled(blocks: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "a b c"]:
    return blocks.repeat(2, axis=0).repeat(2, axis=1).repeat(2, axis=2)


def _at_vertices(blocks: Bool[np.ndarray, "x y z"]) -> Bool[np.ndarray, "a b c"]:
    """What a block says, at the vertices from its lower corner on; the last block also at those of its upper side."""
    for axis in range(3):
        blocks = blocks.repeat(_FINEST, axis=axis)
        blocks = np.concatenate([blocks, blocks.take([-1], axis=axis)], axis=axis)
    return blocks


def _joined(
    slabs: Iterator[tuple[Float64[np.ndarray, "v 3"], Int64[np.ndarray, "f 3"]]],
) -> tuple[Float64[np.ndarray, "v 3"], Int64[np.ndarray, "f 3"]]:
    """One mesh of all slabs: vertices where two of them meet are the same to the bit, and become one."""
    all_vertices, all_faces = [np.empty((0, 3))], [np.empty((0, 3), np.int64)]
    known: dict[bytes, int] = {}
    count = 0
    for vertices, faces in slabs:
        numbers = np.full(len(vertices), -1)
        shared = np.flatnonzero(vertices[:, 0] % _SLAB == 0.0)
        keys = [row.tobytes() for row in vertices[shared]]
        numbers[shared] = [known.get(key, -1) for key in keys]
        new = numbers < 0
        numbers[new] = count + np.arange(new.sum())
        known = dict(zip(keys, numbers[shared].tolist(), strict=True))
        count += int(new.sum())
        all_vertices.append(vertices[new])
        all_faces.append(numbers[faces])
    return np.concatenate(all_vertices), np.concatenate(all_faces)
