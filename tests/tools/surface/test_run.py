import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from neufield.tools.mesh_files import read_mesh

Cli = Callable[..., Any]
MIDDLE, RADIUS = np.array([100.0, -20.0, 3.0]), 2.0


def sphere(count: int = 3000, *, noise: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Points of a sphere that is neither at the origin nor of size 1, and their normals."""
    generator = np.random.default_rng(seed)
    normals = generator.standard_normal((count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return MIDDLE + RADIUS * normals + noise * generator.standard_normal((count, 3)), normals


def largest_error(path: Path) -> float:
    vertices = read_mesh(path).vertices.numpy()
    return float(np.abs(np.linalg.norm(vertices - MIDDLE, axis=1) - RADIUS).max())


@pytest.fixture
def cloud(tmp_path: Path) -> Path:
    path = tmp_path / "ball.xyz"
    np.savetxt(path, sphere(noise=0.01)[0])
    return path


def test_patches_of_a_cloud_without_normals_become_a_mesh(cli: Cli, cloud: Path):
    said = cli("surface", cloud, "--runs", cloud.parent / "runs", "--watertight", "on", "--format", "obj")
    assert said.code == 0, said
    run = cloud.parent / "runs" / "ball"
    assert largest_error(run / "outputs" / "ball.obj") < 0.05
    mesh = read_mesh(run / "outputs" / "ball.obj")
    assert mesh.is_closed()
    assert mesh.volume() == pytest.approx(4.0 / 3.0 * np.pi * RADIUS**3, rel=0.02)
    found = json.loads((run / "evaluation.json").read_text())
    assert found["mean"]["mean_from_target"] < 0.02
    assert found["protocol"]["against"] == "cloud"
    assert "no normals" in said.out
    assert "radius" in said.out
    page = (run / "report.html").read_text()
    assert "Mean distance of the points to the surface" in page


def test_poisson_uses_the_cloud_s_normals_and_scores_against_the_truth(cli: Cli, tmp_path: Path):
    points, normals = sphere()
    np.savetxt(tmp_path / "ball.xyz", np.hstack([points, normals]))
    np.savetxt(tmp_path / "truth.xyz", sphere(20_000, seed=1)[0])
    runs = tmp_path / "runs"
    said = cli(
        "surface", tmp_path / "ball.xyz", "--method", "poisson", "--truth", tmp_path / "truth.xyz", "--runs", runs
    )
    assert said.code == 0, said
    assert "Chamfer" in said.out
    found = json.loads((runs / "ball" / "evaluation.json").read_text())
    assert found["protocol"]["against"] == "truth"
    assert found["mean"]["chamfer"] < 0.05
    assert found["mean"]["f_score"] > 0.9


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--seconds", 5], "--seconds says how long a field is trained; --method patches ends by itself"),
        (["--depth", 40], "--depth takes 3 to 14, got 40"),
        (["--patches.radius", -1.0], "--patches.radius must be positive"),
        (["--patches.widths", 0], "--patches.widths takes widths of 1 to 1024"),
        (["--truth", "nothing.ply"], "nothing.ply"),
        (["--memory", "much"], "memory"),
    ],
)
def test_settings_that_cannot_be_are_refused(cli: Cli, cloud: Path, options: list[object], text: str):
    said = cli("surface", cloud, "--runs", cloud.parent / "runs", *options)
    assert (said.code, said.out) == (2, "")
    assert text in said.err
    assert "Traceback" not in said.err
    assert not (cloud.parent / "runs").exists()


def test_a_cloud_that_is_none_is_refused(cli: Cli, tmp_path: Path):
    path = tmp_path / "a.xyz"
    path.write_text("1 2 3\n")
    said = cli("surface", path, "--runs", tmp_path / "runs")
    assert said.code == 2
    assert "at least 10 distinct points" in said.err


def test_a_signed_distance_is_trained_meshed_and_gone_on_with(cli: Cli, cloud: Path):
    run = cloud.parent / "runs" / "ball"
    options = "--implicit.resolution", 48, "--implicit.batch", 512, "--implicit.finest", 24
    said = cli("surface", cloud, "--runs", run.parent, "--method", "implicit", "--steps", 150, *options)
    assert said.code == 0, said
    assert largest_error(run / "outputs" / "ball.ply") < 0.2
    first = json.loads((run / "evaluation.json").read_text())["mean"]
    assert cli("eval", run).code == 0
    assert json.loads((run / "evaluation.json").read_text())["mean"] == pytest.approx(first, rel=1e-3)
    said = cli("resume", run, "--steps", 160)
    assert said.code == 0, said
    assert "points lie" in said.out
    assert "its mesh lies in" in cli("render", run).err


def test_patches_are_not_gone_on_with(cli: Cli, cloud: Path):
    run = cloud.parent / "runs" / "ball"
    assert cli("surface", cloud, "--runs", run.parent, "--method", "poisson").code == 0
    assert "which is not gone on with" in cli("resume", run, "--steps", 5).err
