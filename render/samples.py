"""Packed samples along rays: flat arrays, sorted by ray, with offsets."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


@dataclass(frozen=True)
class Rays:
    """A batch of rays in scene coordinates.

    Attributes:
        origins: Where rays start (rays, 3).
        directions: Unit length (rays, 3).
        codes: What else the colours along a ray depend on, the same for all of it (rays, codes); None: nothing.
    """

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]
    codes: Float[Tensor, "rays codes"] | None = None

    def __len__(self) -> int:
        return self.origins.shape[0]


@dataclass(frozen=True)
class Samples:
    """Samples of a batch of rays, sorted by ray and front to back within a ray.

    Attributes:
        t_starts, t_ends: Where each sample begins and ends along its ray, scene units.
        ray_indices: The ray of each sample.
        ray_starts: Samples of ray r are `ray_starts[r]:ray_starts[r + 1]`; a ray without samples is legal.
        positions: Midpoints (samples, 3).
        features: What the field already computed at these positions (samples, features), if anything.
    """

    t_starts: Float[Tensor, " samples"]
    t_ends: Float[Tensor, " samples"]
    ray_indices: Int[Tensor, " samples"]
    ray_starts: Int[Tensor, " rays_plus_1"]
    positions: Float[Tensor, "samples 3"]
    features: Float[Tensor, "samples features"] | None = None

    def __len__(self) -> int:
        return self.t_starts.shape[0]


class Round(NamedTuple):
    """What one round of marching found.

    Attributes:
        samples: `ray_indices` count in all rays, `ray_starts` in those that took part.
        keep: Which of the samples can be seen.
        features: What the field already computed at all of them, if anything.
    """

    samples: Samples
    keep: Bool[Tensor, " samples"]
    features: Float[Tensor, "samples features"] | None


@dataclass(frozen=True)
class Stepping:
    """How the lengths of samples grow along a ray.

        length(t) = clamp(cone_angle t, smallest, largest)

    Candidate k of a ray spans [t(s + k), t(s + k + 1)], where t(s) is the curve with dt/ds = length: linear, then
    exponential, then linear. Where a ray starts on that curve never depends on what is occupied.

    Attributes:
        smallest: Shortest sample, scene units.
        cone_angle: Growth of samples with distance; 0 keeps them all at `smallest`.
        largest: Longest sample, scene units.
    """

    smallest: float
    cone_angle: float = 0.0
    largest: float = 1.0e10

    def __post_init__(self) -> None:
        if not 0.0 < self.smallest <= self.largest or not 0.0 <= self.cone_angle < 1.0:
            raise ValueError(
                f"Stepping needs 0 < smallest <= largest and a cone angle in [0, 1); got smallest={self.smallest}, "
                f"largest={self.largest}, cone_angle={self.cone_angle}."
            )

    def distance(self, s: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """t(s): from a place on the curve, in samples, to a distance along the ray."""
        linear = s * self.smallest
        if self.cone_angle == 0.0:
            return linear
        near, far = self.smallest / self.cone_angle, self.largest / self.cone_angle
        s_near = 1.0 / self.cone_angle
        s_far = s_near + math.log(far / near) / self.cone_angle
        grown = near * torch.exp((s.clamp(s_near, s_far) - s_near) * self.cone_angle)
        return torch.where(s < s_near, linear, grown + (s - s_far).clamp(min=0.0) * self.largest)

    def place(self, t: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
        """s(t), the inverse of `distance`."""
        linear = t / self.smallest
        if self.cone_angle == 0.0:
            return linear
        near, far = self.smallest / self.cone_angle, self.largest / self.cone_angle
        grown = 1.0 / self.cone_angle + torch.log(t.clamp(near, far) / near) / self.cone_angle
        return torch.where(t < near, linear, grown + (t - far).clamp(min=0.0) / self.largest)
