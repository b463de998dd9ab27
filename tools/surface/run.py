"""`neufield surface`: a point cloud to a mesh, scored and reported."""

import json
import shlex
import time
from dataclasses import dataclass, replace
from typing import Any

from jaxtyping import Float32, Float64
from torch import Tensor

from ...configs.loading import to_yaml
from ...configs.surface_config import SurfaceConfig
from ...datasets.point_clouds import PointCloud, load_point_cloud
from ...render.meshes import Mesh
from ..memory_size import parse_bytes
from ..mesh_files import read_mesh, write_mesh
from ..mesh_trimming import local_spacing
from ..peak_memory import peak_of_run
from ..pictures import to_uint8
from ..poisson_meshing import estimated_normals, poisson_mesh
from ..progress import Progress
from ..report import ReportContent, ReportView, write_report
from ..report_parts import versions
from ..run_folder import RunFolder
from ..run_life import config_text
from ..surface_distances import nearest_in_cloud
from ..surface_patches import fit_patches
from ..surface_scores import SurfaceScores, score_surface
from .drawing import SIDES, Frame, draw_cloud, draw_mesh

_MEMORY = 1 << 30
_SAMPLES = 200_000
_PICTURE = 512
_LARGEST = 4.0  # spacings, the brightest distance in pictures


@dataclass(frozen=True)
class Reconstruction:
    """What a method made of a cloud: a mesh, in the cloud's coordinates, and what it chose, in words."""

    mesh: Mesh
    choices: dict[str, str]


def start(config: SurfaceConfig) -> str:
    """Reconstructs a cloud's surface in a new run, scores it and writes its report; returns the result in one line.

    What was there is touched only when the mesh is complete.
    """
    progress = Progress(quiet=config.quiet)
    run = RunFolder.planned(config.runs, config.name or config.cloud.stem, force=config.force)
    cloud = load_point_cloud(config.cloud)
    truth = None if config.truth is None else load_truth(config)
    config = replace(config, name=run.name, force=False, cloud=config.cloud.resolve())
    for note in cloud.notes:
        progress.say(f"Note: {config.cloud.name}: {note}.")
    normals = cloud.normals if config.normals == "auto" else None
    progress.say(described(cloud, normals))
    begin = time.perf_counter()
    made = reconstruct(config, cloud.points, normals, progress)
    seconds = time.perf_counter() - begin
    for name, value in made.choices.items():
        progress.say(f"{name}: {value}")
    run.create(config_text("surface", config))
    mesh_path = run.outputs / f"{run.name}.{config.format}"
    write_mesh(mesh_path, made.mesh)
    progress.say(f"Scoring {len(made.mesh.faces):,} triangles.")
    found = score_surface(made.mesh, cloud if truth is None else truth, samples=_SAMPLES, seed=config.seed)
    content = _evaluation(run, found, seconds, against="cloud" if truth is None else "truth")
    run.write_text(run.evaluation, json.dumps(content, indent=1))
    write_report(run.report, _report(run, config, cloud, normals, made, content))
    return f"{mesh_path}: {told(found, against='cloud' if truth is None else 'truth')} The report is {run.report}."


def load_truth(config: SurfaceConfig) -> Mesh | PointCloud:
    """The true surface: a mesh, or a cloud if the file has no triangles."""
    assert config.truth is not None
    try:
        return read_mesh(config.truth)
    except ValueError:
        return load_point_cloud(config.truth)


def reconstruct(
    config: SurfaceConfig,
    points: Float64[Tensor, "n 3"],
    normals: Float32[Tensor, "n 3"] | None,
    progress: Progress,
) -> Reconstruction:
    """The surface that points were taken from, by the method that the settings name; in the points' coordinates."""
    closed = config.watertight == "on"
    if config.method == "poisson":
        turned = estimated_normals(points) if normals is None else normals
        mesh = poisson_mesh(points, turned, depth=config.depth, watertight=closed)
        return Reconstruction(mesh, {"normals": "estimated" if normals is None else "the cloud's own"})
    memory = _MEMORY if config.memory is None else parse_bytes(config.memory) // 2
    with progress:
        fitted = fit_patches(
            points,
            normals,
            config.patches,
            progress=lambda stage, share: progress.stage(share, stage),
            memory_bytes=memory,
            seed=config.seed,
        )
    mesh = poisson_mesh(fitted.points.double(), fitted.normals, depth=config.depth, watertight=closed)
    return Reconstruction(mesh, fitted.choices)


def described(cloud: PointCloud, normals: Tensor | None) -> str:
    """A cloud in a sentence."""
    low, high = cloud.points.amin(dim=0), cloud.points.amax(dim=0)
    size = " x ".join(f"{float(length):.4g}" for length in high - low)
    known = "normals of its own" if normals is not None else "no normals"
    return f"{cloud.path.name}: {len(cloud.points):,} points in {size}, {known}."


def told(found: SurfaceScores, *, against: str) -> str:
    """Scores in words."""
    scores = found.scores
    if against == "cloud":
        return (
            f"points lie {scores['mean_from_target']:.4g} from the surface in the mean, "
            f"{scores['largest_from_target']:.4g} at most."
        )
    return f"Chamfer {scores['chamfer']:.4g}, Hausdorff {scores['hausdorff']:.4g} to the true surface."


def _evaluation(run: RunFolder, found: SurfaceScores, seconds: float, *, against: str) -> dict[str, Any]:
    return {
        "protocol": {"against": against, **found.protocol},
        "mean": found.scores,
        "views": [],
        "seconds": seconds,
        "scoring_seconds": found.seconds,
        "peak_memory_bytes": peak_of_run(run),
    }


def _views(cloud: PointCloud, normals: Tensor | None, mesh: Mesh) -> list[ReportView]:
    """The cloud, the mesh, and how far the mesh is from the cloud, from all sides."""
    spacing = float(local_spacing(cloud.points).median())
    frames = [Frame.of(cloud.points, side, _PICTURE) for side in SIDES]
    distances = nearest_in_cloud(mesh.vertices, cloud.points).distances
    drawn = zip(
        frames,
        draw_cloud(cloud.points, normals, frames, spacing=spacing),
        draw_mesh(mesh, frames),
        draw_mesh(mesh, frames, distances, largest=_LARGEST * spacing),
    )
    return [ReportView(frame.side.name, {}, *(to_uint8(part) for part in parts)) for frame, *parts in drawn]


def _report(
    run: RunFolder,
    config: SurfaceConfig,
    cloud: PointCloud,
    normals: Tensor | None,
    made: Reconstruction,
    content: dict[str, Any],
) -> ReportContent:
    scores, path = content["mean"], shlex.quote(str(config.cloud))
    against = content["protocol"]["against"]
    headline = f"{scores['chamfer']:.4g}" if against == "truth" else f"{scores['mean_from_target']:.4g}"
    what = (
        "Chamfer distance to the true surface" if against == "truth" else "Mean distance of the points to the surface"
    )
    figures = {name.replace("_", " "): f"{value:.4g}" for name, value in scores.items() if name != "chamfer"}
    peak = content["peak_memory_bytes"]
    return ReportContent(
        title=run.name,
        headline=headline,
        explanation=f"{what}, in the cloud's unit. {described(cloud, normals)}",
        protocol=content["protocol"],
        figures={
            **figures,
            "triangles": f"{len(made.mesh.faces):,}",
            "closed": "yes" if made.mesh.is_closed() else "no",
        },
        scored="sides",
        target="cloud",
        views=_views(cloud, normals, made.mesh),
        timings={
            "reconstruction": f"{content['seconds']:.1f} s",
            "scoring": f"{content['scoring_seconds']:.1f} s",
            **({} if peak is None else {"peak memory": f"{peak / 2**30:.2f} GiB"}),
        },
        settings=to_yaml(config),
        versions=versions(),
        notes=[*cloud.notes, *(f"{name}: {value}" for name, value in made.choices.items())],
        next_commands=[
            ("a closed mesh", f"neufield surface {path} --watertight on --name {run.name}-closed"),
            (
                "screened Poisson alone, for comparison",
                f"neufield surface {path} --method poisson --name {run.name}-poisson",
            ),
        ],
    )
