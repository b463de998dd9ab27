"""The report of a surface: pictures from all sides, distances, what was chosen."""

import shlex
from typing import Any

from jaxtyping import Float32
from torch import Tensor

from ...configs.loading import to_yaml
from ...configs.surface_config import SurfaceConfig
from ...datasets.point_clouds import PointCloud
from ...render.meshes import Mesh
from ..pictures import to_uint8
from ..report import ReportContent, ReportView
from ..report_parts import versions
from ..run_folder import RunFolder
from .distances import nearest_in_cloud
from .drawing import SIDES, Frame, draw_cloud, draw_mesh
from .mesh_trimming import local_spacing
from .methods import Reconstruction
from .scores import SurfaceScores

_PICTURE = 512
_LARGEST = 4.0  # spacings, the brightest distance in pictures


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


def surface_report(
    run: RunFolder,
    config: SurfaceConfig,
    cloud: PointCloud,
    normals: Float32[Tensor, "n 3"] | None,
    made: Reconstruction,
    content: dict[str, Any],
) -> ReportContent:
    """What the page says of a surface: its pictures, distances and what was chosen; `content` is evaluation.json's."""
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
