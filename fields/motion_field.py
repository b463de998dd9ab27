"""A field over a plane and time that follows what moves: pictures at some times, carried along a motion between."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

Pictures = Callable[[Int[Tensor, " n"], Float[Tensor, "n 2"]], Float[Tensor, "n values"]]
"""Colours at places (u, v) of pictures that are chosen by number."""

_OUTSIDE = 1e-3  # what a place beside the picture weighs


class Carried(NamedTuple):
    """Where the point that is seen at a place and a time is at the key times before and after it.

    Attributes:
        before: Number of the key time that is not after it; `before + 1` is the other one.
        motion: What it moves by per unit of time.
        places: There, at both of them; the nearest at the picture's border where it lies beside the picture.
        inside: Whether it lies in the picture.
        weights: What the colours at both of them count; they sum to 1.
    """

    before: Int[Tensor, " n"]
    motion: Float[Tensor, "n 2"]
    places: tuple[Float[Tensor, "n 2"], Float[Tensor, "n 2"]]
    inside: tuple[Bool[Tensor, " n"], Bool[Tensor, " n"]]
    weights: tuple[Float[Tensor, " n"], Float[Tensor, " n"]]


class MotionField(nn.Module):
    """Carries the pictures of key times along a motion to any time between them.

        f(x, t) = (1 - s) A_a(x - (t - a) m(x, t)) + s A_b(x + (b - t) m(x, t)),    s = (t - a) / (b - a)

    a and b are the key times around t, A_a and A_b their pictures, m the motion: distance per unit of time of what is
    at x at t, constant from a to b. Where one of the two places lies beside the picture, the other one counts alone.
    The same without a motion is linear blending of neighbouring pictures.

    Args:
        pictures: The pictures of the key times.
        motion: Field from (u, v, t) to motion in units of `reach`.
        times: The key times, ascending, at least two.
        extent: Largest u and v of the picture; the smallest are 0.
        reach: Distance per unit of time.
    """

    times: Tensor
    extent: Tensor

    def __init__(
        self,
        pictures: Pictures,
        motion: nn.Module,
        *,
        times: Float[Tensor, " keys"],
        extent: tuple[float, float],
        reach: float,
    ) -> None:
        super().__init__()
        if len(times) < 2 or not bool((times.diff() > 0.0).all()):
            raise ValueError(f"A motion field needs two ascending key times or more, got {times.tolist()}.")
        self.pictures, self.motion, self.reach = pictures, motion, reach
        self.register_buffer("times", times.clone(), persistent=False)
        self.register_buffer("extent", torch.tensor(extent), persistent=False)

    def forward(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n values"]:
        """Colours at (u, v, t); before the first and after the last key time, as at it."""
        found = self.carried(x)
        total: Tensor | None = None
        for side, (places, weight) in enumerate(zip(found.places, found.weights, strict=True)):
            colors = weight[:, None] * self.pictures(found.before + side, places)
            total = colors if total is None else total + colors
        assert total is not None
        return total

    def carried(self, x: Float[Tensor, "n 3"]) -> Carried:
        """Follows the points at (u, v, t) to the key times around t."""
        t = x[:, 2].clamp(self.times[0], self.times[-1])
        before = (torch.searchsorted(self.times, t.contiguous(), right=True) - 1).clamp(0, len(self.times) - 2)
        first, last = self.times[before], self.times[before + 1]
        share = (t - first) / (last - first)
        motion = self.moved(torch.cat([x[:, :2], t[:, None]], dim=1))
        carried = x[:, :2] - motion * (t - first)[:, None], x[:, :2] + motion * (last - t)[:, None]
        places, inside = zip(*(self._within(place) for place in carried), strict=True)
        seen = [side.to(x.dtype).clamp(min=_OUTSIDE) for side in inside]
        weights = (1.0 - share) * seen[0], share * seen[1]
        total = weights[0] + weights[1]
        return Carried(before, motion, places, inside, (weights[0] / total, weights[1] / total))

    def moved(self, x: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
        """The motion m at (u, v, t), distance per unit of time."""
        return self.reach * self.motion(x)

    def _within(self, places: Float[Tensor, "n 2"]) -> tuple[Float[Tensor, "n 2"], Bool[Tensor, " n"]]:
        inner = places.clamp(min=torch.zeros_like(self.extent), max=self.extent)
        return inner, (inner == places).all(dim=1)
