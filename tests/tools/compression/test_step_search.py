import math
from collections.abc import Callable

import pytest

from neufield.tools.compression.step_search import StepSearch


def search(length_of: Callable[[float], float], size: int, start: float = 0.1) -> tuple[int, int]:
    """The longest file that was small enough, and how many were tried."""
    steps, best, tries = StepSearch(size, start, finest=1e-7, coarsest=512.0), 0, 0
    while True:
        tries += 1
        length = int(length_of(steps.step))
        best = max(best, length if length <= size else 0)
        if not steps.told(length):
            return best, tries


@pytest.mark.parametrize("power", [0.1, 0.5, 1.0, 2.0, 5.0, 20.0])
@pytest.mark.parametrize("start", [1e-4, 0.1, 10.0])
def test_sizes_of_every_power_of_the_step_are_met(power: float, start: float):
    best, tries = search(lambda step: 40 + 1e4 * min((0.3 / step) ** power, 1e9), 20_000, start)
    assert 0.99 * 20_000 <= best <= 20_000
    assert tries <= 20


def test_few_files_are_tried_near_the_step():
    assert search(lambda step: 1e4 * (0.1 / step), 10_010)[1] == 1
    assert search(lambda step: 1e4 * (0.1 / step), 9_950)[1] <= 4


def test_the_smaller_end_of_a_jump_is_found():
    assert search(lambda step: 900.0 if step > 0.037 else 5000.0, 2000)[0] == 900


def test_ripples_do_not_stop_it():
    best, _ = search(lambda step: 3000 * (0.1 / step) * (1.0 + 0.004 * math.sin(500.0 / step)), 1000)
    assert 0.985 * 1000 < best <= 1000


def test_limits_end_it():
    assert search(lambda step: 100.0, 2000)[0] == 100
    assert search(lambda step: 5000.0, 2000)[0] == 0
