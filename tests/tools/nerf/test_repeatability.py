"""Bit for bit: killed and resumed, on one thread and on two, with the same seed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from neufield.tools.checkpoint import load_checkpoint
from neufield.tools.cli import main

Spawn = Callable[..., subprocess.Popen[str]]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(run / "checkpoint" / "latest.safetensors").tensors


def different(run: Path, other: Path) -> list[str]:
    """Names of the tensors that are not the same, bit for bit."""
    a, b = weights(run), weights(other)
    assert a.keys() == b.keys()
    return [name for name, tensor in a.items() if not torch.equal(tensor, b[name])]


def kill_after_a_checkpoint(process: subprocess.Popen[str], checkpoint: Path) -> None:
    """Waits for the process to write a checkpoint, and kills it where it stands."""
    before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
    while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    out, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, out


def test_a_killed_run_is_resumed_to_the_same_weights(
    spawn: Spawn, photos: Path, small_field: list[str], trained: Path, tmp_path: Path
):
    """Killed twice, and resumed with another number of threads."""
    run = tmp_path / "still"
    checkpoint = run / "checkpoint" / "latest.safetensors"
    line = ("nerf", photos, "--runs", tmp_path, "--steps", 300, "--checkpoint-seconds", 0.05, *small_field)
    steps = [0]
    for command, threads in ((line, "1"), (("resume", run), "2")):
        environment = {"NUMBA_NUM_THREADS": threads, "OMP_NUM_THREADS": threads}
        kill_after_a_checkpoint(spawn(*command, **environment), checkpoint)
        assert not (run / "evaluation.json").exists()
        steps.append(load_checkpoint(checkpoint).facts["step"])
    assert 0 < steps[1] < steps[2] < 300
    assert main(["resume", str(run), "--quiet"]) == 0
    assert load_checkpoint(checkpoint).facts["step"] == 300
    assert different(run, trained) == []
    assert not list(run.rglob("*.partial*"))


def test_a_killed_fit_of_a_picture_is_resumed_to_the_same_weights(spawn: Spawn, tmp_path: Path):
    """With all that a step can draw at random: pixels that are left out, places within pixels."""
    colors = torch.rand(64, 64, 3, generator=torch.Generator().manual_seed(0))
    Image.fromarray((255 * colors).byte().numpy()).save(tmp_path / "noise.png")
    line = ["image", str(tmp_path / "noise.png"), "--runs", str(tmp_path), "--steps", "400", "--parameters", "9000"]
    line += ["--learned-scale", "on", "--pixels", "area", "--optimizer.average", "0.9", "--quiet"]
    assert main([*line, "--name", "whole"]) == 0
    run = tmp_path / "killed"
    checkpoint = run / "checkpoint" / "latest.safetensors"
    kill_after_a_checkpoint(spawn(*line, "--name", "killed", "--checkpoint-seconds", 0.05), checkpoint)
    assert 0 < load_checkpoint(checkpoint).facts["step"] < 400
    assert main(["resume", str(run), "--quiet"]) == 0
    assert different(tmp_path / "whole", run) == []


@pytest.mark.slow
def test_a_killed_run_that_learns_cameras_and_codes_is_resumed_to_the_same_weights(
    spawn: Spawn, photos: Path, small_field: list[str], tmp_path: Path, any_memory: str
):
    """From a pool of pixels that is drawn anew on the way."""
    line = ["nerf", str(photos), "--runs", str(tmp_path), "--steps", "260", "--memory", "100KiB", *small_field]
    line += ["--refine-poses", "lenses", "--appearance", "code", "--quiet"]
    assert main([*line, "--name", "whole"]) == 0
    run = tmp_path / "killed"
    checkpoint = run / "checkpoint" / "latest.safetensors"
    process = spawn(*line, "--name", "killed", "--checkpoint-seconds", 1.5, after=any_memory)
    kill_after_a_checkpoint(process, checkpoint)
    facts = load_checkpoint(checkpoint).facts
    assert 0 < facts["step"] < 260
    assert main(["resume", str(run), "--quiet"]) == 0
    assert load_checkpoint(checkpoint).facts["task"]["rays_drawn"] > 24 * 48 * 48  # another choice was due
    assert different(tmp_path / "whole", run) == []
    learned = weights(run)
    assert {"model.refinement.poses", "model.refinement.lenses", "model.appearance.codes"} <= set(learned)
    assert all(learned[f"model.{name}"].any() for name in ("refinement.poses", "refinement.lenses", "appearance.codes"))


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="needs two cores")
def test_threads_change_nothing_and_seeds_do(spawn: Spawn, photos: Path, small_field: list[str], tmp_path: Path):
    line = ["nerf", str(photos), "--runs", str(tmp_path), "--steps", "70", "--quiet", *small_field, "--name"]
    for name, threads in (("one", "1"), ("two", "2")):
        process = spawn(*line, name, NUMBA_NUM_THREADS=threads, OMP_NUM_THREADS=threads)
        out, _ = process.communicate()
        assert process.returncode == 0, out
    assert main([*line, "other", "--seed", "1"]) == 0
    assert different(tmp_path / "one", tmp_path / "two") == []
    changed = different(tmp_path / "one", tmp_path / "other")
    assert {"model.field.grid.table", "average.field.grid.table", "optimizer.field.grid.table.mean"} <= set(changed)


def test_ctrl_c_leaves_a_run_that_can_go_on(spawn: Spawn, photos: Path, small_field: list[str], tmp_path: Path):
    run = tmp_path / "still"
    process = spawn("nerf", photos, "--runs", tmp_path, "--steps", 100000, "--checkpoint-seconds", 0.05, *small_field)
    while process.poll() is None and not (run / "checkpoint" / "latest.safetensors").exists():
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate()
    assert process.returncode == 0, out
    step = load_checkpoint(run / "checkpoint" / "latest.safetensors").facts["step"]
    assert out.splitlines()[-1] == f"Stopped at step {step}; go on with `neufield resume {run}`."
    assert main(["resume", str(run), "--steps", str(step + 2), "--quiet"]) == 0
    assert load_checkpoint(run / "checkpoint" / "latest.safetensors").facts["step"] == step + 2
