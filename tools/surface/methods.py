"""From points to a mesh, by each method of `neufield surface`."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from ...configs.surface_config import SurfaceConfig
from ...render.meshes import Mesh
from ...render.similarity import Similarity
from ..device import choose_device, compiling_told, quiet_torch_threads
from ..fitting import FitSettings, Fitter
from ..memory_size import parse_bytes
from ..progress import Progress
from ..run_folder import RunFolder
from ..run_life import begin, config_text
from .implicit_task import SurfaceImplicitTask, resolved, unit_from_user
from .patch_fitting import fit_patches
from .poisson_meshing import estimated_normals, poisson_mesh

_MEMORY = 1 << 30
_DECAY_FROM, _DECAY_TO = 0.3, 0.01


@dataclass(frozen=True)
class Reconstruction:
    """What a method made of a cloud: a mesh, in the cloud's coordinates, and what it chose, in words."""

    mesh: Mesh
    choices: dict[str, str]


def reconstruct(
    config: SurfaceConfig,
    points: Float64[Tensor, "n 3"],
    normals: Float32[Tensor, "n 3"] | None,
    progress: Progress,
) -> Reconstruction:
    """The surface that points were taken from, by the method that the settings name; in the points' coordinates."""
    closed = config.watertight == "on"
    if config.method == "implicit":
        return trained(config, points, normals, progress)
    if config.method == "poisson":
        turned = estimated_normals(points) if normals is None else normals
        mesh = poisson_mesh(points, turned, depth=config.depth, watertight=closed)
        return Reconstruction(mesh, {"normals": "estimated" if normals is None else "the cloud's own"})
    with progress:
        fitted = fit_patches(
            points,
            normals,
            config.patches,
            progress=lambda stage, share: progress.stage(share, stage),
            memory_bytes=charts_memory(config),
            seed=config.seed,
        )
    mesh = poisson_mesh(fitted.points.double(), fitted.normals, depth=config.depth, watertight=closed)
    return Reconstruction(mesh, fitted.choices)


def charts_memory(config: SurfaceConfig) -> int:
    """About how many bytes the charts that are fitted at once may take; refuses sizes that are none."""
    return _MEMORY if config.memory is None else parse_bytes(config.memory) // 2


def implicit_task(
    config: SurfaceConfig,
    points: Float64[Tensor, "n 3"],
    normals: Float32[Tensor, "n 3"] | None,
    device: torch.device,
) -> tuple[SurfaceImplicitTask, Similarity]:
    """The fit of a signed distance to a cloud, and the unit frame that it lives in."""
    unit = unit_from_user(points)
    inner = unit.apply(points).float()
    settings = resolved(config.implicit, inner)
    return SurfaceImplicitTask(settings, inner, normals, device, seed=config.seed, backend=config.backend), unit


def fit_settings(config: SurfaceConfig) -> FitSettings:
    """The part of the settings that the fitting loop needs."""
    assert config.implicit.rate is not None
    return FitSettings(
        seconds=None if config.steps else config.seconds,
        steps=config.steps,
        rate=config.implicit.rate,
        decay_from=_DECAY_FROM,
        decay_to=_DECAY_TO,
        average=0.0,
        checkpoint_seconds=config.checkpoint_seconds,
    )


def meshed(task: SurfaceImplicitTask, unit: Similarity, config: SurfaceConfig) -> Reconstruction:
    """The mesh of a fitted distance, in the cloud's coordinates."""
    finest = task.config.finest or 0.0
    choices = {
        "normals": "of the cloud, or estimated ones" if task.normals is not None else "none",
        "finest grid": f"{finest:.0f} vertices along the longest side",
        "marching cubes": f"{task.config.resolution} cells along the longest side",
    }
    return Reconstruction(task.mesh(unit, watertight=config.watertight == "on"), choices)


def trained(
    config: SurfaceConfig, points: Float64[Tensor, "n 3"], normals: Float32[Tensor, "n 3"] | None, progress: Progress
) -> Reconstruction:
    """The surface by the implicit method, trained at once, in no run that stays."""
    device = choose_device(config.device)
    with TemporaryDirectory() as folder, quiet_torch_threads(device), compiling_told(progress):
        task, unit = implicit_task(config, points, normals, device)
        config = replace(config, implicit=task.config)
        fitter = Fitter(task, fit_settings(config), RunFolder(Path(folder) / "run"), progress)
        found: list[Reconstruction] = []

        def finish(seconds: float, warm_up_seconds: float | None) -> str:
            found.append(meshed(task, unit, config))
            return ""

        begin(fitter, config_text("surface", config), lambda: None, finish)
    return found[0]
