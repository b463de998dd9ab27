"""Pixels that are drawn on purpose: those of a picture's border, and those that are not excluded."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from ...datasets import Picture


def border_pixels(picture: Picture) -> Int[Tensor, " n"]:
    """The numbers of known pixels one of whose four neighbours is beyond the picture or unknown, ascending."""
    width, height = picture.size
    if picture.known is None:
        rows, columns = np.arange(height) * width, np.arange(width)
        sides = columns, columns + rows[-1], rows, rows + width - 1
        return torch.from_numpy(np.unique(np.concatenate(sides)))
    found: list[np.ndarray] = []
    nothing = np.zeros(width, np.bool_)
    for row in range(height):
        known = picture.known[row]
        above = picture.known[row - 1] if row else nothing
        below = picture.known[row + 1] if row + 1 < height else nothing
        inside = above & below
        inside[1:-1] &= known[:-2] & known[2:]
        inside[[0, -1]] = False
        found.append(row * width + np.flatnonzero(known & ~inside))
    return torch.from_numpy(np.concatenate(found))


class PixelsBut:
    """All known pixels of a picture but some.

    Args:
        picture: The picture.
        excluded: Numbers of the others, ascending.

    Raises:
        ValueError: None is left.
    """

    def __init__(self, picture: Picture, excluded: Int[Tensor, " n"]) -> None:
        taken = excluded.numpy()
        if picture.known is not None:
            taken = np.union1d(taken, np.flatnonzero(~picture.known))
        width, height = picture.size
        self.count = width * height - len(taken)
        if not self.count:
            raise ValueError(
                f"{picture.path}: no pixel is known beside the insertion, so that nothing holds its levels."
            )
        self._others_before = taken - np.arange(len(taken))  # for each that is taken: how many others lie before it

    def draw(self, generator: np.random.Generator, count: int) -> Int[Tensor, " count"]:
        """The numbers of some, drawn evenly, with repetition."""
        ranks = generator.integers(0, self.count, count)
        return torch.from_numpy(ranks + np.searchsorted(self._others_before, ranks, side="right"))
