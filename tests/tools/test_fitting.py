"""The loop on a task of its own: a vector is fitted to a target that moves a little with every step."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from neufield.tools.checkpoint import load_checkpoint
from neufield.tools.errors import RunError
from neufield.tools.fitting import FitSettings, Fitter
from neufield.tools.progress import Progress
from neufield.tools.run_folder import RunFolder

STEPS = FitSettings(seconds=None, steps=20, rate=0.05, decay_from=0.5, decay_to=0.1, average=0.9)


class Shifted(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.values = torch.nn.Parameter(torch.zeros(6))
        self.register_buffer("visits", torch.zeros(1, dtype=torch.int64))


class VectorTask:
    """Values to be brought to (1, ..., 1) with noise of each step's own; `at_step` may meddle with the loss."""

    scored = "the values"

    def __init__(self, at_step: Callable[[int, Tensor], Tensor] | None = None) -> None:
        self.module: torch.nn.Module = Shifted()
        self.at_step = at_step or (lambda _step, loss: loss)
        self.carried = 0.0
        self.told: list[tuple[int, float]] = []

    def parameter_groups(self) -> list[dict[str, Any]]:
        return [{"params": [self.module.values]}]

    def warm_up(self) -> None:
        pass

    def losses(self, step: int, progress: float) -> dict[str, Tensor]:
        self.told.append((step, progress))
        noise = torch.rand(6, generator=torch.Generator().manual_seed(step))
        loss = (self.module.values - 1.0 + 0.1 * noise + 0.01 * self.carried).square().mean()
        return {"near": self.at_step(step, loss), "small": 0.001 * self.module.values.abs().sum()}

    def after_step(self, step: int, progress: float) -> None:
        self.module.visits += 1
        self.carried = (self.carried + step) % 7

    def counters(self) -> dict[str, float]:
        return {"values": float(6 * len(self.told))}

    def facts(self) -> dict[str, Any]:
        return {"carried": self.carried}

    def restore(self, facts: dict[str, Any]) -> None:
        self.carried = facts["carried"]

    def quick_score(self) -> dict[str, float]:
        return {"distance": (self.module.values - 1.0).norm().item()}


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "run")
    folder.create("")
    return folder


def fitter(run: RunFolder, settings: FitSettings = STEPS, task: VectorTask | None = None) -> Fitter:
    return Fitter(task or VectorTask(), settings, run, Progress(quiet=True))


def with_steps(steps: int | None, **changes: Any) -> FitSettings:
    return replace(STEPS, steps=steps, **changes)


def test_rate_is_constant_and_then_falls_exponentially():
    rates = [STEPS.rate_at(progress) for progress in (0.0, 0.25, 0.5, 0.75, 1.0)]
    torch.testing.assert_close(rates, [0.05, 0.05, 0.05, 0.05 * 0.1**0.5, 0.005])
    assert with_steps(5, decay_from=1.0).rate_at(1.0) == 0.05
    assert with_steps(5, decay_from=0.0).rate_at(1.0) == pytest.approx(0.005)


def test_progress_counts_steps_or_seconds():
    assert [STEPS.progress(step, 1e9) for step in (0, 5, 20, 25)] == [0.0, 0.25, 1.0, 1.0]
    by_time = with_steps(None, seconds=8.0)
    assert [by_time.progress(10**9, seconds) for seconds in (0.0, 2.0, 8.0, 9.0)] == [0.0, 0.25, 1.0, 1.0]


def test_stops_after_its_steps(run: RunFolder):
    fit = fitter(run)
    assert fit.fit()
    assert [step for step, _ in fit.task.told] == list(range(20))
    assert [progress for _, progress in fit.task.told] == [step / 20 for step in range(20)]
    assert fit.task.module.visits.item() == fit.step == 20
    assert fit.task.quick_score()["distance"] < 1.0 < VectorTask().quick_score()["distance"]


def test_stops_after_its_seconds(run: RunFolder):
    def slowly(_step: int, loss: Tensor) -> Tensor:
        time.sleep(0.01)
        return loss

    fit = fitter(run, with_steps(None, seconds=0.1), VectorTask(slowly))
    assert fit.fit()
    assert fit.seconds >= 0.1
    assert 1 <= fit.step <= 10
    progress = [share for _, share in fit.task.told]
    assert progress == sorted(progress)
    assert progress[-1] < 1.0


def test_the_rate_reaches_the_optimizer(run: RunFolder):
    fit = fitter(run)
    rates: list[float] = []
    after = fit.task.after_step
    fit.task.after_step = lambda step, progress: (
        rates.append(fit.optimizer.param_groups[0]["rate"]),
        after(step, progress),
    )
    fit.fit()
    assert rates == [STEPS.rate_at(step / 20) for step in range(20)]


def test_what_is_logged(run: RunFolder):
    fitter(run).fit()
    lines = run.read_metrics()
    logged, scores = ([line for line in lines if key in line] for key in ("losses", "scores"))
    assert (list(logged[0]["losses"]), logged[0]["counters"]) == (["near", "small"], {"values": 6.0})
    assert [line["step"] for line in logged] == [1, 2, 4, 8, 16]  # a fit of less than two seconds
    assert [line["step"] for line in scores] == [1, 2, 4, 8, 20]
    distances = [line["scores"]["distance"] for line in scores]
    assert distances == sorted(distances, reverse=True)


def test_checkpoints_by_steps_and_at_the_end(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    fit = fitter(run, with_steps(7, checkpoint_steps=3))
    saved: list[int] = []
    save = fit.save
    monkeypatch.setattr(fit, "save", lambda: (saved.append(fit.step), save()))
    fit.fit()
    assert saved == [3, 6, 7]
    facts = load_checkpoint(run.checkpoint).facts
    assert (facts["step"], facts["task"]) == (7, {"carried": fit.task.carried})


def test_checkpoints_by_the_clock(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    fit = fitter(run, with_steps(4, checkpoint_seconds=1e-9))
    saved: list[int] = []
    monkeypatch.setattr(fit, "save", lambda: saved.append(fit.step))
    fit.fit()
    assert saved == [1, 2, 3, 4, 4]


def tensors_of(run: RunFolder) -> dict[str, Tensor]:
    return load_checkpoint(run.checkpoint).tensors


def interrupt_at(wanted: int, times: int = 1, number: int = signal.SIGINT) -> Callable[[int, Tensor], Tensor]:
    def press(step: int, loss: Tensor) -> Tensor:
        if step == wanted:
            for _ in range(times):
                os.kill(os.getpid(), number)
        return loss

    return press


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_after_the_step_with_a_checkpoint(run: RunFolder, number: int):
    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    fit = fitter(run, task=VectorTask(interrupt_at(7, number=number)))
    assert not fit.fit()
    assert fit.step == 8
    assert load_checkpoint(run.checkpoint).facts["step"] == 8
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_ctrl_c_twice_ends_at_once(run: RunFolder):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fitter(run, task=VectorTask(interrupt_at(7, times=2))).fit()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("stop", [0, 6, 18])
def test_a_resumed_fit_is_the_uninterrupted_one(run: RunFolder, tmp_path: Path, stop: int):
    whole = RunFolder(tmp_path / "whole")
    whole.create("")
    fitter(whole).fit()
    fitter(run, task=VectorTask(interrupt_at(stop))).fit()
    again = fitter(run)
    again.resume()
    assert again.step == stop + 1
    assert again.fit()
    wanted, found = tensors_of(whole), tensors_of(run)
    assert wanted.keys() == found.keys()
    assert {name.split(".")[0] for name in found} == {"model", "average", "optimizer"}
    for name, tensor in wanted.items():
        assert torch.equal(found[name], tensor), name
    # The log is as if never stopped, apart from the clock.
    steps = [(line["step"], line.get("scores")) for line in run.read_metrics()]
    assert steps == [(line["step"], line.get("scores")) for line in whole.read_metrics()]


def test_a_finished_fit_can_go_on(run: RunFolder):
    fitter(run, with_steps(5)).fit()
    fit = fitter(run, with_steps(9))
    fit.resume()
    assert fit.fit()
    assert [step for step, _ in fit.task.told] == [5, 6, 7, 8]


def test_resume_refuses_an_end_that_is_behind(run: RunFolder):
    fitter(run, with_steps(5)).fit()
    with pytest.raises(RunError, match="has 5 steps already; --steps is their number in all"):
        fitter(run, with_steps(4)).resume()


def test_resume_needs_a_checkpoint_that_fits(run: RunFolder):
    with pytest.raises(RunError, match="There is no checkpoint"):
        fitter(run).resume()
    fitter(run).fit()
    other = VectorTask()
    other.module.values = torch.nn.Parameter(torch.zeros(7))
    with pytest.raises(RunError, match=r"does not fit the run's config.yaml: model.values is torch.float32 \(6,\)"):
        fitter(run, task=other).resume()


def spoil_at(wanted: int) -> Callable[[int, Tensor], Tensor]:
    return lambda step, loss: loss * float("nan") if step == wanted else loss


def test_a_loss_that_is_not_finite_ends_the_fit(run: RunFolder):
    with pytest.raises(FloatingPointError, match=r"The loss near is not finite at step 1; lower --optimizer.rate"):
        fitter(run, task=VectorTask(spoil_at(0))).fit()
    assert not run.checkpoint.exists()


@pytest.mark.parametrize("spoilt", [8, 19])
def test_weights_that_are_not_finite_never_reach_a_checkpoint(run: RunFolder, spoilt: int):
    """Between two lines of the log, and in the very last step."""
    with pytest.raises(
        FloatingPointError, match=r"The weight values is not finite at step .*The last checkpoint is from"
    ):
        fitter(run, with_steps(20, checkpoint_steps=5), VectorTask(spoil_at(spoilt))).fit()
    checkpoint = load_checkpoint(run.checkpoint)
    assert checkpoint.facts["step"] == spoilt // 5 * 5
    assert checkpoint.tensors["model.values"].isfinite().all()
