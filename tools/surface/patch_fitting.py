"""Fits the patches of a cloud: a chart for each, by transport and by agreement; oriented samples come out of it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from ...configs.surface_config import PatchesConfig
from ...fields.chart_atlas import ChartAtlas
from ...render.patches import Patches, cover, estimate_noise
from ...render.transport import Transport, earth_mover_distance
from .patch_orientation import patch_signs


class OrientedSamples(NamedTuple):
    """Points of the surface, their unit normals outwards, and the patch whose middle each is closest to; what was
    chosen from the cloud, in words."""

    points: Float[Tensor, "samples 3"]
    normals: Float[Tensor, "samples 3"]
    patches: Int64[Tensor, " samples"]
    choices: dict[str, str]


Progress = Callable[[str, float], None]

_POINTS = 150  # of a patch
_STEPS = 60  # on a noisy cloud; a clean one is worth more
_CLEAN = 0.02  # noise below this share of the radius
_REACH = 6.0  # radius of a patch at least, in standard deviations of the noise


def chosen_settings(points: Float[Tensor, "n 3"], settings: PatchesConfig, *, seed: int) -> tuple[PatchesConfig, int]:
    """Settings with all that was None chosen from the cloud, and how many neighbours reach beyond its noise.

    A patch reaches as far as about 150 points do, and at least six times as far as the noise, so that the noise
    averages out over the patch and its bend does not.
    """
    from scipy.spatial import cKDTree  # pyright: ignore[reportAttributeAccessIssue]

    noise, neighbors = estimate_noise(points, seed=seed)
    noise = noise if settings.noise is None else settings.noise
    cloud = points.double().numpy()
    some = cloud[:: max(1, len(cloud) // 2000)]
    far = cKDTree(cloud).query(some, k=min(_POINTS, len(cloud)), workers=-1)[0][:, -1]
    radius = settings.radius or max(float(torch.from_numpy(far).median()), _REACH * noise)
    steps = (_STEPS if noise > _CLEAN * radius else 4 * _STEPS) if settings.steps is None else settings.steps
    return replace(settings, noise=noise, radius=radius, steps=steps), neighbors


def fit_patches(
    points: Float[Tensor, "n 3"],
    normals: Float[Tensor, "n 3"] | None,
    settings: PatchesConfig,
    *,
    seed: int = 0,
    progress: Progress = lambda stage, share: None,
    memory_bytes: int = 1 << 30,
) -> OrientedSamples:
    """Fits a chart to every patch of a cloud, makes overlapping ones agree, and samples them where the points are.

    Args:
        points: Any unit; fitted in frames of their own, so that no scale is needed.
        normals: Oriented unit normals; if None the samples' are oriented by the patches' overlaps and then outwards.
        settings: See `PatchesConfig`.
        seed: Of the centres and of the charts.
        progress: Told the name of the stage and the share of it that is done.
        memory_bytes: About what the charts that are fitted at once may take.

    Returns:
        A sample for each point that is in a patch.

    Raises:
        ValueError: There are too few points, or none that form a patch.
    """
    settings, neighbors = chosen_settings(points, settings, seed=seed)
    assert settings.radius is not None
    patches = cover(
        points,
        normals,
        spacing=settings.radius * settings.spacing,
        radius=settings.radius,
        neighbors=neighbors,
        seed=seed,
    )
    if not len(patches):
        raise ValueError("No points of the cloud form a patch; give a larger radius.")
    fitting = _Fitting(points, patches, settings, seed, memory_bytes)
    fitting.local_stage(progress)
    for k in range(settings.agreement_rounds):
        fitting.agree(*fitting.consensus(), lambda stage, share, k=k: progress(stage, (k + share) / 2))
    return fitting.samples(normals)._replace(choices=_choices(settings, patches))


def _choices(settings: PatchesConfig, patches: Patches) -> dict[str, str]:
    """What was chosen from the cloud, or given, in words."""
    sizes = patches.starts.diff().double()
    return {
        "noise": f"{settings.noise:.4g}, standard deviation across the surface",
        "radius of a patch": f"{settings.radius:.4g}",
        "patches": f"{len(patches):,} of {float(sizes.mean()):.0f} points in the mean",
        "steps of a chart": f"at most {settings.steps}",
    }


class _Fitting:
    """Charts' parameters, and the chart points (s, t) of all entries (points in patches); fitted chunk by chunk."""

    def __init__(self, points: Tensor, patches: Patches, settings: PatchesConfig, seed: int, memory_bytes: int) -> None:
        self.points, self.patches, self.settings, self.seed = points, patches, settings, seed
        widest = int((patches.starts[1:] - patches.starts[:-1]).max())
        shape: dict[str, Any] = {"widths": settings.widths}
        self.atlas_shape = shape
        each = 16 * ChartAtlas(1, **shape).geometry.parameters + 200 * widest
        self.chunk = max(1, min(memory_bytes // each, len(patches)))
        self.uv = torch.zeros(len(patches.members), 2)
        self.parameters: list[Tensor] = []

    def chunks(self) -> list[tuple[int, int]]:
        """First and last patch of every chunk."""
        return [(k, min(k + self.chunk, len(self.patches))) for k in range(0, len(self.patches), self.chunk)]

    def atlas(self, first: int, last: int) -> ChartAtlas:
        """Charts of a chunk, as far as they are fitted."""
        atlas = ChartAtlas(last - first, seed=self.seed + first, **self.atlas_shape)
        if first // self.chunk < len(self.parameters):
            atlas.parameters_by_chart.data.copy_(self.parameters[first // self.chunk])
        return atlas

    def entries(self, first: int, last: int) -> slice:
        """Entries of a chunk."""
        return slice(int(self.patches.starts[first]), int(self.patches.starts[last]))

    def padded_uv(self, first: int, last: int, mask: Tensor) -> Tensor:
        """Chart points of a chunk, patches side by side."""
        uv = torch.zeros(*mask.shape, 2)
        uv[mask] = self.uv[self.entries(first, last)]
        return uv

    def local_stage(self, progress: Progress) -> None:
        """Every chart to its own points: first where transport carries its samples, then point by point."""
        settings = self.settings
        assert settings.steps is not None
        assert settings.noise is not None
        for first, last in self.chunks():
            progress("charts", first / len(self.patches))
            members, mask = self.patches.padded(first, last)
            goals = self.patches.into_frames(self.points[members], first).float()
            uv, weights = goals[..., :2].contiguous(), mask.float()
            atlas = self.atlas(first, last)
            share = settings.steps // (settings.transport_rounds + 1)
            for _ in range(settings.transport_rounds):
                found = self.transported(atlas, uv, goals, mask)
                atlas.fit(uv, found.barycenters, weights, steps=share, rate=settings.rate)
            if settings.transport_rounds:
                partner = self.transported(atlas, uv, goals, mask).assignment
                matched = torch.zeros_like(uv)
                chart, sample = mask.nonzero().T
                matched[chart, partner[chart, sample]] = uv[chart, sample]
                uv = matched
            enough = (settings.noise / self.patches.scales[first:last]).square().float()
            atlas.fit(uv, goals, weights, steps=share, enough=enough, rate=settings.rate)
            self.uv[self.entries(first, last)] = uv[mask]
            self.parameters.append(atlas.parameters_by_chart.data)

    def transported(self, atlas: ChartAtlas, uv: Tensor, goals: Tensor, mask: Tensor) -> Transport:
        """The charts' samples carried to their points; they lie close already, so that ε starts small."""
        with torch.no_grad():
            return earth_mover_distance(
                atlas(uv),
                goals,
                x_mask=mask,
                y_mask=mask,
                epsilon=1e-3,
                first_epsilon=8e-3,
                iterations=8,
                tolerance=0.05,
            )

    def consensus(self) -> tuple[Tensor, Tensor]:
        """What the patches say about every point, in the mean, and the weights of it; middles count more than rims."""
        total, weight = torch.zeros(len(self.points), 3, dtype=torch.float64), torch.zeros(len(self.points)).double()
        for first, last in self.chunks():
            members, mask = self.patches.padded(first, last)
            uv = self.padded_uv(first, last, mask)
            with torch.no_grad():
                said = self.patches.out_of_frames(self.atlas(first, last)(uv).to(self.points), first)
            heavy = window(uv)[mask].double()
            total.index_add_(0, members[mask], heavy[:, None] * said[mask].double())
            weight.index_add_(0, members[mask], heavy)
        return total / weight.clamp(min=1e-30)[:, None], weight

    def agree(self, said: Tensor, weight: Tensor, progress: Progress) -> None:
        """A few steps of every chart towards what all say."""
        settings = self.settings
        for first, last in self.chunks():
            progress("agreement", first / len(self.patches))
            members, mask = self.patches.padded(first, last)
            goals = self.patches.into_frames(said[members].to(self.points), first).float()
            atlas = self.atlas(first, last)
            uv = self.padded_uv(first, last, mask)
            atlas.fit(uv, goals, mask.float(), steps=settings.agreement_steps, rate=settings.rate / 4)
            self.parameters[first // self.chunk] = atlas.parameters_by_chart.data

    def samples(self, normals: Tensor | None) -> OrientedSamples:
        """Positions and normals of all charts at the points, brought together."""
        said, weight = self.consensus()
        turned = torch.zeros(len(self.patches.members), 3)
        heavy = window(self.uv)
        for first, last in self.chunks():
            _, mask = self.patches.padded(first, last)
            with torch.no_grad():
                local = self.atlas(first, last).jet(self.padded_uv(first, last, mask)).normals()
            turned[self.entries(first, last)] = (local @ self.patches.frames[first:last].float())[mask]
        of = torch.repeat_interleave(torch.arange(len(self.patches)), self.patches.starts.diff())
        signs = patch_signs(self.patches.members, of, turned, said.float(), normals)
        turned = turned * signs[of, None]
        total = torch.zeros(len(self.points), 3).index_add_(0, self.patches.members, heavy[:, None] * turned)
        best = torch.zeros(len(self.points)).scatter_reduce_(0, self.patches.members, heavy, "amax")
        nearest = torch.zeros(len(self.points), dtype=torch.int64)
        is_best = heavy == best[self.patches.members]
        nearest[self.patches.members[is_best]] = of[is_best]
        kept = weight > 0
        unit = torch.nn.functional.normalize(total[kept], dim=1)
        return OrientedSamples(said[kept].to(self.points), unit, nearest[kept], {})


def window(uv: Float[Tensor, "*n 2"]) -> Float[Tensor, "*n"]:
    """Weight of a patch at (s, t): 1 in its middle, falling smoothly to almost 0 at its rim."""
    return (1 - uv.square().sum(-1)).clamp(min=0.03).square()
