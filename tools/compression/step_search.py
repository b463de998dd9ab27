"""The search for the step whose file has the size that it may have."""

import math
from dataclasses import dataclass

_CLOSE = 0.001  # share of the file's size that may be left over
_NARROW = 5e-4  # logarithm of the ratio of steps between which nothing is to be found any more
_SLOPE = 0.75  # of the logarithm of the step against that of the size, where it is not known yet
_TRIES = 24


@dataclass
class StepSearch:
    """Regula falsi on the logarithms of step and size; by halves where one end stays.

    The size falls with the step, but for ripples and jumps. Until both ends are known, each stride is at least twice as
    long as the one before.

    Attributes:
        size: Bytes that the file may have.
        step: The one to try next.
        finest, coarsest: Limits of steps.
    """

    size: int
    step: float
    finest: float
    coarsest: float

    def __post_init__(self) -> None:
        self._fine: tuple[float, float] | None = None  # logarithms of step and size over what is aimed at: too large
        self._coarse: tuple[float, float] | None = None  # small enough
        self._stride, self._tries, self._same = 0.0, 0, 0
        self._aim = self.size * (1.0 - 0.4 * _CLOSE)

    def told(self, length: int) -> bool:
        """Takes the length in bytes of the file of `step` into account; returns whether to try another, in `step`."""
        place, excess = math.log(self.step), math.log(length / self._aim)
        fits = length <= self.size
        other = self._fine if fits else self._coarse
        self._same = max(self._same, 0) + 1 if fits else min(self._same, 0) - 1
        self._tries += 1
        if fits:
            self._coarse = place, excess
        else:
            self._fine = place, excess
        if (fits and length >= self.size * (1.0 - _CLOSE)) or self._tries == _TRIES:
            return False
        if other is None:
            limit = self.finest if fits else self.coarsest
            self._stride = max(_SLOPE * abs(excess), 2.0 * self._stride)
            following = place - self._stride if fits else place + self._stride
            before, limited = self.step, max if fits else min
            self.step = limited(math.exp(following), limit)
            return self.step != before
        if abs(place - other[0]) < _NARROW:
            return False
        share = 0.5 if abs(self._same) > 1 else excess / (excess - other[1])
        self.step = math.exp(place + min(max(share, 0.02), 0.98) * (other[0] - place))
        return True
