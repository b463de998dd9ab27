"""Open scenes from end to end: what lies behind the scene's box is a colour by viewing direction, learned with it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from neufield.configs.nerf_config import FieldConfig, NerfConfig, SamplingConfig
from neufield.datasets import load_posed_scene
from neufield.tools.fitting import Fitter
from neufield.tools.nerf.run import load_scene
from neufield.tools.nerf.task import REFINED_FROM, NerfTask, fit_settings, resolved
from neufield.tools.progress import Progress
from neufield.tools.run_folder import RunFolder

Cli = Callable[..., Any]
FIELD = FieldConfig(levels=8, log2_table_size=14, finest=128)
SAMPLING = SamplingConfig(samples=2048, steps_per_unit=128, occupancy_resolution=32)


def sky(directions: Tensor) -> Tensor:
    """Of every direction another colour."""
    x, y, z = directions.unbind(-1)
    around = torch.atan2(y, x)
    waves = [torch.sin(4.0 * around), torch.cos(6.0 * z + 1.0), torch.sin(3.0 * around + 5.0 * z)]
    return 0.5 + 0.4 * torch.stack(waves, dim=-1)


@pytest.fixture(scope="module")
def open_photos(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small scene under a coloured sky that is infinitely far away; opaque photos, not to be changed."""
    folder = Path(shutil.copytree(photos, tmp_path_factory.mktemp("open") / "sky"))
    scene = load_posed_scene(photos)
    for views in (scene.train, scene.test):
        for i, name in enumerate(views.names):
            rgba = views.image(i).float() / 255.0
            color = rgba[..., :3] * rgba[..., 3:] + sky(directions_of(views.cameras, i)) * (1.0 - rgba[..., 3:])
            Image.fromarray((255.0 * color).round().byte().numpy()).save(folder / name)
    return folder


def directions_of(cameras: Any, index: int) -> Tensor:
    """Of the rays of all pixels of a photo, (h, w, 3)."""
    width, height = cameras.sizes[index].tolist()
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    pixels = torch.stack([x, y], dim=2).view(-1, 2)
    return cameras.rays(pixels, torch.full((len(pixels),), index))[1].view(height, width, 3)


def fitter_of(folder: Path, run: Path, **options: Any) -> Fitter:
    settings = {"background": "learned", "steps": 300, "field": FIELD, "sampling": SAMPLING, **options}
    config = NerfConfig(data=folder, **settings)
    scene = load_scene(config)
    config = resolved(config, scene)
    task = NerfTask(config, scene, torch.device("cpu"))
    return Fitter(task, fit_settings(config), RunFolder(run), Progress(quiet=True))


def take_steps(fitter: Fitter, count: int) -> Fitter:
    for _ in range(count):
        fitter.one_step()
    return fitter


def task_of(fitter: Fitter) -> NerfTask:
    assert isinstance(fitter.task, NerfTask)
    return fitter.task


def empty(folder: Path, **options: Any) -> NerfTask:
    """A task whose rays see nothing but the environment."""
    task = task_of(fitter_of(folder, Path(), **options))
    task.model.occupancy.bits.zero_()
    return task


@pytest.mark.slow
def test_a_sky_is_told_from_what_stands_before_it(photos: Path, open_photos: Path):
    """Without an environment the box's walls show it, at 14.5 dB; with one it is 18.7, and what is solid stays so."""
    solid = load_posed_scene(photos).test
    scores: dict[str, float] = {}
    for background in ("none", "learned"):
        fitter = take_steps(fitter_of(open_photos, Path(), background=background, steps=450), 450)
        with fitter.average.applied():
            scores[background] = task_of(fitter).quick_score()["psnr"]
    assert scores["learned"] > scores["none"] + 3.0
    with fitter.average.applied(), torch.no_grad():
        task, cameras = task_of(fitter), task_of(fitter).scene.test.cameras
        assert task.model.environment is not None
        for i in range(len(cameras)):
            alpha = solid.image(i)[..., 3]
            directions = directions_of(cameras, i)[alpha == 0]
            opacity = task.model.renderer().render_image(cameras, i, task.scoring_background)["opacity"]
            assert opacity[alpha == 255].mean() > 0.93
            assert opacity[alpha == 0].mean() < 0.6
            assert (task.model.environment(directions) - sky(directions)).abs().mean() < 0.17


@pytest.mark.parametrize("stop", [4, 40])
def test_a_run_goes_on_as_if_never_stopped(open_photos: Path, tmp_path: Path, stop: int):
    """Also if it was stopped before the environment took part."""
    steps = 60
    whole = take_steps(fitter_of(open_photos, tmp_path / "whole", steps=steps), steps)
    stopped = fitter_of(open_photos, tmp_path / "stopped", steps=steps)
    given = stopped.task.module.state_dict()["environment.grid.table"].clone()
    take_steps(stopped, stop).save()
    waits = torch.equal(stopped.task.module.state_dict()["environment.grid.table"], given)
    assert waits == (stop == 4)
    again = fitter_of(open_photos, tmp_path / "stopped", steps=steps)
    again.resume()
    again.warm_up()
    take_steps(again, steps - stop)
    truth, found = whole.task.module.state_dict(), again.task.module.state_dict()
    assert {"environment.grid.table", "environment.network.weights"} < set(truth)
    assert [name for name, tensor in truth.items() if not torch.equal(tensor, found[name])] == []


def test_until_it_takes_part_nothing_changes(open_photos: Path):
    """Random colours lie behind the scene first, and the environment waits as it was made."""
    plain, learned = (
        take_steps(fitter_of(open_photos, Path(), background=background), 20) for background in ("none", "learned")
    )
    given = fitter_of(open_photos, Path()).task.module.state_dict()
    without, found = plain.task.module.state_dict(), learned.task.module.state_dict()
    new = {name for name in found if name.startswith("environment.")}
    assert set(found) - set(without) == new
    assert all(torch.equal(found[name], tensor) for name, tensor in without.items())
    assert all(torch.equal(found[name], given[name]) for name in new)


def test_the_environment_is_exposed_like_the_scene(open_photos: Path):
    gradients: list[Tensor] = []
    for environment in (False, True):
        task = empty(open_photos, appearance="exposure")
        assert task.model.appearance is not None
        task._losses(step=0, coarseness=1.0, rays=256, environment=environment)["color"].backward()
        assert task.model.appearance.exposures.grad is not None
        gradients.append(task.model.appearance.exposures.grad)
    assert not gradients[0].any()
    assert gradients[1].any(dim=1).all()


def test_cameras_learn_from_the_environment(open_photos: Path):
    task = empty(open_photos, refine_poses="poses")
    task._losses(step=REFINED_FROM, coarseness=1.0, rays=256, environment=True)["color"].backward()
    assert task.model.refinement is not None
    assert task.model.refinement.poses.grad is not None
    assert task.model.refinement.poses.grad.any(dim=1).all()


def test_transparent_photos_are_refused_before_training(cli: Cli, photos: Path, tmp_path: Path):
    said = cli("nerf", photos, "--runs", tmp_path, "--background", "learned", "--steps", 5)
    assert said.code == 2
    assert f"The photos in {photos} have transparency" in said.err
    assert "use --background white, black or none instead of learned." in said.err
    assert not any(tmp_path.iterdir())


def test_the_commands_know_it(cli: Cli, open_photos: Path, small_field: list[str], tmp_path: Path):
    """Training, scoring, comparing and rendering; the video shows the sky."""
    line = ("nerf", open_photos, "--runs", tmp_path, "--quiet", *small_field, "--steps")
    assert cli(*line, 2, "--name", "plain").code == 0
    run = tmp_path / "open"
    said = cli(*line, 60, "--name", "open", "--background", "learned", "--against", tmp_path / "plain")
    assert said.code == 0, said.err
    assert "learned background" in said.out
    assert "dB against plain" in said.out
    first = json.loads((run / "evaluation.json").read_text())
    assert first["protocol"]["background"].startswith("the learned environment;")
    assert "the learned environment" in (run / "report.html").read_text()
    assert cli("eval", run, "--quiet").code == 0
    assert json.loads((run / "evaluation.json").read_text())["views"] == first["views"]
    assert cli("render", run, "--frames", 2, "--size", 16, 16).code == 0
    assert cli("resume", run, "--steps", 62, "--quiet").code == 0
