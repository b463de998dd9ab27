"""One Adam step in plain torch: the truth that other backends are held to."""

import torch
from jaxtyping import Float, Int16
from torch import Tensor

COUNT_LIMIT = 4096  # counts stop here: by then both bias corrections are 1 in float32 for decays up to 0.995


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs wherever torch does."""
    del device, dtype


def step(
    parameters: Float[Tensor, " n"],
    gradient: Float[Tensor, " n"],
    mean: Float[Tensor, " n"],
    square: Float[Tensor, " n"],
    count: Int16[Tensor, " n"],
    *,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    sparse: bool,
) -> None:
    """Updates parameters, mean, square and count in place.

        g = gradient + weight_decay parameters
        mean = beta1 mean + (1 - beta1) g,    square = beta2 square + (1 - beta2) g²,    count = count + 1
        parameters -= rate mean / (1 - beta1^count) / (sqrt(square / (1 - beta2^count)) + epsilon)

    With `sparse`, values whose gradient is exactly zero are left alone, their count included.
    Kingma and Ba 2015, algorithm 1.
    """
    touched = gradient != 0 if sparse else torch.ones_like(gradient, dtype=torch.bool)
    gradient = gradient + weight_decay * parameters
    count.copy_(torch.where(touched, (count + 1).clamp(max=COUNT_LIMIT), count))
    mean.copy_(torch.where(touched, beta1 * mean + (1 - beta1) * gradient, mean))
    square.copy_(torch.where(touched, beta2 * square + (1 - beta2) * gradient**2, square))
    unbiased_mean = mean / (1 - beta1 ** count.to(mean.dtype))
    unbiased_square = square / (1 - beta2 ** count.to(mean.dtype))
    change = rate * unbiased_mean / (unbiased_square.sqrt() + epsilon)
    parameters.sub_(torch.where(touched, change, torch.zeros_like(change)))
