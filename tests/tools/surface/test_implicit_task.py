"""Spheres and tori from points: what is fitted is close to the truth, closed, and the right way out."""

import math
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from neufield.configs.implicit_config import ImplicitConfig
from neufield.render.meshes import Mesh
from neufield.tools.checkpoint import load_checkpoint
from neufield.tools.fitting import FitSettings, Fitter
from neufield.tools.progress import Progress
from neufield.tools.run_folder import RunFolder
from neufield.tools.surface.implicit_task import SurfaceImplicitTask, resolved, unit_from_user
from neufield.tools.surface.level_set import enclosed_volume

QUICK = ImplicitConfig(levels=6, log2_table_size=14, finest=32.0, batch=1024, width=16, resolution=64)
MAJOR, MINOR = 3.0, 1.0
AWAY = torch.tensor([100.0, -50.0, 7.0], dtype=torch.float64)


def torus(count: int = 6000) -> tuple[torch.Tensor, torch.Tensor]:
    """Points and normals of a torus about z, in a user's coordinates."""
    u, v = 2.0 * math.pi * torch.rand(2, count, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    outwards = torch.stack([u.cos(), u.sin(), torch.zeros_like(u)], dim=1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    normals = v.cos()[:, None] * outwards + v.sin()[:, None] * up
    return MAJOR * outwards + MINOR * normals + AWAY, normals


def fitted(
    folder: Path,
    config: ImplicitConfig,
    points: torch.Tensor,
    normals: torch.Tensor | None,
    steps: int,
    *,
    watertight: bool = True,
) -> tuple[Fitter, Mesh]:
    run = RunFolder(folder / "run")
    run.create("")
    unit = unit_from_user(points)
    inner = unit.apply(points).float()
    config = resolved(config, inner)
    task = SurfaceImplicitTask(config, inner, None if normals is None else normals.float(), torch.device("cpu"))
    assert config.rate is not None
    settings = FitSettings(seconds=None, steps=steps, rate=config.rate, decay_from=0.3, decay_to=0.02, average=0.0)
    fitter = Fitter(task, settings, run, Progress(quiet=True))
    assert fitter.fit()
    return fitter, task.mesh(unit, watertight=watertight)


def border_edges(mesh: Mesh) -> int:
    edges = torch.cat([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]]).sort(dim=1).values
    return int((edges.unique(dim=0, return_counts=True)[1] != 2).sum())


@pytest.mark.parametrize(
    ("field", "watertight"), [("hash", True), pytest.param("siren", False, marks=pytest.mark.slow)]
)
def test_a_torus_with_normals(field: str, watertight: bool, tmp_path: Path):
    config = replace(QUICK, field=field, omega=10.0, width=16 if field == "hash" else 64)
    points, normals = torus()
    _, mesh = fitted(tmp_path, config, points, normals, 500, watertight=watertight)
    x = mesh.vertices - AWAY
    error = ((x[:, :2].norm(dim=1) - MAJOR).square() + x[:, 2].square()).sqrt() - MINOR
    assert error.abs().mean().item() < 0.02
    assert border_edges(mesh) == 0
    assert enclosed_volume(mesh) == pytest.approx(2.0 * math.pi**2 * MAJOR * MINOR**2, rel=0.05)


def test_a_ball_without_normals(tmp_path: Path):
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    _, mesh = fitted(tmp_path, QUICK, 20.0 * torch.nn.functional.normalize(x, dim=1) + AWAY, None, 500)
    assert ((mesh.vertices - AWAY).norm(dim=1) - 20.0).abs().mean().item() < 0.2
    assert border_edges(mesh) == 0
    assert enclosed_volume(mesh) == pytest.approx(4.0 / 3.0 * math.pi * 20.0**3, rel=0.05)


def test_a_resumed_fit_is_the_uninterrupted_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    points, normals = torus(500)
    config = replace(QUICK, batch=64)
    (tmp_path / "whole").mkdir()
    whole, _ = fitted(tmp_path / "whole", config, points, normals, 12)

    unit = unit_from_user(points)
    inner = unit.apply(points).float()
    run = RunFolder(tmp_path / "run")
    run.create("")

    def fitter() -> Fitter:
        task = SurfaceImplicitTask(resolved(config, inner), inner, normals.float(), torch.device("cpu"))
        return Fitter(task, whole.settings, run, Progress(quiet=True))

    stopped = fitter()
    monkeypatch.setattr(
        stopped.task, "after_step", lambda step, progress: signal.raise_signal(signal.SIGINT) if step == 5 else None
    )
    assert not stopped.fit()
    again = fitter()
    again.resume()
    assert again.step == 6
    assert again.fit()
    assert again.task.counters() == whole.task.counters() == {"points": 12.0 * 64.0}
    wanted, found = (load_checkpoint(each.run.checkpoint).tensors for each in (whole, again))
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name


def test_warming_up_leaves_no_trace():
    points, normals = torus(500)
    inner = unit_from_user(points).apply(points).float()
    task = SurfaceImplicitTask(resolved(QUICK, inner), inner, normals.float(), torch.device("cpu"))
    before = {name: tensor.clone() for name, tensor in task.module.state_dict().items()}
    task.warm_up()
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.module.state_dict().items())
    assert task.counters() == {"points": 0.0}
    assert all(parameter.grad is None for parameter in task.module.parameters())


def test_cells_follow_spacing_and_noise():
    points, _ = torus(40_000)
    inner = unit_from_user(points).apply(points).float()
    sparse = resolved(ImplicitConfig(), inner[::4]).finest
    dense, noisy = resolved(ImplicitConfig(), inner).finest, resolved(ImplicitConfig(), inner, noise=0.01).finest
    assert sparse is not None
    assert dense == pytest.approx(2.0 * sparse, rel=0.15)
    assert noisy == pytest.approx(1.0 / 0.03)
    assert resolved(ImplicitConfig(finest=77.0), inner).finest == 77.0


def test_what_is_refused():
    with pytest.raises(ValueError, match="All 5 points lie at"):
        unit_from_user(torch.ones(5, 3, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"--implicit.width takes 16, 32, 64 or 128 on a hash grid, got 48"):
        ImplicitConfig(width=48)
