"""The still life that `neufield demo` looks at: textured solids and a lacquered ball on a plinth, z up."""

import torch
from torch import Tensor

from .ray_tracing import Light, Solid, Studio, Texture
from .solids import Cylinder, RoundedBox, Sphere, Torus

PLINTH_TOP = -0.24
GLOSSY_CENTER = (-0.10, 0.14, PLINTH_TOP + 0.37)
GLOSSY_RADIUS = 0.37
SCENE_RADIUS = 1.02
"""All solids lie within this distance of the world's origin, and inside the cube [-1, 1]³."""


def still_life() -> Studio:
    """The solids, lamps and surroundings of the built-in scene."""
    top = PLINTH_TOP
    solids = (
        Solid(Cylinder(0.94, 0.07), (0.0, 0.0, top - 0.07), _wood, highlight=0.05, casts_shadow=False),
        Solid(Sphere(GLOSSY_RADIUS), GLOSSY_CENTER, _lacquer, mirror=0.26, highlight=1.2),
        Solid(RoundedBox(0.19, 0.035), (0.50, 0.36, top + 0.19), _marble, turn=0.5, highlight=0.25),
        Solid(Sphere(0.21), (0.46, -0.34, top + 0.21), _checker, turn=0.4, highlight=0.2),
        Solid(Cylinder(0.13, 0.30), (-0.60, -0.26, top + 0.30), _spiral, highlight=0.1),
        Solid(Torus(0.17, 0.07), (-0.12, -0.58, top + 0.07), _beads, highlight=0.5),
        Solid(Sphere(0.09), (-0.12, -0.58, top + 0.09), _plain(0.62, 0.05, 0.04), highlight=0.6),
        Solid(Sphere(0.12), (-0.52, 0.56, top + 0.12), _plain(0.10, 0.36, 0.16), highlight=0.6),
    )
    lights = (
        Light((2.4, -1.9, 3.6), (1.75, 1.58, 1.34), half_width=0.26),
        Light((-2.8, -1.0, 2.6), (0.34, 0.42, 0.56), half_width=0.40),
    )
    return Studio(solids, lights, _surroundings)


def _surroundings(directions: Tensor) -> Tensor:
    """A photographer's studio: warm floor, cool walls, a large and a narrow lamp box."""
    x, y, z = directions
    height = _step(z, -0.15, 1.0)
    light = _mix(_rgb(0.20, 0.17, 0.15), _rgb(0.40, 0.66, 1.10), height)
    above = z.clamp(min=1e-3)
    u, v = x / above, y / above
    large = _inside(u, 0.05, 0.75) * _inside(v, -0.95, 0.05) * (z > 0)
    azimuth = torch.atan2(y, x)
    narrow = _inside(azimuth, 2.0, 2.7) * _inside(z, 0.15, 0.62)
    return light + _rgb(2.6, 2.4, 2.1) * large + _rgb(0.9, 1.1, 1.4) * narrow


def _plain(red: float, green: float, blue: float) -> Texture:
    def texture(points: Tensor) -> Tensor:
        return _rgb(red, green, blue).expand_as(points)

    return texture


def _lacquer(points: Tensor) -> Tensor:
    """Deep blue with a thin golden belt."""
    belt = 1 - _step(torch.abs(points[2] + 0.06), 0.018, 0.026)
    return _mix(_rgb(0.006, 0.085, 0.36), _rgb(0.75, 0.45, 0.08), belt)


def _wood(points: Tensor) -> Tensor:
    """Growth rings on top and a dark band around the side."""
    x, y, z = points
    x, y = x + 0.35, y - 0.2
    radius = torch.sqrt(x * x + y * y) + 0.012 * torch.sin(7 * x + 3 * y) + 0.01 * torch.sin(11 * y - 4 * x)
    ring = radius * 11
    grain = (ring - torch.floor(ring)) ** 2
    wood = _mix(_rgb(0.66, 0.42, 0.21), _rgb(0.36, 0.19, 0.075), grain)
    band = (points[0] ** 2 + points[1] ** 2 > 0.936**2) & (torch.abs(z) < 0.045)
    return _mix(wood, _rgb(0.07, 0.045, 0.035), band)


def _marble(points: Tensor) -> Tensor:
    """White stone with grey veins."""
    x, y, z = points * 6
    swirl = torch.sin(1.3 * x + 2.1 * z) + 0.6 * torch.sin(2.7 * y - 1.9 * x + 1) + 0.35 * torch.sin(5.1 * z + 3.7 * y)
    vein = 1 - torch.abs(torch.sin(0.9 * x + 0.7 * y + 1.1 * z + 1.1 * swirl))
    return _mix(_rgb(0.82, 0.80, 0.77), _rgb(0.16, 0.18, 0.22), vein * vein * vein)


def _checker(points: Tensor) -> Tensor:
    """Terracotta and cream fields between meridians and parallels."""
    x, y, z = points / 0.21
    fields = torch.sin(6 * torch.atan2(y, x)) * torch.sin(6 * torch.acos(z.clamp(-1, 1)))
    return _mix(_rgb(0.60, 0.13, 0.05), _rgb(0.86, 0.76, 0.58), _step(fields, -0.06, 0.06))


def _spiral(points: Tensor) -> Tensor:
    """Green and white stripes that wind upwards."""
    x, y, z = points
    wave = torch.sin(3 * torch.atan2(y, x) + 14 * z)
    cap = z > 0.2999
    return _mix(_rgb(0.03, 0.24, 0.17), _rgb(0.85, 0.84, 0.78), _step(wave, -0.1, 0.1) * ~cap)


def _beads(points: Tensor) -> Tensor:
    """Mustard yellow with dark stripes around the tube."""
    wave = torch.cos(10 * torch.atan2(points[1], points[0]))
    return _mix(_rgb(0.80, 0.46, 0.03), _rgb(0.10, 0.07, 0.09), _step(wave, 0.45, 0.6))


def _rgb(red: float, green: float, blue: float) -> Tensor:
    return torch.tensor([[red], [green], [blue]], dtype=torch.float32)


def _mix(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    return first + (second - first) * share


def _step(x: Tensor, low: float, high: float) -> Tensor:
    """0 below `low`, 1 above `high`, smooth between."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _inside(x: Tensor, low: float, high: float, soft: float = 0.06) -> Tensor:
    return _step(x, low - soft, low + soft) * (1 - _step(x, high - soft, high + soft))
