"""Some of very many pixels, told by their runs: a mask costs a few numbers a row, not one a pixel."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

_BLOCK_BITS = 6  # a table entry for 64 pixels: an eighth of a byte a pixel


@dataclass(frozen=True)
class PixelRuns:
    """Pixels of a long row of them, as runs of neighbours in rising order; each has a number among those chosen."""

    before: Int[Tensor, "runs_plus_1"]
    """How many chosen pixels come before each run, and how many there are in all."""
    shift: Int[Tensor, "runs"]
    """What takes a number among the chosen pixels to its place in the row, run by run."""

    @classmethod
    def of_mask(cls, chosen: Bool[np.ndarray, "*shape"]) -> "PixelRuns":
        """The pixels that are true, row after row."""
        flat = np.concatenate([[False], chosen.ravel(), [False]])
        edges = np.flatnonzero(flat[1:] != flat[:-1])
        starts, ends = edges[::2], edges[1::2]
        before = np.concatenate([[0], np.cumsum(ends - starts)])
        return cls(torch.from_numpy(before), torch.from_numpy(starts - before[:-1]))

    @classmethod
    def joined(cls, parts: Sequence["PixelRuns | None"], areas: Sequence[int]) -> "PixelRuns":
        """The chosen pixels of images that are put one after the other.

        Args:
            parts: Of each image; None stands for all of its pixels.
            areas: How many pixels each image has.
        """
        before, shifts = [torch.zeros(1, dtype=torch.int64)], [torch.zeros(0, dtype=torch.int64)]
        place = count = 0
        for part, area in zip(parts, areas, strict=True):
            if part is None:
                part = cls(torch.tensor([0, area]), torch.zeros(1, dtype=torch.int64))
            before.append(part.before[1:] + count)
            shifts.append(part.shift + (place - count))
            place, count = place + area, count + len(part)
        return cls(torch.cat(before), torch.cat(shifts))

    def __len__(self) -> int:
        return int(self.before[-1])

    def places(self, numbers: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
        """Where the chosen pixels of these numbers, each in [0, len), lie in the row."""
        found = self._block_places.index_select(0, numbers >> _BLOCK_BITS)
        split = (found < 0).nonzero()[:, 0]
        found.add_(numbers & ((1 << _BLOCK_BITS) - 1))
        return found.index_copy_(0, split, self._searched(numbers.index_select(0, split)))

    def _searched(self, numbers: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
        return self.shift.index_select(0, self._runs_of(numbers)).add_(numbers)

    def _runs_of(self, numbers: Int[Tensor, "n"]) -> Int[Tensor, "n"]:
        return torch.searchsorted(self.before[1:], numbers, right=True)

    @cached_property
    def _block_places(self) -> Int[Tensor, "blocks"]:
        """Where each block of chosen pixels begins: most lie in one run and need no search; -1 where they do not."""
        firsts = torch.arange(0, len(self), 1 << _BLOCK_BITS)
        lasts = (firsts + ((1 << _BLOCK_BITS) - 1)).clamp(max=len(self) - 1)
        return torch.where(self._runs_of(firsts) == self._runs_of(lasts), self._searched(firsts), -1)

    def within(self, first: int, last: int) -> Bool[Tensor, "pixels"]:
        """Which of the pixels `first` to `last - 1` are chosen."""
        starts, ends = self.before[:-1] + self.shift, self.before[1:] + self.shift
        touched = (ends > first) & (starts < last)
        change = torch.zeros(last - first + 1, dtype=torch.int8)
        change[starts[touched].clamp(min=first) - first] += 1
        change[ends[touched].clamp(max=last) - first] -= 1
        return change.cumsum(0, dtype=torch.int8)[:-1] > 0
