"""How a fit goes, shown to people: a live line on a terminal, a plain one now and then in a log, none when quiet."""

import sys
import time
from types import TracebackType
from typing import Any

_PLAIN_EVERY_SECONDS = 10.0


class Progress:
    """Tells steps, losses, rates and time left.

    Args:
        quiet: Say nothing at all.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._live: Any = None
        self._task: Any = None
        self._last: tuple[float, dict[str, float]] = (0.0, {})
        self._told = 0.0

    def __enter__(self) -> "Progress":
        if not self._quiet and sys.stdout.isatty():
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._live = Bar(BarColumn(), TextColumn("{task.percentage:3.0f} %  {task.description}"), transient=True)
            self._live.start()
            self._task = self._live.add_task("starting", total=1.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """Says one sentence."""
        if self._quiet:
            return
        if self._live is not None:
            self._live.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            print(text, flush=True)

    def update(
        self, step: int, seconds: float, share: float, losses: dict[str, float], counters: dict[str, float]
    ) -> None:
        """Shows where the fit is; `counters` are totals, of which the rates per second are told."""
        before, totals = self._last
        self._last = (seconds, counters)
        passed = max(seconds - before, 1e-9)
        rates = [f"{_short((value - totals.get(name, 0.0)) / passed)} {name}/s" for name, value in counters.items()]
        left = seconds / share - seconds if share > 0.0 else 0.0
        loss = "  ".join(f"{name} {value:.5f}" for name, value in losses.items())
        text = f"step {step}  {loss}  {'  '.join(rates)}  {_clock(left)} left"
        if self._live is not None:
            self._live.update(self._task, completed=share, description=text)
        elif not self._quiet and time.monotonic() - self._told > _PLAIN_EVERY_SECONDS:
            self._told = time.monotonic()
            print(f"{100 * share:3.0f} %  {text}", flush=True)

    def stage(self, share: float, name: str) -> None:
        """Shows how far a piece of work is that has no steps to count: its share in [0, 1], and what is under way."""
        if self._live is not None:
            self._live.update(self._task, completed=share, description=name)
        elif not self._quiet and time.monotonic() - self._told > _PLAIN_EVERY_SECONDS:
            self._told = time.monotonic()
            print(f"{100 * share:3.0f} %  {name}", flush=True)


def _short(value: float) -> str:
    return f"{value / 1e6:.2f}M" if value >= 1e6 else f"{value / 1e3:.0f}k" if value >= 1e3 else f"{value:.0f}"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
