"""What the task of `neufield nerf` does between the photos and the fitting loop."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from neufield.configs.nerf_config import FieldConfig, NerfConfig, OptimizerConfig, SamplingConfig
from neufield.tools.nerf.model import resolved_sampling
from neufield.tools.nerf.run import load_scene
from neufield.tools.nerf.task import NerfTask, resolved

FIELD = FieldConfig(levels=4, log2_table_size=10, finest=64)
SAMPLING = SamplingConfig(samples=512, occupancy_resolution=32)


def task(photos: Path, **optimizer: Any) -> NerfTask:
    config = NerfConfig(data=photos, field=FIELD, sampling=SAMPLING, optimizer=OptimizerConfig(**optimizer))
    scene = load_scene(config)
    return NerfTask(resolved(config, scene), scene, torch.device("cpu"))


def levels_of(task: NerfTask) -> int:
    return int(task.model.field.grid.open_levels)


def test_levels_open_one_by_one_and_never_close(photos: Path):
    fit = task(photos, opening=80)
    assert levels_of(fit) == 1
    counts: list[int] = []
    for step, progress in ((0, 0.0), (19, 0.05), (20, 0.05), (21, 0.21), (59, 0.2), (60, 0.2), (1000, 0.3), (30, 0.01)):
        fit.losses(step, progress)
        counts.append(levels_of(fit))
    assert counts == [1, 1, 2, 3, 3, 4, 4, 4]  # the last: the run got a later end


def test_levels_may_open_at_once(photos: Path):
    assert levels_of(task(photos, opening=0)) == 4


@pytest.mark.parametrize(("extent", "steps"), [(1, 300), (4, 800)])
def test_levels_open_more_slowly_in_larger_scenes(photos: Path, extent: int, steps: int):
    config = NerfConfig(data=photos)
    assert resolved(config, replace(load_scene(config), extent=extent)).optimizer.opening == steps


def test_open_levels_travel_with_the_weights(photos: Path):
    fit, other = task(photos, opening=80), task(photos, opening=0)
    other.model.load_state_dict(fit.model.state_dict())
    assert levels_of(other) == 1


def test_weights_that_wait_for_a_level_stay_as_they_are(photos: Path):
    from neufield.fields import Adam

    fit = task(photos, opening=80)
    network = fit.model.field.density_network
    columns = network.weights[: 64 * FIELD.levels * 2].view(64, -1)
    before = columns.detach().clone()
    optimizer = Adam(fit.parameter_groups())
    for step in range(5):
        torch.stack(list(fit.losses(step, 0.0).values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert torch.equal(columns[:, 2:], before[:, 2:])
    assert (columns[:, :2] != before[:, :2]).any(dim=0).all()


def test_distortion_counts_as_much_as_it_is_said_to(photos: Path):
    small, large = (task(photos, distortion=weight).losses(0, 0.0)["distortion"] for weight in (0.01, 0.02))
    assert small > 0.0
    torch.testing.assert_close(2.0 * small, large)
    assert task(photos, distortion=0.0).losses(0, 0.0)["distortion"] == 0.0


@pytest.mark.parametrize(("extent", "steps", "cone"), [(1, 296, 0.0), (4, 128, 1.0 / 128.0)])
def test_samples_follow_the_size_of_the_scene(extent: int, steps: int, cone: float):
    found = resolved_sampling(SamplingConfig(), extent)
    assert (found.steps_per_unit, found.cone_angle) == (steps, cone)
    given = replace(found, steps_per_unit=7, cone_angle=0.25)
    assert resolved_sampling(given, extent) == given
