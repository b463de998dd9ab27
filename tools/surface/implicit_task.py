"""The implicit method of `neufield surface`: a signed distance is fitted to points, and meshed."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor, nn

from ...configs.implicit_config import ImplicitConfig
from ...fields.signed_distance_field import SignedDistanceField, grid_distance, siren_distance
from ...render.meshes import Mesh
from ...render.similarity import Similarity
from .level_set import extract_level_set
from .mesh_trimming import DEFAULT, Trimming, local_spacing, trimmed
from .poisson_meshing import estimated_normals

_MARGIN = 0.06  # around the points' box, in its longest sides
_RATES = {"hash": 1e-2, "siren": 5e-4}
_WIDTHS = {"hash": 64, "siren": 128}
_COARSEST = 8
_SPACINGS_PER_CELL, _DEVIATIONS_PER_CELL = 1.5, 3.0
_FINEST = (32.0, 1024.0)
_NEAR = 4.0  # standard deviation of places near the surface, in spacings
_SHARPNESS = 100.0  # of the term that keeps surface away
_SETTLED = 0.4  # share of the training in which the shape may still turn inside out
_SCORED = 4096
_PLACES = 1 << 18  # in the box, drawn once
_SURE = 2.0  # cells from the points from which on their normals say which side a place is on


def unit_from_user(points: Float64[Tensor, "n 3"]) -> Similarity:
    """The frame in which distances are fitted: the points' box about the origin, its longest side 1.

    Raises:
        ValueError: All points are the same.
    """
    low, high = points.amin(dim=0), points.amax(dim=0)
    side = float((high - low).max())
    if not side > 0.0:
        raise ValueError(f"All {len(points)} points lie at {low.tolist()}; a surface needs points that differ.")
    return Similarity(1.0 / side, torch.eye(3), -0.5 * (low + high) / side)


def resolved(config: ImplicitConfig, points: Float32[Tensor, "n 3"], *, noise: float = 0.0) -> ImplicitConfig:
    """The settings with everything filled in that follows from the points.

    Args:
        config: As given.
        points: In the unit frame.
        noise: Standard deviation of the points from the surface, in the unit frame, as far as it is known.
    """
    spacing = float(local_spacing(points.double()).median())
    cell = max(_SPACINGS_PER_CELL * spacing, _DEVIATIONS_PER_CELL * noise)
    finest = min(max(1.0 / max(cell, 1e-9), _FINEST[0]), _FINEST[1])
    return replace(
        config,
        finest=config.finest or finest,
        width=config.width or _WIDTHS[config.field],
        rate=config.rate or _RATES[config.field],
    )


class SurfaceImplicitTask:
    """Fits a signed distance f to points of a surface, with their normals n where there are any.

        E = a |f(p)| + b (1 - cos(grad f(p), n)) + c | |grad f| - 1 | + d max(|s(x)| / 2 - sign(s(x)) f(x), 0)

    p: some of the points; x: places anywhere in the box; the third term also near the points; s: the distance from the
    nearest point, with the sign that its normal says, or 0 where it is too close to be sure. Without normals the second
    term is missing, and the last one is exp(-100 |f(x)|). Sitzmann et al. 2020, section 4.2, with weights for the unit
    frame in `ImplicitConfig`; s is ours: with normals that exponential is left out, because it keeps what started on
    the wrong side from ever crossing to the right one. A step's points depend on the seed and the step alone.

    Args:
        config: The settings, resolved.
        points: In the unit frame: centred, the longest side of their box 1.
        normals: Unit, outwards; None: see `ImplicitConfig.without_normals`.
        device: Where the field lies.
        seed: Of all random numbers.
        backend: Which kernels run.
    """

    scored = "distance of points to the surface, in thousandths of the longest side"

    def __init__(
        self,
        config: ImplicitConfig,
        points: Float32[Tensor, "n 3"],
        normals: Float32[Tensor, "n 3"] | None,
        device: torch.device,
        *,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        self.config, self.seed, self.device = config, seed, device
        if normals is None and config.without_normals == "estimate":
            normals = estimated_normals(points.double())
        self.points, self.normals = points, normals
        self.spacing = local_spacing(points.double()).float()
        self.lower, self.upper = points.amin(dim=0) - _MARGIN, points.amax(dim=0) + _MARGIN
        share = torch.rand(_PLACES, 3, generator=torch.Generator().manual_seed(seed))
        self.places = self.lower + (self.upper - self.lower) * share
        self.guides = None if self.normals is None else self._sides()
        # A sphere about as large as the shape has to be moved least.
        radius = float(points.norm(dim=1).mean())
        self.model = signed_distance(config, radius=radius, seed=seed, backend=backend).to(device)
        self.module: nn.Module = self.model
        self.points_drawn = 0
        chosen = np.random.default_rng(seed).integers(0, len(points), min(len(points), _SCORED))
        self._scored = points[torch.from_numpy(chosen)].to(device)

    def _sides(self) -> Float32[Tensor, " places"]:
        """How far the places are from the nearest point, negative behind its normal; 0 within a few cells of it."""
        from scipy.spatial import KDTree

        assert self.normals is not None
        assert self.config.finest is not None
        found, nearest = KDTree(self.points.numpy()).query(self.places.numpy(), workers=-1)
        distances = torch.from_numpy(found.astype(np.float32))
        ahead = ((self.places - self.points[nearest]) * self.normals[nearest]).sum(dim=1)
        return torch.where(distances > _SURE / self.config.finest, distances * ahead.sign(), 0.0)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """A grid's table is updated where it has a gradient."""
        field = self.model.field
        if self.config.field == "siren":
            return [{"params": list(field.parameters())}]
        return [
            {"params": [field.encoding.table], "sparse": True},
            {"params": list(field.network.parameters()), "share": 0.2},
        ]

    def warm_up(self) -> None:
        """Compiles or loads every kernel of a step."""
        drawn = self.points_drawn
        sum(self.losses(0, 0.0).values()).backward()  # pyright: ignore[reportAttributeAccessIssue]
        self.model.zero_grad()
        self.points_drawn = drawn

    def losses(self, step: int, progress: float) -> dict[str, Tensor]:
        """The weighted terms at this step's points."""
        config, count = self.config, self.config.batch
        generator = np.random.default_rng((self.seed, step))
        chosen = torch.from_numpy(generator.integers(0, len(self.points), count))
        surface = self.points[chosen]
        shifts = torch.from_numpy(generator.standard_normal((count // 2, 3), np.float32))
        near = surface[: count // 2] + _NEAR * self.spacing[chosen[: count // 2], None] * shifts
        places = torch.from_numpy(generator.integers(0, len(self.places), count // 2))
        anywhere = self.places[places]
        values, slopes = self.model.values_and_slopes(torch.cat([surface, near, anywhere]).to(self.device))
        self.points_drawn += count
        lengths = slopes.norm(dim=1)
        losses = {
            "surface": config.surface_weight * values[:count].abs().mean(),
            "eikonal": config.eikonal_weight * (lengths - 1.0).abs().mean(),
        }
        if self.normals is not None:
            cosines = (slopes[:count] * self.normals[chosen].to(self.device)).sum(dim=1) / lengths[:count].clamp_min(
                1e-6
            )
            losses["normals"] = config.normal_weight * (1.0 - cosines).mean()
        elsewhere = values[-len(anywhere) :]
        if self.guides is not None:
            guides = self.guides[places].to(self.device)
            losses["guide"] = config.guide_weight * (0.5 * guides.abs() - guides.sign() * elsewhere).relu().mean()
        else:
            away = torch.exp(-_SHARPNESS * elsewhere.abs()).mean()
            losses["away"] = config.away_weight * min(progress / _SETTLED, 1.0) * away
        return losses

    def after_step(self, step: int, progress: float) -> None:
        """A distance needs no upkeep."""

    def counters(self) -> dict[str, float]:
        """Points drawn since the start."""
        return {"points": float(self.points_drawn)}

    def facts(self) -> dict[str, Any]:
        """The total of points."""
        return {"points_drawn": self.points_drawn}

    def restore(self, facts: dict[str, Any]) -> None:
        """Takes back what `facts` gave."""
        self.points_drawn = int(facts["points_drawn"])

    @torch.no_grad()
    def quick_score(self) -> dict[str, float]:
        """The mean distance of some points to the surface, as the field has it."""
        return {"distance": 1e3 * float(self.model(self._scored).abs().mean())}

    def mesh(
        self,
        unit: Similarity,
        *,
        watertight: bool = False,
        trimming: Trimming = DEFAULT,
        resolution: int | None = None,
    ) -> Mesh:
        """The surface in the user's coordinates, trimmed where there are no points.

        Args:
            unit: What `unit_from_user` gave.
            watertight: Keep it closed.
            trimming: What is removed.
            resolution: Cells along the longest side; by default that of the settings.
        """
        mesh = extract_level_set(
            self.model,
            self.lower,
            self.upper,
            resolution=resolution or self.config.resolution,
            device=self.device,
        )
        mesh = trimmed(mesh, self.points.double(), trimming, watertight=watertight)
        return Mesh(unit.inverse().apply(mesh.vertices), mesh.faces)


def signed_distance(
    config: ImplicitConfig, *, radius: float, seed: int = 0, backend: str = "auto"
) -> SignedDistanceField:
    """The field that resolved settings describe, as it starts."""
    width, layers, finest = config.width, config.hidden_layers, config.finest
    assert width is not None
    assert finest is not None
    if config.field == "siren":
        return siren_distance(
            width=width, hidden_layers=layers, omega=config.omega, radius=radius, seed=seed, backend=backend
        )
    return grid_distance(
        levels=config.levels,
        log2_table_size=config.log2_table_size,
        coarsest=_COARSEST,
        finest=max(1.25 * finest, float(_COARSEST)),
        width=width,
        hidden_layers=layers,
        step=0.5 / finest,
        radius=radius,
        seed=seed,
        backend=backend,
    )
