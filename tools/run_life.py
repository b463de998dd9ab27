"""What the life of every run has in common, whatever it fits: begun, gone on with, scored at its end."""

import json
import math
from collections.abc import Callable
from typing import Any

from ..configs.loading import to_yaml
from .checkpoint import require_checkpoint
from .fitting import Fitter
from .run_folder import RunFolder

Finish = Callable[[float, float | None], str]
"""Scores a run after so many seconds of training, writes its report, and returns the result in one line; told also how
long the kernels took to compile or load, where that is known."""


def config_text(task: str, config: Any) -> str:
    """What config.yaml says: of which command it is, and every setting."""
    return f"task: {task}\n{to_yaml(config)}"


def begin(fitter: Fitter, config: str, write_data: Callable[[], None], finish: Finish) -> str:
    """Trains a new run to its end; what was in its place is touched only after the kernels were found to work.

    Args:
        fitter: Of the run.
        config: What `config_text` says.
        write_data: Writes what is needed of the data beside the settings.
        finish: Scores it.
    """
    fitter.warm_up()
    fitter.run.create(config)
    write_data()
    return _train(fitter, finish)


def require_resumable(run: RunFolder) -> None:
    """Refuses, before anything is loaded, a run that cannot be gone on with or scored again.

    Raises:
        RunError: It cannot be written, or has no checkpoint.
    """
    run.require_writable()
    require_checkpoint(run.checkpoint)


def go_on(fitter: Fitter, config: str, finish: Finish) -> str:
    """Trains a run from its last checkpoint to its end; one that is there, scores and report too, is left as it is."""
    run = fitter.run
    fitter.resume()
    if fitter.finished and _is_scored(run, fitter.seconds):
        return _finished(fitter)
    fitter.warm_up()
    left = " The training is finished; scores and report are left." if fitter.finished else ""
    fitter.progress.say(f"Resumed at step {fitter.step}, {fitter.seconds:.0f} s.{left}")
    run.write_text(run.config, config)
    return _train(fitter, finish)


def _train(fitter: Fitter, finish: Finish) -> str:
    if not fitter.fit():
        return f"Stopped at step {fitter.step}; go on with `neufield resume {fitter.run.path}`."
    with fitter.average.applied():
        return finish(fitter.seconds, fitter.warm_up_seconds)


def _is_scored(run: RunFolder, seconds: float) -> bool:
    """Whether the report of a run is there, and the scores are those after so many seconds of training."""
    try:
        found = json.loads(run.evaluation.read_text(encoding="utf-8"))["seconds"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return found == seconds and run.report.is_file()


def longer_by(steps: int | None, seconds: float) -> str:
    """The option that trains a run of so many steps, or else seconds, twice as long."""
    return f"--steps {2 * steps}" if steps else f"--seconds {math.ceil(2 * seconds)}"


def _finished(fitter: Fitter) -> str:
    path = fitter.run.path
    longer = longer_by(fitter.settings.steps, fitter.seconds)
    return (
        f"{path} is finished, with {fitter.step} steps in {fitter.seconds:.0f} s. Train it longer by "
        f"`neufield resume {path} {longer}`, or score it again by `neufield eval {path}`."
    )
