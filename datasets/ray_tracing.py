"""A small vectorised ray tracer for the built-in scene: textured solids, soft shadows, one mirror bounce.

Arrays are (3, n) as in `solids`. Colours are linear; `display_from_linear` makes them what a screen shows.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from .solids import Shape, columns, dot, where_true

Texture = Callable[[Tensor], Tensor]
_OFFSET = 2e-3  # secondary rays start this far above the surface
_LAMP_CORNERS = ((-1.0, -1.0, 1.0), (1.0, -1.0, -1.0), (1.0, 1.0, 1.0), (-1.0, 1.0, -1.0))


@dataclass(frozen=True)
class Solid:
    """A shape at its place in the world, and what it is made of."""

    shape: Shape
    center: tuple[float, float, float]
    texture: Texture
    """Linear RGB albedo (3, n) at points of the shape's own frame."""
    turn: float = 0.0
    """Rotation about the vertical axis, radians."""
    mirror: float = 0.0
    """Share of light mirrored at normal incidence (Schlick's F0); 0 switches mirroring off."""
    highlight: float = 0.15
    """Strength of the Blinn-Phong highlight."""
    casts_shadow: bool = True

    def intersect(self, origins: Float[Tensor, "3 _"], directions: Float[Tensor, "3 rays"]) -> Float[Tensor, " rays"]:
        """Distance at which each ray enters the solid; infinite where it misses."""
        offset = origins - _column(self.center)
        along = dot(offset, directions)
        gap = dot(offset, offset) - along * along
        near = where_true((gap < self.shape.radius**2) & (along < self.shape.radius))
        t = torch.full_like(along, math.inf)
        if len(near) == 0:
            return t
        local = _turned(columns(offset, near), -self.turn)
        t[near] = self.shape.intersect(local, _turned(directions[:, near], -self.turn))
        return t

    def surface(self, points: Float[Tensor, "3 points"]) -> tuple[Float[Tensor, "3 points"], Float[Tensor, "3 points"]]:
        """World normals and albedo at points of the surface."""
        local = _turned(points - _column(self.center), -self.turn)
        return _turned(self.shape.normals(local), self.turn), self.texture(local)


@dataclass(frozen=True)
class Light:
    """A small lamp; each sub-sample of a pixel sees it from another of its corners, which softens shadows."""

    position: tuple[float, float, float]
    color: tuple[float, float, float]
    half_width: float

    def corners(self, samples: Int[Tensor, " points"]) -> Float[Tensor, "3 points"]:
        """The point of the lamp that each sub-sample sees."""
        signs = torch.tensor(_LAMP_CORNERS, dtype=torch.float32).T
        return (_column(self.position) + self.half_width * signs)[:, samples]


@dataclass(frozen=True)
class Studio:
    """Solids, lamps and the surroundings that mirrors show."""

    solids: Sequence[Solid]
    lights: Sequence[Light]
    surroundings: Texture
    """Linear RGB (3, n) that comes from infinitely far along the given unit directions."""

    def trace(
        self, origins: Float[Tensor, "3 _"], directions: Float[Tensor, "3 rays"], samples: Int[Tensor, " rays"]
    ) -> tuple[Float[Tensor, "3 rays"], Bool[Tensor, " rays"]]:
        """What rays see: linear RGB, zero where nothing was hit, and whether anything was.

        Args:
            origins: One point for all rays (3, 1), or one a ray.
            directions: Unit vectors.
            samples: Which corner of the lamps a ray sees, 0 to 3; a pixel is the mean over all four.
        """
        t, solid = self._nearest(origins, directions)
        hit = where_true(solid >= 0)
        points = columns(origins, hit) + t[hit] * directions[:, hit]
        color = torch.zeros_like(directions)
        color[:, hit] = self._shade(points, directions[:, hit], solid[hit], samples[hit], mirrors=True)
        return color, solid >= 0

    def _nearest(self, origins: Tensor, directions: Tensor) -> tuple[Tensor, Int[Tensor, " rays"]]:
        distances = torch.stack([solid.intersect(origins, directions) for solid in self.solids])
        t, index = distances.min(dim=0)
        return t, torch.where(t.isfinite(), index, -1)

    def _shade(self, points: Tensor, directions: Tensor, solid: Tensor, samples: Tensor, *, mirrors: bool) -> Tensor:
        normals, albedo = torch.empty_like(points), torch.empty_like(points)
        for i, which in enumerate(self.solids):
            chosen = where_true(solid == i)
            normals[:, chosen], albedo[:, chosen] = which.surface(points[:, chosen])
        lifted = points + _OFFSET * normals
        shine = torch.tensor([s.highlight for s in self.solids])[solid]
        color = albedo * self._ambient(points, normals, solid)
        for light in self.lights:
            diffuse, specular = self._lit(lifted, normals, directions, light.corners(samples))
            color += _column(light.color) * (albedo * diffuse + shine * specular)
        if mirrors:
            self._add_mirrored(color, lifted, normals, directions, solid, samples)
        return color

    def _ambient(self, points: Tensor, normals: Tensor, solid: Tensor) -> Tensor:
        """Light from all around: brighter from above, less where a neighbour's sphere hides part of it.

        A sphere of radius r at distance d hides cos(angle) (r / d)² of the cosine-weighted hemisphere.
        """
        openness = 0.30 + 0.16 * normals[2]
        for i, other in enumerate(self.solids):
            if not other.casts_shadow:
                continue
            to_other = _column(other.center) - points
            squared = dot(to_other, to_other).clamp(min=1e-6)
            hidden = dot(to_other, normals).clamp(min=0) * squared.rsqrt() * (other.shape.radius**2 / squared)
            openness *= 1 - torch.where(solid == i, 0, hidden.clamp(max=0.85))
        return _column((0.96, 1.0, 1.08)) * openness

    def _lit(self, points: Tensor, normals: Tensor, directions: Tensor, lamp: Tensor) -> tuple[Tensor, Tensor]:
        """Lambert's cosine and the Blinn-Phong highlight of a lamp, zero in shadow."""
        to_light = lamp - points
        distance = dot(to_light, to_light).sqrt()
        to_light = to_light / distance
        cosine = dot(to_light, normals).clamp(min=0)
        facing = where_true(cosine > 0)
        cosine[facing[self._shadowed(points[:, facing], to_light[:, facing], distance[facing])]] = 0
        middle = to_light - directions
        alignment = dot(middle, normals).clamp(min=0) * dot(middle, middle).clamp(min=1e-9).rsqrt()
        for _ in range(6):  # the 64th power
            alignment = alignment * alignment
        return cosine, torch.where(cosine > 0, alignment, 0)

    def _shadowed(self, points: Tensor, to_light: Tensor, distance: Tensor) -> Bool[Tensor, " points"]:
        shadow = torch.zeros_like(distance, dtype=torch.bool)
        for solid in self.solids:
            if solid.casts_shadow:
                shadow |= solid.intersect(points, to_light) < distance
        return shadow

    def _add_mirrored(
        self, color: Tensor, points: Tensor, normals: Tensor, directions: Tensor, solid: Tensor, samples: Tensor
    ) -> None:
        share = torch.tensor([s.mirror for s in self.solids])[solid]
        chosen = where_true(share > 0)
        share, normals, directions, points = share[chosen], normals[:, chosen], directions[:, chosen], points[:, chosen]
        cosine = -dot(directions, normals)
        mirrored = directions + 2 * cosine * normals
        t, seen = self._nearest(points, mirrored)
        light = self.surroundings(mirrored)
        hit = where_true(seen >= 0)
        reached = points[:, hit] + t[hit] * mirrored[:, hit]
        light[:, hit] = self._shade(reached, mirrored[:, hit], seen[hit], samples[chosen][hit], mirrors=False)
        grazing = (1 - cosine).clamp(min=0)
        fresnel = share + (1 - share) * grazing**4 * grazing
        color[:, chosen] = (1 - fresnel) * color[:, chosen] + fresnel * light


def display_from_linear(color: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Linear light >= 0 as screen values in [0, 1]: a soft shoulder 1 - exp(-x), then gamma 2."""
    return (1 - torch.exp(-color)).sqrt()


@functools.cache
def _column(values: tuple[float, ...]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None]


def _turned(vectors: Tensor, angle: float) -> Tensor:
    """Vectors turned about the vertical axis."""
    if angle == 0:
        return vectors
    cosine, sine = math.cos(angle), math.sin(angle)
    x, y, z = vectors
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, z])
