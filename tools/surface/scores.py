"""How close a surface comes to the true one: Chamfer and Hausdorff distance, normal consistency, F-score."""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from ...datasets.point_clouds import PointCloud
from ...render.mesh_sampling import SurfacePoints, sample_surface
from ...render.meshes import Mesh
from .distances import Nearest, nearest_in_cloud, nearest_in_mesh

Surface = Mesh | SurfacePoints | PointCloud

_THRESHOLD = 0.01  # of the target's diagonal


@dataclass(frozen=True)
class SurfaceScores:
    """Scores of a surface against its target.

    Attributes:
        scores: By name; distances in the coordinates' unit, others in [0, 1]. `to_target` are distances from places
            of the surface to the target, `from_target` from places of the target to the surface.
        protocol: How it was scored, in words.
        seconds: What scoring took.
    """

    scores: dict[str, float]
    protocol: dict[str, str]
    seconds: float


def score_surface(
    surface: Surface, target: Surface, *, samples: int = 1_000_000, threshold: float | None = None, seed: int = 0
) -> SurfaceScores:
    """Scores a surface against the true one, both meshes or clouds.

        d(x, B) = min over b in B of |x - b|                 x: samples of a mesh by area, or the points of a cloud
        chamfer = (mean d(a, B) + mean d(b, A)) / 2          hausdorff = max(max d(a, B), max d(b, A))
        normal consistency = (mean |n_a · n_nearest| + mean |n_b · n_nearest|) / 2
        precision, recall = shares of d(a, B), d(b, A) <= threshold          f_score = 2 p r / (p + r)

    Distances to a mesh are to its triangles, those to a cloud to its points. Normals of a mesh are its triangles'.

    Args:
        surface: What was made (A).
        target: What it is compared with (B).
        samples: Points drawn from each mesh, >= 1.
        threshold: Of the F-score, in the coordinates' unit; by default 1 % of the target's bounding box's diagonal.
        seed: Of the samples.

    Returns:
        `normal_consistency` is there if both have normals.

    Raises:
        ValueError: One of them is empty or not finite, or `samples` or the threshold is out of range.

    (Williams et al. 2019, "Deep Geometric Prior", section 5, for the distances; Mescheder et al. 2019, "Occupancy
    Networks", section 4, for normals; Knapitsch et al. 2017, "Tanks and Temples", eq. 3 to 6, for the F-score.)
    """
    begin = time.perf_counter()
    if samples < 1 or (threshold is not None and not 0.0 < threshold < float("inf")):
        raise ValueError(f"Scores take at least one sample and a threshold > 0, found {samples} and {threshold}.")
    generator = torch.Generator().manual_seed(seed)
    places, goals = (_places(side, samples, generator) for side in (surface, target))
    if threshold is None:
        corners = target.vertices if isinstance(target, Mesh) else target.points
        threshold = _THRESHOLD * float((corners.amax(dim=0) - corners.amin(dim=0)).norm())
    to_target, from_target = _nearest(places.points, target), _nearest(goals.points, surface)
    scores = _distances(to_target.distances, from_target.distances, threshold)
    toward = _agreement(places, target, to_target)
    back = _agreement(goals, surface, from_target)
    if toward is not None and back is not None:
        scores["normal_consistency"] = 0.5 * (toward + back)
    return SurfaceScores(scores, _protocol(surface, target, samples, threshold, seed), time.perf_counter() - begin)


def _places(surface: Surface, samples: int, generator: torch.Generator) -> SurfacePoints:
    if isinstance(surface, Mesh):
        return sample_surface(surface, samples, generator=generator)
    if not len(surface.points):
        raise ValueError("Scores compare surfaces, found a cloud without points.")
    return SurfacePoints(surface.points, surface.normals)


def _nearest(points: Float64[Tensor, "n 3"], surface: Surface) -> Nearest:
    return nearest_in_mesh(points, surface) if isinstance(surface, Mesh) else nearest_in_cloud(points, surface.points)


def _distances(
    to_target: Float64[Tensor, "n"], from_target: Float64[Tensor, "m"], threshold: float
) -> dict[str, float]:
    means = float(to_target.mean()), float(from_target.mean())
    largest = float(to_target.max()), float(from_target.max())
    precision, recall = (float((side <= threshold).double().mean()) for side in (to_target, from_target))
    return {
        "chamfer": 0.5 * sum(means),
        "hausdorff": max(largest),
        "mean_to_target": means[0],
        "mean_from_target": means[1],
        "largest_to_target": largest[0],
        "largest_from_target": largest[1],
        "f_score": 2.0 * precision * recall / (precision + recall) if precision + recall else 0.0,
        "precision": precision,
        "recall": recall,
    }


def _agreement(places: SurfacePoints, surface: Surface, nearest: Nearest) -> float | None:
    normals: Float32[Tensor, "m 3"] | None
    normals = surface.face_normals().float() if isinstance(surface, Mesh) else surface.normals
    if normals is None or places.normals is None:
        return None
    return float((places.normals * normals[nearest.indices]).sum(dim=1).abs().double().mean())


def _protocol(surface: Surface, target: Surface, samples: int, threshold: float, seed: int) -> dict[str, str]:
    return {
        "surface": _described(surface, samples, seed),
        "target": _described(target, samples, seed),
        "unit": "that of the coordinates",
        "chamfer": "half the sum of the two mean distances",
        "hausdorff": "the larger of the two largest distances",
        "mean_to_target, largest_to_target": "distances from the surface's places to the target",
        "mean_from_target, largest_from_target": "distances from the target's places to the surface",
        "normal_consistency": "|cosine| between normals of a place and of what is nearest, half the sum of both means",
        "f_score": f"2 p r / (p + r) at a threshold of {threshold:.6g}; p: share of the surface's places that lie so "
        "close to the target, r: of the target's to the surface",
    }


def _described(surface: Surface, samples: int, seed: int) -> str:
    if isinstance(surface, Mesh):
        return f"mesh of {len(surface.faces):,} triangles: {samples:,} places by area (seed {seed}), exact distances"
    return f"cloud of {len(surface.points):,} points: all of them, distances to points"
