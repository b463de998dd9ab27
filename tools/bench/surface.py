"""Surfaces from made scans of true meshes: patches, the implicit method and screened Poisson, in one table."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jaxtyping import Float32
from torch import Tensor

from ...configs.surface_config import SurfaceConfig
from ...datasets.errors import MissingFileError
from ...datasets.made_scans import made_scan
from ...render.mesh_sampling import SurfacePoints
from ...render.meshes import Mesh
from ..mesh_files import read_mesh
from ..progress import Progress
from ..surface.methods import reconstruct
from ..surface.poisson_meshing import estimated_normals, poisson_mesh
from ..surface.scores import score_surface
from .rows import Row

POINTS = 50_000
"""Of each scan."""

_DEPTHS = (6, 7, 8, 9)
_SAMPLES = 200_000
_SHOWN = 1e3  # distances are in thousandths of the mesh's unit
_UNIT = "/1000"
_ENDINGS = (".obj", ".ply", ".off", ".stl", ".glb")


@dataclass(frozen=True)
class ScanCase:
    """How a scan is spoilt; shares are of the bounding box's diagonal, or of the points."""

    name: str
    noise: float = 0.0
    outliers: float = 0.0
    hole: float = 0.0


CASES = (
    ScanCase("no noise"),
    ScanCase("noise 0.25 %", noise=0.0025),
    ScanCase("noise 0.5 %", noise=0.005),
    ScanCase("noise 1 %", noise=0.01),
    ScanCase("a hole", noise=0.0025, hole=0.05),
    ScanCase("1 % outliers", noise=0.0025, outliers=0.01),
)
"""What scans suffer from, one after the other."""


def bench_surface(
    path: Path,
    *,
    seconds: float,
    progress: Progress,
    cases: Sequence[ScanCase] = CASES,
    points: int = POINTS,
    depths: Sequence[int] = _DEPTHS,
) -> list[Row]:
    """Reconstructs made scans by every method, none of which is told the normals but the one that is named so.

    Args:
        path: A mesh, the truth, or a folder of meshes.
        seconds: Training of the implicit method.
        progress: Told every result.
        cases: How scans are spoilt.
        points: Of each scan.
        depths: Of screened Poisson, of which the best counts, by the truth.

    Returns:
        Chamfer and Hausdorff distances in thousandths of the mesh's unit. `ratio` is that of the best screened
        Poisson with estimated normals over the method's: above 1 the method is closer.
    """
    rows: list[Row] = []
    for file in _meshes(path):
        mesh = read_mesh(file)
        for case in cases:
            name = f"{file.stem}, {case.name}"
            scan = made_scan(mesh, points, noise=case.noise, outliers=case.outliers, hole=case.hole)
            rows += _compared(name, mesh, _methods(scan, seconds, depths, progress), progress)
    return rows


Attempts = dict[str, Sequence[Callable[[], Mesh]]]
"""By method, one or more ways of which the best counts."""
_CLASSIC = "Poisson, estimated normals"


def _methods(scan: SurfacePoints, seconds: float, depths: Sequence[int], progress: Progress) -> Attempts:
    points = scan.points

    def by(method: str, **settings: float) -> Mesh:
        config = SurfaceConfig(cloud=Path(), method=method, **settings)  # pyright: ignore[reportArgumentType]
        return reconstruct(config, points, None, progress).mesh

    def classic(turned: Float32[Tensor, "n 3"] | None) -> list[Callable[[], Mesh]]:
        assert turned is not None
        return [partial(poisson_mesh, points, turned, depth=depth) for depth in depths]

    return {
        _CLASSIC: classic(estimated_normals(points)),
        "Poisson, true normals": classic(scan.normals),
        "patches": [lambda: by("patches")],
        "implicit": [lambda: by("implicit", seconds=seconds)],
    }


def _compared(name: str, truth: Mesh, methods: Attempts, progress: Progress) -> list[Row]:
    rows: list[Row] = []
    classic: dict[str, float] = {}
    for method, attempts in methods.items():
        begin = time.perf_counter()
        meshes = [attempt() for attempt in attempts]
        seconds = (time.perf_counter() - begin) / len(attempts)
        scores = [score_surface(mesh, truth, samples=_SAMPLES).scores for mesh in meshes]
        best = min(scores, key=lambda found: found["chamfer"])
        values = {key: best[key] * _SHOWN for key in ("chamfer", "hausdorff")}
        classic = classic or values
        progress.say(
            f"{name}: {method}: " + ", ".join(f"{k} {v:.3f}" for k, v in values.items()) + f", {seconds:.0f} s"
        )
        for key, value in values.items():
            is_other = method != _CLASSIC
            ratio = classic[key] / value if is_other and value else None
            rows.append(Row(f"{name}: {method}, {key}", value, _UNIT, _CLASSIC if is_other else "", ratio))
    return rows


def _meshes(path: Path) -> list[Path]:
    files = [path] if path.is_file() else sorted(file for file in path.glob("*") if file.suffix.lower() in _ENDINGS)
    if not files:
        raise MissingFileError(f"{path}: there is no mesh (expected one of {', '.join(_ENDINGS)}, or a folder of such)")
    return files
