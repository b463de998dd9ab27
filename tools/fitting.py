"""The fitting loop that every task uses: optimiser, schedule, averaging, logging, evaluation, checkpoints, stopping."""

import math
import signal
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from ..fields import Adam
from .averaging import WeightAverage
from .checkpoint import Checkpoint, load_checkpoint, load_into, save_checkpoint
from .errors import RunError
from .progress import Progress
from .run_folder import RunFolder

_LOG_EVERY_SECONDS = 2.0
_CURVE_SECONDS = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0, 7200.0)
_CURVE_SHARES = (0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class FitSettings:
    """How long a fit lasts and how fast it learns.

    Attributes:
        seconds: Training time; evaluation and checkpoints do not count.
        steps: Number of steps; with it, progress is counted in steps and nothing depends on the clock.
        rate: Learning rate.
        decay_from: Share of the training after which the rate falls exponentially.
        decay_to: What share of the rate is left at the end.
        average: Decay of the weights' running average, per step.
        checkpoint_seconds: Time between checkpoints.
        checkpoint_steps: Also one every so many steps; None: by the clock alone.
    """

    seconds: float | None
    steps: int | None
    rate: float
    decay_from: float
    decay_to: float
    average: float
    checkpoint_seconds: float = 60.0
    checkpoint_steps: int | None = None

    def progress(self, step: int, seconds: float) -> float:
        """Share of the training that is done, in [0, 1]."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        return min(seconds / self.seconds, 1.0) if self.seconds else 1.0

    def rate_at(self, progress: float) -> float:
        """Learning rate at a share of the training."""
        late = max(progress - self.decay_from, 0.0) / max(1.0 - self.decay_from, 1e-9)
        return self.rate * self.decay_to**late


@runtime_checkable
class Task(Protocol):
    """What is fitted, seen by the loop."""

    module: nn.Module
    """Everything that is saved: parameters and buffers."""
    scored: str
    """What `quick_score` scores, in words: "held-out photos"."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters with their options of `Adam`, beside them `share`, of the fit's learning rate,
        and `fading`, what is left of that share at the end; both are 1 by default."""
        ...

    def warm_up(self) -> None:
        """Compiles or loads every kernel of a step; leaves no trace in parameters and buffers."""
        ...

    def losses(self, step: int, progress: float) -> dict[str, Tensor]:
        """The weighted terms of the objective for this step; the loop minimises their sum.

        Random numbers depend on the step alone.
        """
        ...

    def after_step(self, step: int, progress: float) -> None:
        """Upkeep that needs no gradient."""
        ...

    def counters(self) -> dict[str, float]:
        """Totals since the start of what a step consumes (rays, samples), for the log."""
        ...

    def facts(self) -> dict[str, Any]:
        """Plain numbers that the next step depends on, for the checkpoint."""
        ...

    def restore(self, facts: dict[str, Any]) -> None:
        """Takes them back."""
        ...

    def quick_score(self) -> dict[str, float]:
        """Numbers that are cheap to get, for the curve."""
        ...


class Fitter:
    """Fits a task and keeps its run folder complete at any moment.

    Args:
        task: What is fitted.
        settings: For how long and how fast.
        run: Where checkpoints and metrics go.
        progress: Shows people how it goes.
    """

    def __init__(self, task: Task, settings: FitSettings, run: RunFolder, progress: Progress) -> None:
        self.task, self.settings, self.run, self.progress = task, settings, run, progress
        self.optimizer = Adam(task.parameter_groups(), rate=settings.rate)
        for group in self.optimizer.param_groups:
            for parameter in group["params"]:
                self.optimizer.prepare(parameter)  # now, so that what has no gradient yet is in checkpoints, too
        self.average = WeightAverage(task.module, settings.average)
        self.step, self.seconds = 0, 0.0
        self.warm_up_seconds = 0.0
        self._interrupted = False
        self._curve: list[float] = []

    def fit(self) -> bool:
        """Trains to the end, or until Ctrl-C or SIGTERM; either way the last step is in the checkpoint.

        Returns:
            Whether the end was reached.

        Raises:
            FloatingPointError: A loss or a weight is not finite any more; the last checkpoint is from before.
        """
        self._plan_curve()
        saved = logged = self.seconds
        with self._stoppable(), self.progress:
            while not self._interrupted and not self.finished:
                begin = time.perf_counter()
                losses = self.one_step()
                self.seconds += time.perf_counter() - begin
                # Powers of two besides: the beginning changes fastest, and a short fit has a curve too.
                if self.seconds - logged >= _LOG_EVERY_SECONDS or self.step & (self.step - 1) == 0:
                    logged = self.seconds
                    self._log(losses)
                self._score_when_due()
                due = self.settings.checkpoint_steps and self.step % self.settings.checkpoint_steps == 0
                if due or self.seconds - saved >= self.settings.checkpoint_seconds:
                    saved = self.seconds
                    self.save()
        self.save()
        if not self._interrupted:
            self.score()
        return not self._interrupted

    @property
    def finished(self) -> bool:
        """Whether the end of the training is reached."""
        return self.settings.progress(self.step, self.seconds) >= 1.0

    def warm_up(self) -> None:
        """Has the task's kernels ready before the clock starts."""
        start = time.perf_counter()
        self.task.warm_up()
        self._warm_up_optimizer()
        self.warm_up_seconds = time.perf_counter() - start
        self.progress.say(f"Kernels ready after {self.warm_up_seconds:.0f} s.")

    def _warm_up_optimizer(self) -> None:
        like = next(self.task.module.parameters())
        dummy = nn.Parameter(like.detach().new_zeros(8))
        dummy.grad = torch.zeros_like(dummy)
        Adam([dummy]).step()

    def one_step(self) -> dict[str, Tensor]:
        """Takes one step of the optimiser; returns the terms of the objective before it."""
        progress = self.settings.progress(self.step, self.seconds)
        losses = self.task.losses(self.step, progress)
        torch.stack(list(losses.values())).sum().backward()
        for group in self.optimizer.param_groups:
            share = group.get("share", 1.0) * group.get("fading", 1.0) ** progress
            group["rate"] = share * self.settings.rate_at(progress)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update(self.step)
        self.task.after_step(self.step, progress)
        self.step += 1
        return losses

    def _plan_curve(self) -> None:
        """Seconds (or steps) at which the score is taken, beside the end."""
        if self.settings.steps is not None:
            marks = [share * self.settings.steps for share in _CURVE_SHARES]
            done = float(self.step)
        else:
            marks = [mark for mark in _CURVE_SECONDS if mark < 0.95 * (self.settings.seconds or 0.0)]
            done = self.seconds
        self._curve = [mark for mark in marks if mark > done]

    def _score_when_due(self) -> None:
        if self._curve and (self.step if self.settings.steps is not None else self.seconds) >= self._curve[0]:
            self._curve.pop(0)
            self.score()

    def score(self) -> None:
        """Takes the quick score now and logs it."""
        with self.average.applied():
            scores = self.task.quick_score()
        if scores:
            self.run.log({"step": self.step, "seconds": self.seconds, "scores": scores})
            told = ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
            self.progress.say(f"After {self.seconds:.0f} s, {self.step} steps: {told} ({self.task.scored})")

    def _log(self, losses: dict[str, Tensor]) -> None:
        values = {name: value.item() for name, value in losses.items()}
        self._require_finite("loss", [name for name, value in values.items() if not math.isfinite(value)])
        counters = self.task.counters()
        line = {"step": self.step, "seconds": self.seconds, "losses": values, "counters": counters}
        self.run.log(line)
        self.progress.update(self.step, self.seconds, self.settings.progress(self.step, self.seconds), values, counters)

    def _require_finite(self, what: str, bad: list[str]) -> None:
        if bad:
            raise FloatingPointError(
                f"The {what} {bad[0]} is not finite at step {self.step}; lower --optimizer.rate and train again. "
                "The last checkpoint is from before."
            )

    def save(self) -> None:
        """Writes the checkpoint; one that nothing can be made of does not replace another."""
        weights = self.task.module.named_parameters()
        self._require_finite("weight", [name for name, weight in weights if not weight.isfinite().all()])
        tensors = {f"model.{name}": tensor for name, tensor in self.task.module.state_dict().items()}
        tensors |= {f"average.{name}": tensor for name, tensor in self.average.tensors.items()}
        tensors |= {f"optimizer.{name}": tensor for name, tensor in self._optimizer_tensors().items()}
        facts = {"step": self.step, "seconds": self.seconds, "task": self.task.facts()}
        save_checkpoint(self.run.checkpoint, Checkpoint(tensors, facts))

    def resume(self) -> None:
        """Goes back to the run's checkpoint.

        Raises:
            RunError: There is none, it does not fit, or it is past the last step already.
        """
        path = self.run.checkpoint
        self.run.remove_partial_files()
        checkpoint = load_checkpoint(path)
        load_into(self.task.module.state_dict(), checkpoint.tensors, "model.", path)
        load_into(self.average.tensors, checkpoint.tensors, "average.", path)
        load_into(self._optimizer_tensors(), checkpoint.tensors, "optimizer.", path)
        missing = {"step", "seconds", "task"} - checkpoint.facts.keys()
        if missing:
            raise RunError(
                f"The checkpoint {path} lacks {', '.join(sorted(missing))}. Train the run again with --force."
            )
        self.step, self.seconds = checkpoint.facts["step"], checkpoint.facts["seconds"]
        if self.settings.steps is not None and self.step > self.settings.steps:
            raise RunError(
                f"{self.run.path} has {self.step} steps already; --steps is their number in all: give a larger one."
            )
        if self.settings.seconds is not None and self.settings.seconds < self.seconds - min(1.0, 0.5 * self.seconds):
            raise RunError(
                f"{self.run.path} was trained for {self.seconds:.0f} s already; --seconds is the whole training: "
                "give more."
            )
        self.task.restore(checkpoint.facts["task"])
        self.run.rewind_metrics(self.step)

    def _optimizer_tensors(self) -> dict[str, Tensor]:
        names: dict[Tensor, str] = {parameter: name for name, parameter in self.task.module.named_parameters()}
        return {
            f"{names[parameter]}.{key}": value
            for parameter, state in self.optimizer.state.items()
            for key, value in state.items()
        }

    @contextmanager
    def _stoppable(self) -> Generator[None]:
        """Ctrl-C or a scheduler's SIGTERM ends the training after the current step; a second one ends the program."""
        at_once = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}

        def stop(_number: int, _frame: Any) -> None:
            self._interrupted = True
            for number, handler in at_once.items():
                signal.signal(number, handler)

        try:
            previous = {number: signal.signal(number, stop) for number in at_once}
        except ValueError:  # not the main thread: somebody else minds the signals
            yield
            return
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
