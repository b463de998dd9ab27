"""Analytic shapes that rays can meet, each around the origin of its own frame.

Points and directions are (3, n), one row per axis, so that every operation runs along contiguous memory; origins may be
(3, 1) where all rays start at one camera. A distance is infinite where a ray misses.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Shape(Protocol):
    """A closed surface around the origin of its own frame."""

    @property
    def radius(self) -> float:
        """Radius of a sphere about the origin that holds the whole shape."""
        ...

    def intersect(self, origins: Float[Tensor, "3 _"], directions: Float[Tensor, "3 rays"]) -> Float[Tensor, " rays"]:
        """Distance along each ray at which it enters the shape."""
        ...

    def normals(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        """Outward unit normals at points of the surface."""
        ...


@dataclass(frozen=True)
class Sphere:
    """A ball."""

    radius: float

    def intersect(self, origins: Float[Tensor, "3 _"], directions: Float[Tensor, "3 rays"]) -> Float[Tensor, " rays"]:
        """Distance along each ray at which it enters the ball."""
        along = -dot(origins, directions)
        # The distance between line and centre squared, formed from a short vector: b² - c would cancel in float32.
        short = origins + along * directions
        half_chord = self.radius**2 - dot(short, short)
        t = along - half_chord.clamp(min=0).sqrt()
        return _found(t, (half_chord > 0) & (t > 0))

    def normals(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        """Outward unit normals at points of the surface."""
        return points / self.radius


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder with flat caps."""

    ring: float
    half_height: float

    @property
    def radius(self) -> float:
        """Radius of a sphere about the origin that holds the whole shape."""
        return math.hypot(self.ring, self.half_height)

    def intersect(self, origins: Float[Tensor, "3 _"], directions: Float[Tensor, "3 rays"]) -> Float[Tensor, " rays"]:
        """Distance along each ray at which it enters the cylinder."""
        across = (directions[0] ** 2 + directions[1] ** 2).clamp(min=1e-12)
        along = -(origins[0] * directions[0] + origins[1] * directions[1]) / across
        x, y = origins[0] + along * directions[0], origins[1] + along * directions[1]
        chord = (self.ring**2 - x * x - y * y) / across
        half_chord = chord.clamp(min=0).sqrt()
        inverse = 1 / _away_from_zero(directions[2])
        middle, half_slab = -origins[2] * inverse, self.half_height * inverse.abs()
        enter = torch.maximum(along - half_chord, middle - half_slab)
        leave = torch.minimum(along + half_chord, middle + half_slab)
        return _found(enter, (chord > 0) & (enter < leave) & (enter > 0))

    def normals(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        """Outward unit normals at points of the surface."""
        outside = (points[0] ** 2 + points[1] ** 2).sqrt().clamp(min=1e-9)
        is_cap = points[2].abs() - self.half_height > outside - self.ring
        side = torch.stack([points[0] / outside, points[1] / outside, torch.zeros_like(outside)])
        cap = torch.stack([torch.zeros_like(outside), torch.zeros_like(outside), points[2].sign()])
        return torch.where(is_cap, cap, side)


@dataclass(frozen=True)
class RoundedBox:
    """A cube with rounded edges, found by walking along its signed distance."""

    half: float
    rounding: float

    @property
    def radius(self) -> float:
        """Radius of a sphere about the origin that holds the whole shape."""
        return math.sqrt(3) * (self.half - self.rounding) + self.rounding

    def intersect(self, origins: Float[Tensor, "3 _"], directions: Float[Tensor, "3 rays"]) -> Float[Tensor, " rays"]:
        """Distance along each ray at which it enters the cube."""
        inverse = 1 / _away_from_zero(directions)
        middle, half_slab = -origins * inverse, self.half * inverse.abs()
        enter, leave = (middle - half_slab).amax(dim=0), (middle + half_slab).amin(dim=0)
        start = _found(enter, (enter < leave) & (enter > 0))
        return _walk(self._distance, origins, directions, start, leave, rounds=10)

    def normals(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        """Outward unit normals at points of the surface."""
        outside = self._outside(points) * points.sign()
        return outside / dot(outside, outside).sqrt().clamp(min=1e-9)

    def _outside(self, points: Tensor) -> Tensor:
        return (points.abs() - (self.half - self.rounding)).clamp(min=0)

    def _distance(self, points: Tensor) -> Tensor:
        outside = self._outside(points)
        return dot(outside, outside).sqrt() - self.rounding


@dataclass(frozen=True)
class Torus:
    """A ring that lies flat, found by walking along its signed distance."""

    ring: float
    tube: float

    @property
    def radius(self) -> float:
        """Radius of a sphere about the origin that holds the whole shape."""
        return self.ring + self.tube

    def intersect(self, origins: Float[Tensor, "3 _"], directions: Float[Tensor, "3 rays"]) -> Float[Tensor, " rays"]:
        """Distance along each ray at which it enters the ring."""
        start = Cylinder(self.radius, self.tube).intersect(origins, directions)
        return _walk(self._distance, origins, directions, start, start + 2 * self.radius, rounds=24)

    def normals(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        """Outward unit normals at points of the surface."""
        share = 1 - self.ring / (points[0] ** 2 + points[1] ** 2).sqrt().clamp(min=1e-9)
        normals = torch.stack([points[0] * share, points[1] * share, points[2]])
        return normals / dot(normals, normals).sqrt().clamp(min=1e-9)

    def _distance(self, points: Tensor) -> Tensor:
        across = (points[0] ** 2 + points[1] ** 2).sqrt() - self.ring
        return (across**2 + points[2] ** 2).sqrt() - self.tube


def dot(a: Float[Tensor, "3 _"], b: Float[Tensor, "3 _"]) -> Float[Tensor, " _"]:
    """Inner products of columns."""
    return (a * b).sum(dim=0)


def columns(values: Float[Tensor, "3 _"], chosen: Tensor) -> Float[Tensor, "3 _"]:
    """The chosen columns, or the single one that stands for all."""
    return values if values.shape[1] == 1 else values[:, chosen]


def where_true(mask: Tensor) -> Tensor:
    """Indices at which a flat mask is true."""
    return torch.nonzero(mask)[:, 0]


def _found(t: Tensor, found: Tensor) -> Tensor:
    return torch.where(found, t, math.inf)


def _away_from_zero(values: Tensor) -> Tensor:
    return torch.where(values.abs() < 1e-9, 1e-9, values)


def _walk(
    distance: Callable[[Tensor], Tensor],
    origins: Tensor,
    directions: Tensor,
    start: Tensor,
    end: Tensor,
    *,
    rounds: int,
) -> Tensor:
    """Sphere tracing from `start`: steps as long as the signed distance allows; a miss where `end` was passed."""
    active = where_true(start.isfinite())
    origins, directions = columns(origins, active), directions[:, active]
    reached, gap = start[active], torch.full_like(active, math.inf, dtype=start.dtype)
    for _ in range(rounds):
        gap = distance(origins + reached * directions)
        reached = reached + gap
    t = torch.full_like(start, math.inf)
    t[active] = _found(reached, (gap < 2e-3) & (reached < end[active]))
    return t
