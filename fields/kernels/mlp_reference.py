"""A small bias-free network in plain torch: the truth that other backends are held to, on any device and dtype."""

import torch
from jaxtyping import Float
from torch import Tensor

from .mlp_geometry import MLPGeometry


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs wherever torch does."""
    del device, dtype


def evaluate(
    x: Float[Tensor, "samples inputs"], parameters: Float[Tensor, " parameters"], geometry: MLPGeometry
) -> Float[Tensor, "samples outputs"]:
    """Runs the network; differentiable by autograd to any order.

    Args:
        x: Inputs, one row per sample.
        parameters: Flat weights, see `MLPGeometry`.
        geometry: Layers and widths.
    """
    dtype = torch.promote_types(x.dtype, parameters.dtype)
    matrices = parameters.to(dtype).split([outputs * inputs for outputs, inputs in geometry.shapes])
    hidden = torch.nn.functional.pad(x.to(dtype), (0, geometry.shapes[0][1] - x.shape[1]))
    for index, (flat, shape) in enumerate(zip(matrices, geometry.shapes)):
        hidden = hidden @ flat.view(shape).T
        if index < geometry.hidden_layers:
            hidden = torch.relu(hidden)
    return hidden[:, : geometry.out_features]


def forward(x: Tensor, parameters: Tensor, geometry: MLPGeometry, *, keep: bool) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs, and what backward needs beside its arguments: nothing."""
    del keep
    with torch.no_grad():
        return evaluate(x, parameters, geometry), ()


def backward(
    x: Tensor, parameters: Tensor, kept: tuple[Tensor, ...], gradient: Tensor, geometry: MLPGeometry, *, for_x: bool
) -> tuple[Tensor | None, Tensor]:
    """Gradients of `sum(gradient * evaluate(x, parameters))` by x (None where not asked for) and by the parameters."""
    del kept
    with torch.enable_grad():
        x = x.detach().requires_grad_(for_x)
        parameters = parameters.detach().requires_grad_()
        wanted = [x, parameters] if for_x else [parameters]
        found = torch.autograd.grad(evaluate(x, parameters, geometry), wanted, gradient)
    return (found[0] if for_x else None), found[-1]
