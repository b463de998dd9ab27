"""`neufield surface`: a point cloud to a mesh, scored and reported."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxtyping import Float32
from torch import Tensor

from ...configs.loading import build, read_task_settings
from ...configs.run_options import Backend
from ...configs.surface_config import SurfaceConfig
from ...datasets.errors import FormatError
from ...datasets.point_clouds import PointCloud, load_point_cloud
from ...render.meshes import Mesh
from ..device import choose_device, compiling_told, quiet_torch_threads
from ..errors import RunError
from ..fitting import Fitter
from ..mesh_files import read_mesh, write_mesh
from ..peak_memory import peak_of_run
from ..progress import Progress
from ..report import write_report
from ..run_folder import RunFolder
from ..run_life import Finish, begin, config_text, go_on, require_resumable
from .methods import Reconstruction, charts_memory, fit_settings, implicit_task, meshed, reconstruct
from .reporting import described, surface_report, told
from .scores import SurfaceScores, score_surface

_SAMPLES = 200_000


@dataclass(frozen=True)
class Job:
    """A cloud on its way to a mesh.

    Attributes:
        config: The run's settings.
        run: Its folder.
        cloud: The points.
        truth: What the mesh is scored against, if not the cloud.
        progress: Told what happens.
    """

    config: SurfaceConfig
    run: RunFolder
    cloud: PointCloud
    truth: Mesh | PointCloud | None
    progress: Progress

    @classmethod
    def load(cls, config: SurfaceConfig, run: RunFolder) -> "Job":
        """Reads the files that the settings name."""
        truth = None if config.truth is None else _load_truth(config.truth)
        return cls(config, run, load_point_cloud(config.cloud), truth, Progress(quiet=config.quiet))

    @property
    def normals(self) -> Float32[Tensor, "n 3"] | None:
        """The cloud's own, where they are to be used."""
        return self.cloud.normals if self.config.normals == "auto" else None

    @property
    def mesh_path(self) -> Path:
        """Where the mesh lies."""
        return self.run.outputs / f"{self.config.name}.{self.config.format}"

    def finish(self, made: Reconstruction, seconds: float) -> str:
        """Writes the mesh, its scores and the report; returns the result in one line."""
        for name, value in made.choices.items():
            self.progress.say(f"{name}: {value}")
        write_mesh(self.mesh_path, made.mesh)
        return self.score(made, seconds)

    def score(self, made: Reconstruction, seconds: float) -> str:
        """Scores a mesh and writes its numbers and the report; returns the result in one line."""
        run, against = self.run, "cloud" if self.truth is None else "truth"
        self.progress.say(f"Scoring {len(made.mesh.faces):,} triangles.")
        target = self.cloud if self.truth is None else self.truth
        found = score_surface(made.mesh, target, samples=_SAMPLES, seed=self.config.seed)
        content = _evaluation(run, found, seconds, against=against)
        run.write_text(run.evaluation, json.dumps(content, indent=1))
        write_report(run.report, surface_report(run, self.config, self.cloud, self.normals, made, content))
        return f"{self.mesh_path}: {told(found, against=against)} The report is {run.report}."


def start(config: SurfaceConfig) -> str:
    """Reconstructs a cloud's surface in a new run, scores it and writes its report; returns the result in one line.

    What was there is touched only when the mesh is complete, or when training was found to work.
    """
    run = RunFolder.planned(config.runs, config.name or config.cloud.stem, force=config.force)
    charts_memory(config)  # what it refuses is told before any work
    job = Job.load(config, run)
    truth = None if config.truth is None else config.truth.resolve()
    config = replace(config, name=run.name, force=False, cloud=config.cloud.resolve(), truth=truth)
    job = replace(job, config=config)
    for note in job.cloud.notes:
        job.progress.say(f"Note: {config.cloud.name}: {note}.")
    job.progress.say(described(job.cloud, job.normals))
    if config.method == "implicit":
        return _with_training(job, begin)
    before = time.perf_counter()
    made = reconstruct(config, job.cloud.points, job.normals, job.progress)
    seconds = time.perf_counter() - before
    run.create(config_text("surface", config))
    return job.finish(made, seconds)


def resume(
    run: RunFolder,
    *,
    seconds: float | None = None,
    steps: int | None = None,
    device: str | None = None,
    backend: Backend | None = None,
    quiet: bool = False,
) -> str:
    """Goes on with a run of the implicit method from its last checkpoint; see `nerf.run`.

    Raises:
        RunError: It is of a method that ends by itself.
    """
    config = read_config(run, device=device, backend=backend, quiet=quiet)
    if config.method != "implicit":
        raise RunError(
            f"{run.path} was made by --method {config.method}, which is not gone on with. Make it again by `neufield "
            f"surface --config {run.config} --force`."
        )
    if seconds is not None or steps is not None:
        config = replace(config, seconds=seconds, steps=steps)
    require_resumable(run)
    return _with_training(Job.load(config, run), lambda fitter, text, _, finish: go_on(fitter, text, finish))


def evaluate_run(
    run: RunFolder, *, device: str | None = None, backend: Backend | None = None, quiet: bool = False
) -> str:
    """Scores the mesh of a run again and writes its numbers and report anew; returns the result in one line."""
    job = Job.load(read_config(run, device=device, backend=backend, quiet=quiet), run)
    run.require_writable()
    seconds = json.loads(run.evaluation.read_text(encoding="utf-8"))["seconds"] if run.evaluation.is_file() else 0.0
    return job.score(Reconstruction(read_mesh(job.mesh_path), {}), seconds)


def read_config(
    run: RunFolder, *, device: str | None = None, backend: Backend | None = None, quiet: bool = False
) -> SurfaceConfig:
    """The settings of a run, with another device or backend where one is given.

    Raises:
        ConfigError: Its config.yaml does not fit, or is of another task.
    """
    config = build(SurfaceConfig, read_task_settings(run.config, "surface"), str(run.config))
    return replace(config, device=device or config.device, backend=backend or config.backend, quiet=quiet)


def _load_truth(path: Path) -> Mesh | PointCloud:
    """The true surface: a mesh, or a cloud if the file has no triangles."""
    try:
        return read_mesh(path)
    except FormatError:
        return load_point_cloud(path)


Life = Callable[[Fitter, str, Callable[[], None], Finish], str]


def _with_training(job: Job, live: Life) -> str:
    """Fits a signed distance, in a new run or on from a checkpoint, and meshes it."""
    device = choose_device(job.config.device)
    with quiet_torch_threads(device), compiling_told(job.progress):
        task, unit = implicit_task(job.config, job.cloud.points, job.normals, device)
        config = replace(job.config, implicit=task.config)
        fitter = Fitter(task, fit_settings(config), job.run, job.progress)

        def finish(seconds: float, warm_up_seconds: float | None) -> str:
            job.progress.say("Meshing the signed distance.")
            return replace(job, config=config).finish(meshed(task, unit, config), seconds)

        return live(fitter, config_text("surface", config), lambda: None, finish)


def _evaluation(run: RunFolder, found: SurfaceScores, seconds: float, *, against: str) -> dict[str, Any]:
    return {
        "protocol": {"against": against, **found.protocol},
        "mean": found.scores,
        "views": [],
        "seconds": seconds,
        "scoring_seconds": found.seconds,
        "peak_memory_bytes": peak_of_run(run),
    }
