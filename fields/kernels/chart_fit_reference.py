"""Adam's steps for many small networks at once in plain torch: any device, any dtype."""

import torch
from torch import Tensor

from .chart_geometry import ChartGeometry


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs everywhere."""
    del device, dtype
    return None


def evaluate(x: Tensor, parameters: Tensor, geometry: ChartGeometry) -> Tensor:
    """Outputs (charts, n, 3) of every chart's network at its own points (charts, n, 2)."""
    h = x
    for layer, (matrix, bias) in enumerate(geometry.layers(parameters)):
        h = torch.baddbmm(bias, h, matrix)
        if layer < len(geometry.widths):
            h = geometry.activate(h)
    return h


def fit(
    x: Tensor,
    targets: Tensor,
    weights: Tensor,
    parameters: Tensor,
    mean: Tensor,
    square: Tensor,
    geometry: ChartGeometry,
    enough: Tensor,
    *,
    done: int,
    steps: int,
    rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> Tensor:
    """Minimises sum_i w_i |net(x_i) - target_i|² / sum_i w_i of every chart by so many steps of Adam, in place.

    Args:
        x, targets, weights: (charts, n, 2), (charts, n, 3), (charts, n) with weights >= 0.
        parameters, mean, square: (charts, parameters), changed in place.
        enough: A chart whose error is at most this takes no further step (charts,).
        done: Steps that the moments have seen before.

    Returns:
        The error of every chart before its last step, or where it stopped (charts,); zeros if there was none.
    """
    share = weights / weights.sum(1, keepdim=True).clamp(min=1e-30)
    error = parameters.new_zeros(len(parameters))
    for step in range(done + 1, done + steps + 1):
        with torch.enable_grad():
            leaf = parameters.detach().requires_grad_()
            error = (share * (evaluate(x, leaf, geometry) - targets).square().sum(2)).sum(1)
            (slope,) = torch.autograd.grad(error.sum(), leaf)
        goes_on = (error > enough).to(slope)[:, None]
        mean.lerp_(slope, goes_on * (1 - beta1))
        square.lerp_(slope.square(), goes_on * (1 - beta2))
        scale = (square / (1 - beta2**step)).sqrt_().add_(epsilon)
        parameters.addcdiv_(goes_on * mean, scale, value=-rate / (1 - beta1**step))
    return error.detach()
