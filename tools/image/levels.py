"""The levels of a picture's channels: what its derivatives do not tell."""

import torch
from jaxtyping import Float
from torch import Tensor


def best_levels(
    values: Float[Tensor, "n channels"], target: Float[Tensor, "n channels"]
) -> Float[Tensor, "2 channels"]:
    """Factor and offset of every channel that bring values closest to a target, by least squares.

    Values that are all alike get the factor 0.
    """
    values, target = values.double(), target.double()
    mean, goal = values.mean(dim=0), target.mean(dim=0)
    varying = values - mean
    factor = (varying * (target - goal)).sum(dim=0) / varying.square().sum(dim=0).clamp(min=1e-30)
    return torch.stack([factor, goal - factor * mean]).float()
