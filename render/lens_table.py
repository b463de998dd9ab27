"""The inverse of lens distortion over a whole image: a table for the start, Newton's method for the rest.

How many steps the method takes is found once, when the table is built: no ray has to ask whether it has converged.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor

from .camera_models import Lens, distort, jacobian, newton_plane, newton_scale, radial_factor

_TABLE_SIZE = 256
_TABLE_MARGIN = 1.02  # pixels a little outside the image start well, too
_MOST_STEPS = 12


@dataclass(frozen=True)
class LensTable:
    """The inverse of ρ -> ρ R(ρ²) for every distinct lens of a batch, as starts for Newton's method."""

    entries: Float[Tensor, "lenses entries"]
    """Undistorted over distorted distance at evenly spaced squared distorted distances from zero on."""
    entries_per_unit: Float[Tensor, "lenses"]
    """Table entries per unit of squared distorted distance."""
    lens_of_camera: Int[Tensor, "cameras"]
    radial_steps: int
    """Newton steps that take every entry to the precision of the numbers."""
    tangential_steps: int
    """Newton steps that then take in the tangential part."""

    def scale(self, lens: Lens, squared: Float[Tensor, "n"], cameras: Int[Tensor, "n"]) -> Float[Tensor, "n"]:
        """Undistorted over distorted distance, from the squared distorted one, to the precision of the numbers."""
        if len(self.entries) == 1:
            position, first = squared * self.entries_per_unit, 0
        else:
            lenses = self.lens_of_camera[cameras]
            position, first = squared * self.entries_per_unit[lenses], lenses * _TABLE_SIZE
        whole = position.clamp(0, _TABLE_SIZE - 2).int()
        left = self.entries.view(-1).index_select(0, whole + first)
        right = self.entries.view(-1).index_select(0, whole + (first + 1))
        start = torch.lerp(left, right, (position - whole).clamp(max=1.0))
        return newton_scale(lens, squared, start, self.radial_steps)

    def undistort(
        self, lens: Lens, u: Float[Tensor, "n"], v: Float[Tensor, "n"], cameras: Int[Tensor, "n"]
    ) -> tuple[Float[Tensor, "n"], Float[Tensor, "n"]]:
        """The inverse of `distort`: (x, y) from (u, v), for perspective lenses."""
        x, y = u, v
        if lens.radial:
            scale = self.scale(lens, u * u + v * v, cameras)
            x, y = u * scale, v * scale
        return (x, y) if lens.tangential is None else newton_plane(lens, u, v, x, y, self.tangential_steps)


def build_lens_table(
    focal: Float[Tensor, "cameras 2"],
    center: Float[Tensor, "cameras 2"],
    distortion: Float[Tensor, "cameras 6"],
    fisheye: Bool[Tensor, "cameras"],
    sizes: Int[Tensor, "cameras 2"],
) -> LensTable:
    """Tabulates every lens over its whole image.

    Raises:
        ValueError: if a lens cannot be inverted somewhere in its image, naming the camera.
    """
    rows = torch.cat([focal, center, distortion, fisheye[:, None], sizes], dim=1).double().cpu()
    lenses, lens_of_camera = torch.unique(rows, dim=0, return_inverse=True)
    entries, per_unit = torch.empty(len(lenses), _TABLE_SIZE).double(), torch.empty(len(lenses)).double()
    tolerance = 0.1 * torch.finfo(focal.dtype).eps if focal.dtype == torch.float32 else 1e-14
    tangential_steps = 0
    for i, row in enumerate(lenses.numpy()):
        fault = _tabulate(row, entries.numpy()[i], per_unit.numpy()[i : i + 1])
        if fault is None and row[8:10].any() and not row[10]:
            one = LensTable(entries[i : i + 1], per_unit[i : i + 1], lens_of_camera[:0], _MOST_STEPS, 0)
            steps = _count_tangential_steps(row, one, tolerance)
            fault = "its tangential distortion cannot be inverted in the whole image" if steps is None else None
            tangential_steps = max(tangential_steps, steps or 0)
        if fault:
            camera = int((lens_of_camera == i).nonzero()[0])
            raise ValueError(f"camera {camera}: {fault}; check its distortion, or undistort the images first")
    radial_steps = _count_radial_steps(lenses[:, 4:8], entries, per_unit, tolerance)
    dtype, device = focal.dtype, focal.device
    return LensTable(
        entries.to(device, dtype), per_unit.to(device, dtype), lens_of_camera.to(device), radial_steps, tangential_steps
    )


def _count_radial_steps(k: Tensor, entries: Tensor, per_unit: Tensor, tolerance: float) -> int:
    """How many Newton steps reach the tolerance half-way between entries, where the start is worst."""
    lens = Lens(tuple(k.T[:, :, None]), None)
    squared = (torch.arange(_TABLE_SIZE - 1).double() + 0.5) / per_unit[:, None]
    scale = 0.5 * (entries[:, 1:] + entries[:, :-1])
    for steps in range(_MOST_STEPS):
        error = scale * radial_factor(lens, scale * scale * squared)[0] - 1.0
        if not len(k) or float(error.abs().max()) < tolerance:
            return steps
        scale = newton_scale(lens, squared, scale, 1)
    return _MOST_STEPS


def _tabulate(
    row: Float64[np.ndarray, "values"], entries: Float64[np.ndarray, "entries"], density: np.ndarray
) -> str | None:
    """Fills one row of the table by bisection; says what is wrong with the lens, if anything."""
    focal, center, k, fisheye, size = row[0:2], row[2:4], row[4:8], bool(row[10]), row[11:13]
    reach = float(np.linalg.norm(np.maximum(center, size - center) / focal))  # of the farthest corner
    limit = _first_turning_point(k)
    if fisheye:
        limit = min(limit, np.pi)
    farthest = _distance(k, limit) if np.isfinite(limit) else np.inf
    if reach > farthest:
        share = 100.0 * farthest / reach
        return (
            f"the distortion folds the image over: it can be inverted only up to {share:.0f} % of the way to its corner"
        )
    top = float(min(reach * _TABLE_MARGIN, farthest))
    squared = np.linspace(0.0, top * top, _TABLE_SIZE)
    wanted = np.sqrt(squared)
    low, high = np.zeros(_TABLE_SIZE), np.full(_TABLE_SIZE, limit if np.isfinite(limit) else _reach_out(k, top))
    for _ in range(60):
        middle = 0.5 * (low + high)
        below = _distance(k, middle) < wanted
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    entries[0] = 1.0
    entries[1:] = high[1:] / wanted[1:]
    density[0] = (_TABLE_SIZE - 1) / (top * top)
    return None


def _distance(k: np.ndarray, rho: np.ndarray | float) -> np.ndarray | float:
    """ρ R(ρ²)."""
    q = np.square(rho)
    return rho * (1.0 + q * (k[0] + q * (k[1] + q * (k[2] + q * k[3]))))


def _first_turning_point(k: np.ndarray) -> float:
    """The smallest ρ > 0 at which ρ R(ρ²) stops growing; infinity if it always grows."""
    roots = np.roots([9.0 * k[3], 7.0 * k[2], 5.0 * k[1], 3.0 * k[0], 1.0])
    squares = roots.real[(np.abs(roots.imag) < 1e-12) & (roots.real > 0.0)]
    return float(np.sqrt(squares.min())) if len(squares) else float("inf")


def _reach_out(k: np.ndarray, distance: float) -> float:
    """A ρ whose distorted distance is at least `distance`, for a lens that always grows."""
    rho = max(distance, 1.0)
    while float(_distance(k, rho)) < distance:
        rho *= 2.0
    return rho


def _count_tangential_steps(row: Float64[np.ndarray, "values"], table: LensTable, tolerance: float) -> int | None:
    """How many Newton steps invert the lens all over its image; None if they cannot, or a fold lies in the image."""
    focal, center, size = (torch.from_numpy(row[a:b]) for a, b in ((0, 2), (2, 4), (11, 13)))
    ticks = torch.linspace(0.0, 1.0, 33, dtype=torch.float64)
    u, v = ((torch.cartesian_prod(ticks, ticks) * size - center) / focal).T.contiguous()
    coefficients = torch.from_numpy(row[4:10])
    lens = Lens(tuple(coefficients[:4]), (coefficients[4], coefficients[5]))
    x, y = table.undistort(lens, u, v, torch.zeros(len(u), dtype=torch.int64))
    for steps in range(_MOST_STEPS):
        found_u, found_v = distort(lens, x, y)
        if float(torch.hypot(found_u - u, found_v - v).max()) < tolerance:
            return steps if _upright_on_the_way(lens, x, y) else None
        x, y = newton_plane(lens, u, v, x, y, 1)
    return None


def _upright_on_the_way(lens: Lens, x: Tensor, y: Tensor) -> bool:
    """Whether the distortion folds nothing over between the image's center and (x, y)."""
    on_the_way = torch.linspace(0.0, 1.0, 17, dtype=torch.float64)[:, None]
    du_dx, du_dy, dv_dy = jacobian(lens, (on_the_way * x).reshape(-1), (on_the_way * y).reshape(-1))
    return bool((du_dx * dv_dy > du_dy * du_dy).all())
