"""Lens models: how a direction in front of the camera lands on the image, and back.

Notation, used in the whole file: (x, y) is the undistorted position on the plane z = 1, (u, v) the distorted one, which
the focal length and the principal point turn into pixels. With R(q) = 1 + k1 q + k2 q² + k3 q³ + k4 q⁴ and r² = x² + y²
perspective lenses follow Brown (1966) as COLMAP's OPENCV does,

    u = x R(r²) + 2 p1 x y + p2 (r² + 2 x²),   v = y R(r²) + p1 (r² + 2 y²) + 2 p2 x y

and fisheye lenses Kannala and Brandt (2006): |(u, v)| = θ R(θ²) with the angle θ to the optical axis. Both need the
inverse of ρ -> ρ R(ρ²), which `lens_table` starts from a table; Newton's method here ends at the numbers' precision.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

CameraModel = Literal["SIMPLE_PINHOLE", "PINHOLE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "OPENCV_FISHEYE"]

# Where each parameter of a model goes, in COLMAP's order.
_PARAMETERS: dict[str, tuple[str, ...]] = {
    "SIMPLE_PINHOLE": ("f", "cx", "cy"),
    "PINHOLE": ("fx", "fy", "cx", "cy"),
    "SIMPLE_RADIAL": ("f", "cx", "cy", "k1"),
    "RADIAL": ("f", "cx", "cy", "k1", "k2"),
    "OPENCV": ("fx", "fy", "cx", "cy", "k1", "k2", "p1", "p2"),
    "OPENCV_FISHEYE": ("fx", "fy", "cx", "cy", "k1", "k2", "k3", "k4"),
}


@dataclass(frozen=True)
class Intrinsics:
    """What a camera model says about one lens, in the terms that `Cameras` uses."""

    focal: tuple[float, float]
    center: tuple[float, float]
    distortion: tuple[float, float, float, float, float, float]
    fisheye: bool


def parameter_count(model: str) -> int:
    """How many numbers a COLMAP camera model has.

    Raises:
        ValueError: for a model that is not one of `CameraModel`.
    """
    if model not in _PARAMETERS:
        supported = ", ".join(get_args(CameraModel))
        raise ValueError(
            f"camera model {model} is not supported (supported: {supported}); "
            "undistort the images with COLMAP's image_undistorter and use its output folder"
        )
    return len(_PARAMETERS[model])


def intrinsics_from_colmap(model: str, params: Sequence[float]) -> Intrinsics:
    """Reads the parameters of a COLMAP camera model, in COLMAP's order.

    Raises:
        ValueError: for another model, another number of parameters, a value that is not finite, a focal length <= 0.
    """
    if len(params) != parameter_count(model):
        names = ", ".join(_PARAMETERS[model])
        raise ValueError(f"camera model {model} has {parameter_count(model)} parameters ({names}); found {len(params)}")
    values = dict(zip(_PARAMETERS[model], (float(value) for value in params), strict=True))
    if not all(math.isfinite(value) for value in values.values()):
        raise ValueError(f"camera model {model} has parameters that are not finite: {values}")
    focal = (values.get("fx", values.get("f", 0.0)), values.get("fy", values.get("f", 0.0)))
    if min(focal) <= 0.0:
        raise ValueError(f"camera model {model} needs focal lengths above zero; found {focal[0]:g}, {focal[1]:g}")
    k1, k2, k3, k4, p1, p2 = (values.get(name, 0.0) for name in ("k1", "k2", "k3", "k4", "p1", "p2"))
    return Intrinsics(focal, (values["cx"], values["cy"]), (k1, k2, k3, k4, p1, p2), model == "OPENCV_FISHEYE")


@dataclass(frozen=True)
class Lens:
    """Distortion coefficients, one entry per point or one for all; what is zero for every camera is left out."""

    radial: tuple[Tensor, ...]
    """k1, k2, ... up to the last one that is used."""
    tangential: tuple[Tensor, Tensor] | None
    """p1, p2."""


def radial_factor(lens: Lens, squared: Tensor) -> tuple[Tensor, Tensor]:
    """R(q) and dR/dq."""
    value, slope = lens.radial[-1], torch.zeros_like(lens.radial[-1])
    for coefficient in reversed(lens.radial[:-1]):
        slope = torch.addcmul(value, slope, squared)
        value = torch.addcmul(coefficient, value, squared)
    slope = torch.addcmul(value, slope, squared)
    return 1.0 + value * squared, slope


def distort(lens: Lens, x: Float[Tensor, "n"], y: Float[Tensor, "n"]) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
    """Where the undistorted position (x, y) of a perspective lens lands: (u, v)."""
    r2 = x * x + y * y
    radial = radial_factor(lens, r2)[0] if lens.radial else torch.ones_like(x)
    if lens.tangential is None:
        return x * radial, y * radial
    p1, p2 = lens.tangential
    twice_xy = 2.0 * x * y
    u = x * radial + p1 * twice_xy + p2 * (r2 + 2.0 * x * x)
    v = y * radial + p1 * (r2 + 2.0 * y * y) + p2 * twice_xy
    return u, v


def distort_angle(lens: Lens, theta: Float[Tensor, "n"]) -> Float[Tensor, "n"]:
    """The distance from the principal point, in focal lengths, of a fisheye ray at the angle `theta` to the axis."""
    return theta * radial_factor(lens, theta * theta)[0] if lens.radial else theta


def jacobian(lens: Lens, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """du/dx, du/dy = dv/dx, dv/dy of `distort`."""
    radial, slope = (
        radial_factor(lens, x * x + y * y)
        if lens.radial
        else (torch.ones_like(x), torch.zeros(1, dtype=x.dtype, device=x.device))
    )
    du_dx, du_dy, dv_dy = radial + 2.0 * x * x * slope, 2.0 * x * y * slope, radial + 2.0 * y * y * slope
    if lens.tangential is not None:
        p1, p2 = lens.tangential
        p1x, p1y, p2x, p2y = p1 * x, p1 * y, p2 * x, p2 * y
        du_dx = du_dx + 2.0 * p1y + 6.0 * p2x
        du_dy = du_dy + 2.0 * (p1x + p2y)
        dv_dy = dv_dy + 6.0 * p1y + 2.0 * p2x
    return du_dx, du_dy, dv_dy


def newton_scale(lens: Lens, squared: Tensor, scale: Tensor, steps: int) -> Tensor:
    """Solves s R(s² q) = 1 for s, undistorted over distorted distance, from a start that is close; q is `squared`."""
    for _ in range(steps):
        inner = scale * scale * squared
        value, slope = radial_factor(lens, inner)
        scale = scale - (scale * value - 1.0) / torch.addcmul(value, inner, slope, value=2.0)
    return scale


def newton_plane(lens: Lens, u: Tensor, v: Tensor, x: Tensor, y: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Solves distort(x, y) = (u, v) from a start that is close."""
    for _ in range(steps):
        found_u, found_v = distort(lens, x, y)
        error_u, error_v = found_u - u, found_v - v
        du_dx, du_dy, dv_dy = jacobian(lens, x, y)
        inverse = 1.0 / (du_dx * dv_dy - du_dy * du_dy)
        x = x - (dv_dy * error_u - du_dy * error_v) * inverse
        y = y - (du_dx * error_v - du_dy * error_u) * inverse
    return x, y
