"""Imperfect captures from end to end: cameras that are off, photos that are exposed differently."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from neufield.configs.nerf_config import FieldConfig, NerfConfig, SamplingConfig
from neufield.datasets import load_posed_scene
from neufield.render import CameraRefinement, Cameras, Similarity
from neufield.tools.fitting import Fitter
from neufield.tools.metrics import psnr
from neufield.tools.nerf.alignment import aligned_camera
from neufield.tools.nerf.model import blend
from neufield.tools.nerf.refined_cameras import shift_between, write_refined_cameras
from neufield.tools.nerf.run import load_scene
from neufield.tools.nerf.task import NerfTask, camera_frames, fit_settings, resolved
from neufield.tools.progress import Progress
from neufield.tools.run_folder import RunFolder

Cli = Callable[..., Any]
FIELD = FieldConfig(levels=8, log2_table_size=14, finest=128)
SAMPLING = SamplingConfig(samples=2048, steps_per_unit=128, occupancy_resolution=32)
STEPS = 300


def disturbed(cameras: Cameras, *, degrees: float, distance: float) -> Cameras:
    """Every camera turned by so many degrees about a random axis and shifted so far in a random direction."""
    generator = torch.Generator().manual_seed(1)
    off = CameraRefinement(cameras)
    rotation, translation = (
        size * torch.nn.functional.normalize(torch.randn(len(cameras), 3, generator=generator), dim=1)
        for size in (degrees * torch.pi / 180.0, distance)
    )
    off.move(rotation, translation)
    return off.corrected(cameras)


def take_steps(task: NerfTask) -> None:
    """As many as the task's settings say; nothing is written."""
    fitter = Fitter(task, fit_settings(task.config), RunFolder(Path()), Progress(quiet=True))
    for _ in range(task.config.steps or 0):
        fitter.one_step()


def fit(photos: Path, *, off: tuple[float, float] = (0.0, 0.0), steps: int = STEPS, **options: Any) -> NerfTask:
    """A field, small if not told otherwise, fitted with cameras that are off by so many degrees and scene units."""
    config = NerfConfig(data=photos, steps=steps, **{"field": FIELD, "sampling": SAMPLING, **options})
    scene = load_scene(config)
    scene.train.cameras = disturbed(scene.train.cameras, degrees=off[0], distance=off[1])
    config = resolved(config, scene)
    task = NerfTask(config, scene, torch.device("cpu"))
    take_steps(task)
    return task


def error_of(task: NerfTask, truth: Cameras) -> tuple[float, float]:
    """Median error of the refined cameras in degrees and scene units, what they do all together aside."""
    assert task.model.refinement is not None
    found = task.model.refinement.corrected(task.cameras)
    together = Similarity.aligning(camera_frames(found), camera_frames(truth))
    shift = shift_between(truth, found.transformed(together))
    return shift.degrees, shift.distance


def test_shifts_between_cameras_are_angles_and_distances(photos: Path):
    cameras = load_posed_scene(photos).train.cameras.to("cpu", torch.float64)
    found = shift_between(cameras, disturbed(cameras, degrees=1.5, distance=0.02), scale=0.5)
    assert found.degrees == pytest.approx(1.5, rel=1e-4)
    assert found.distance == pytest.approx(0.04, rel=1e-4)
    assert shift_between(cameras, cameras).degrees == pytest.approx(0.0, abs=1e-5)


def test_cameras_that_are_off_are_brought_back(photos: Path):
    task = fit(photos, off=(1.5, 0.015), refine_poses="poses", steps=700)
    degrees, distance = error_of(task, load_posed_scene(photos).train.cameras)
    assert degrees < 0.9
    assert distance < 0.0125


@pytest.mark.slow
def test_cameras_of_lego_that_are_off_by_a_degree_are_brought_back(real_data: Path):
    """By one degree and a hundredth of the scene; after 1500 steps 0.07 degrees and 0.0011 are left."""
    photos = real_data / "lego400"
    if not photos.is_dir():
        pytest.skip(f"needs {photos}")
    full = {"field": FieldConfig(), "sampling": SamplingConfig()}
    task = fit(photos, off=(1.0, 0.01), steps=1500, background="white", refine_poses="poses", **full)
    degrees, distance = error_of(task, load_scene(task.config).train.cameras)
    print(f"{degrees:.4f} degrees, {distance:.5f} scene units")
    assert degrees < 0.12
    assert distance < 0.002


@torch.no_grad()
def psnr_from(task: NerfTask, camera: Cameras) -> float:
    """What the first held-out photo scores, seen from a camera."""
    seen = task.model.renderer().render_image(camera, 0, task.scoring_background)["color"]
    return psnr(seen, blend(task.scene.test.image(0), task.scoring_background))


def test_a_held_out_camera_is_aligned_with_the_scene(photos: Path):
    """One that is off finds back to the others; the scene is not touched."""
    task = fit(photos, refine_poses="poses")
    task._test_cameras = disturbed(task._test_cameras, degrees=1.5, distance=0.01)
    before = [parameter.clone() for parameter in task.model.parameters()]
    off, found = (psnr_from(task, camera) for camera in (task.test_cameras[0], aligned_camera(task, 0)))
    assert found > off + 1.0
    assert all(torch.equal(a, b) for a, b in zip(before, task.model.parameters(), strict=True))
    assert all(parameter.requires_grad and parameter.grad is None for parameter in task.model.parameters())


def test_without_refinement_held_out_cameras_stay_where_they_are(photos: Path):
    config = NerfConfig(data=photos, field=FIELD, sampling=SAMPLING)
    scene = load_scene(config)
    task = NerfTask(resolved(config, scene), scene, torch.device("cpu"))
    assert torch.equal(aligned_camera(task, 1).world_from_camera, scene.test.cameras.world_from_camera[1:2])


def test_exposures_are_found(photos: Path):
    """Every second photo is half as bright; on black, so that nothing else tells."""
    config = NerfConfig(data=photos, field=FIELD, sampling=SAMPLING)
    scene = load_scene(config)
    starts = scene.train.first_pixel.tolist()
    for first, end in zip(starts[:-1:2], starts[1::2], strict=True):
        scene.train.pixels[first:end, :3] //= 2
    config = resolved(replace(config, steps=500, appearance="exposure", background="black"), scene)
    task = NerfTask(config, scene, torch.device("cpu"))
    take_steps(task)
    assert task.model.appearance is not None
    gains = task.model.appearance.gains(torch.arange(len(scene.train))).detach().mean(dim=1)
    assert gains[1::2].mean() / gains[::2].mean() == pytest.approx(2.0, rel=0.15)


@pytest.mark.slow
@pytest.mark.parametrize("appearance", ["exposure", "code"])
def test_the_command_refines_and_says_so(
    cli: Cli, photos: Path, small_field: list[str], tmp_path: Path, appearance: str
):
    line = ("nerf", photos, "--runs", tmp_path, "--steps", 250, "--quiet", *small_field)
    said = cli(*line, "--refine-poses", "lenses", "--appearance", appearance)
    assert said.code == 0, said.err
    assert "Cameras turned by" in said.out
    run = tmp_path / "still"
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert evaluation["protocol"]["poses"].startswith("refined in training (lenses); each held-out camera moved")
    assert evaluation["protocol"]["appearance"].startswith("of the mean training photo; exposed_psnr is")
    assert evaluation["mean"]["exposed_psnr"] > 15.0
    assert 0.0 < evaluation["cameras"]["degrees"] < 5.0
    assert cli("eval", run, "--quiet").code == 0
    again = json.loads((run / "evaluation.json").read_text())
    assert again["mean"]["psnr"] == pytest.approx(evaluation["mean"]["psnr"], abs=0.05)
    assert cli("render", run, "--frames", 2, "--size", 16, 16).code == 0


def test_a_comparison_says_whose_cameras_were_aligned(
    cli: Cli, photos: Path, small_field: list[str], trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("neufield.tools.nerf.alignment.ALIGNMENT_STEPS", 2)
    line = ("nerf", photos, "--runs", tmp_path, "--steps", 40, *small_field, "--against", trained)
    caveat = "Only refined had its held-out cameras aligned with their photos, which is part of the difference."
    said = cli(*line, "--name", "refined", "--refine-poses", "poses")
    assert said.code == 0, said.err
    assert "Scoring still, to compare with it.\n" in said.out
    assert f"where they differ most). {caveat}" in said.out
    assert caveat in (tmp_path / "refined" / "report.html").read_text()


@pytest.mark.slow
def test_refined_cameras_are_a_data_set_of_their_own(cli: Cli, photos: Path, small_field: list[str], tmp_path: Path):
    """In the user's coordinates, with the same views held out."""
    line = ("nerf", photos, "--runs", tmp_path, "--steps", 210, "--quiet", *small_field)
    assert cli(*line, "--refine-poses", "poses").code == 0
    run = tmp_path / "still"
    folder = tmp_path / "refined"
    folder.mkdir()
    for part in ("train", "test"):
        shutil.copytree(photos / part, folder / part)
    (folder / "transforms.json").write_text((run / "outputs" / "refined_transforms.json").read_text())
    given, found = load_posed_scene(photos), load_posed_scene(folder)
    assert found.train.names == given.train.names
    assert found.test.names == given.test.names
    world = [scene.train.cameras.transformed(scene.scene_from_world.inverse()) for scene in (given, found)]
    shift = shift_between(*world)
    assert 0.0 < shift.degrees < 5.0
    assert shift.distance < 0.1 * float(world[0].world_from_camera[:, :, 3].norm(dim=1).mean())
    torch.testing.assert_close(found.train.cameras.focal, given.train.cameras.focal)


@pytest.mark.parametrize("depth", [{"depth_file_path": "depth.npy"}, {"depth_path": "depth.npy"}])
def test_refined_cameras_keep_what_the_data_has_besides(
    capture: Callable[..., Path], tmp_path: Path, depth: dict[str, str]
):
    """Masks, depth maps, the box and the sparse points: trained on again, it is the same scene."""
    keys = {"integer_depth_scale": 0.01} if "depth_path" in depth else {}
    listed = {3: {"mask_path": "mask.png"}, 4: depth}
    folder = capture(frames=listed, ply_file_path="points.ply", aabb_scale=4, **keys)
    Image.fromarray(np.eye(48, dtype=np.uint8) * 255).save(folder / "mask.png")
    np.save(folder / "depth.npy", np.full((48, 48), 300, dtype=np.uint16))
    config = NerfConfig(data=folder, field=FIELD, sampling=SAMPLING, refine_poses="poses")
    given = load_scene(config)
    run = RunFolder(tmp_path / "run")
    write_refined_cameras(run, NerfTask(resolved(config, given), given, torch.device("cpu")))
    exported = (run.outputs / "refined_transforms.json").read_text()
    (folder / "transforms.json").write_text(exported)
    found = load_scene(config)
    assert json.loads(exported)["ply_file_path"] == "points.ply"
    assert (found.extent, found.near, found.train.names) == (given.extent, given.near, given.train.names)
    assert found.scene_from_world.to_dict() == given.scene_from_world.to_dict()
    for images, before in ((found.train, given.train), (found.test, given.test)):
        assert torch.equal(images.pixels, before.pixels)
        for i in range(len(images)):
            for mine, theirs in ((images.kept_in(i), before.kept_in(i)), (images.depth_in(i), before.depth_in(i))):
                assert (mine is None and theirs is None) or torch.equal(mine, theirs)
    assert any(bool((found.train.depth_in(i) > 0).any()) for i in range(len(found.train)))


@pytest.mark.slow
def test_refined_cameras_of_reduced_photos_fit_their_files(
    cli: Cli, photos: Path, small_field: list[str], tmp_path: Path
):
    line = ("nerf", photos, "--runs", tmp_path, "--steps", 205, "--downscale", 2, "--quiet", *small_field)
    assert cli(*line, "--refine-poses", "poses").code == 0
    folder = tmp_path / "refined"
    for part in ("train", "test"):
        shutil.copytree(photos / part, folder / part)
    exported = tmp_path / "still" / "outputs" / "refined_transforms.json"
    (folder / "transforms.json").write_text(exported.read_text())
    found, given = load_posed_scene(folder).train.cameras, load_posed_scene(photos).train.cameras
    torch.testing.assert_close(found.focal, given.focal)
    assert torch.equal(found.sizes, given.sizes)


@pytest.mark.slow
def test_a_run_that_ends_before_its_cameras_are_refined_says_so(
    cli: Cli, photos: Path, small_field: list[str], tmp_path: Path
):
    line = ("nerf", photos, "--runs", tmp_path, "--refine-poses", "poses", *small_field)
    assert "cameras are refined from step 200 on; this run ends before it" in cli(*line, "--steps", 2).out


def test_a_fisheye_lens_is_named_before_training(cli: Cli, capture: Callable[..., Path], tmp_path: Path):
    folder = capture(camera_model="OPENCV_FISHEYE")
    said = cli("nerf", folder, "--runs", tmp_path / "runs", "--steps", 5, "--refine-poses", "lenses")
    assert said.code == 2
    assert "r_001.png has a fisheye lens, which cannot be refined; use --refine-poses poses." in said.err
    assert not (tmp_path / "runs" / "capture").exists()
