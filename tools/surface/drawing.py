"""Pictures of meshes and clouds from the outside: orthographic, from a few sides, shaded or coloured by a distance."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from ...render.meshes import Mesh
from ..open3d_library import load_open3d
from ..pictures import heat_colors

_MARGIN = 1.05
_AMBIENT = 0.25
_FRONT, _BACK = (0.82, 0.84, 0.88), (0.85, 0.45, 0.35)  # outsides are grey, insides red
_LARGEST_SPLAT = 4


@dataclass(frozen=True)
class Side:
    """A direction to look from, orthographic.

    Attributes:
        name: For people.
        right, up, toward: Unit vectors of the picture's axes, and towards who looks; rows of one rotation.
    """

    name: str
    right: tuple[float, float, float]
    up: tuple[float, float, float]
    toward: tuple[float, float, float]

    def axes(self) -> Float64[Tensor, "3 3"]:
        """The three vectors as rows."""
        return torch.tensor([self.right, self.up, self.toward], dtype=torch.float64)


_SLANT = math.sqrt(0.5)
SIDES = (
    Side("along -z", (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    Side("along -x", (0.0, 0.0, -1.0), (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)),
    Side("along -y", (1.0, 0.0, 0.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)),
    Side(
        "slanting", (_SLANT, 0.0, -_SLANT), (-0.5 * _SLANT, math.sqrt(0.75), -0.5 * _SLANT), (0.612372, 0.5, 0.612372)
    ),
)
"""From where a surface is drawn."""


@dataclass(frozen=True)
class Frame:
    """A square of the world that a picture shows.

    Attributes:
        side: Where it is looked at from.
        middle: World.
        half: Half of what is seen along a side of the picture, world units.
        size: Pixels along a side.
    """

    side: Side
    middle: Tensor
    half: float
    size: int

    @classmethod
    def of(cls, points: Float64[Tensor, "n 3"], side: Side, size: int) -> "Frame":
        """What shows all of some points from a side."""
        seen = points @ side.axes().T
        low, high = seen.amin(dim=0), seen.amax(dim=0)
        half = 0.5 * _MARGIN * max(float((high - low)[:2].max()), 1e-300)
        return cls(side, (0.5 * (low + high)) @ side.axes(), half, size)

    def pixels(self, points: Float64[Tensor, "n 3"]) -> Float64[Tensor, "n 3"]:
        """Column, row and nearness, all in pixels, of points of the world."""
        seen = (points - self.middle) @ self.side.axes().T * (0.5 * self.size / self.half)
        middle = 0.5 * self.size
        return torch.stack([middle + seen[:, 0], middle - seen[:, 1], seen[:, 2]], dim=1)


def draw_mesh(
    mesh: Mesh, frames: list[Frame], distances: Float64[Tensor, "v"] | None = None, *, largest: float = 1.0
) -> Iterator[Float32[Tensor, "size size 3"]]:
    """A mesh in every frame, lit from where it is looked at; its inside is red.

    Args:
        mesh: Of any size.
        frames: What is drawn.
        distances: Of the vertices; where given they are the colours, from dark to bright.
        largest: The distance that is brightest.
    """
    open3d = load_open3d("Pictures of a mesh")
    core = open3d.core
    middle, scale = frames[0].middle, frames[0].half
    vertices = ((mesh.vertices - middle) / scale).float().numpy()
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(core.Tensor(vertices), core.Tensor(mesh.faces.numpy().astype(np.uint32)))
    for frame in frames:
        rays = torch.from_numpy(_rays(frame, middle, scale))
        found = scene.cast_rays(core.Tensor(rays.numpy()))
        hit = torch.from_numpy(found["t_hit"].numpy()).isfinite()
        normals = torch.from_numpy(found["primitive_normals"].numpy())
        toward = torch.tensor(frame.side.toward)
        light = (normals * toward).sum(dim=-1)
        shade = (_AMBIENT + (1.0 - _AMBIENT) * light.abs())[..., None]
        if distances is None:
            colors = torch.where(light[..., None] >= 0.0, torch.tensor(_FRONT), torch.tensor(_BACK))
        else:
            corners = mesh.faces[torch.from_numpy(found["primitive_ids"].numpy().astype(np.int64))[hit]]
            uv = torch.from_numpy(found["primitive_uvs"].numpy())[hit].double()
            weights = torch.stack([1.0 - uv.sum(dim=1), uv[:, 0], uv[:, 1]], dim=1)
            colors = torch.ones(*hit.shape, 3)
            colors[hit] = heat_colors(((distances[corners] * weights).sum(dim=1) / largest).float().clamp(0.0, 1.0))
            shade = 0.5 + 0.5 * shade
        yield torch.where(hit[..., None], colors * shade, torch.ones(3))


def draw_cloud(
    points: Float64[Tensor, "n 3"], normals: Float32[Tensor, "n 3"] | None, frames: list[Frame], *, spacing: float
) -> Iterator[Float32[Tensor, "size size 3"]]:
    """A cloud in every frame, each point a square as large as the spacing; lit if it has normals, else by nearness."""
    for frame in frames:
        seen = frame.pixels(points)
        if normals is None:
            low, high = seen[:, 2].aminmax()
            light = (seen[:, 2] - low) / (high - low).clamp(min=1e-9)
        else:
            light = (normals.double() @ torch.tensor(frame.side.toward, dtype=torch.float64)).abs()
        order = seen[:, 2].argsort()  # of several points on a pixel the nearest is written last, and stays
        column, row, nearness = seen[order].T.numpy()
        colors = ((_AMBIENT + (1.0 - _AMBIENT) * light[order, None]) * torch.tensor(_FRONT)).float().numpy()
        wide = min(max(round(spacing * frame.size / (2.0 * frame.half)), 1), _LARGEST_SPLAT)
        picture, nearest = np.ones((frame.size, frame.size, 3), np.float32), np.full((frame.size, frame.size), -np.inf)
        for dy, dx in product(range(wide), repeat=2):
            x, y = (np.floor(place).astype(int) + shift - wide // 2 for place, shift in ((column, dx), (row, dy)))
            inside = (x >= 0) & (x < frame.size) & (y >= 0) & (y < frame.size)
            layer, depth = np.ones_like(picture), np.full_like(nearest, -np.inf)
            layer[y[inside], x[inside]], depth[y[inside], x[inside]] = colors[inside], nearness[inside]
            closer = depth > nearest
            picture[closer], nearest[closer] = layer[closer], depth[closer]
        yield torch.from_numpy(picture)


def _rays(frame: Frame, middle: Tensor, scale: float) -> Float32[np.ndarray, "size size 6"]:
    """Origins and directions of the pixels' rays, in units of `scale` about `middle`."""
    right, up, toward = frame.side.axes()
    steps = (torch.arange(frame.size, dtype=torch.float64) + 0.5) * (2.0 / frame.size) - 1.0
    start = (frame.middle - middle) / scale + 10.0 * toward * max(frame.half / scale, 1.0)
    share = frame.half / scale
    origins = start + share * (steps[None, :, None] * right - steps[:, None, None] * up)
    directions = (-toward).expand_as(origins)
    return torch.cat([origins, directions], dim=2).float().numpy()
