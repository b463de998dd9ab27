"""A network with biases in plain torch: the truth that other backends are held to, on any device and dtype."""

import torch
from jaxtyping import Float
from torch import Tensor

from .dense_network_geometry import DenseNetworkGeometry


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs wherever torch does."""
    del device, dtype


def evaluate(
    x: Float[Tensor, "samples inputs"], parameters: Float[Tensor, " parameters"], geometry: DenseNetworkGeometry
) -> Float[Tensor, "samples outputs"]:
    """Runs the network; differentiable by autograd to any order.

    Args:
        x: Inputs, one row per sample.
        parameters: Flat weights and biases, see `DenseNetworkGeometry`.
        geometry: Layers, widths and the activation.
    """
    dtype = torch.promote_types(x.dtype, parameters.dtype)
    *hidden, (weight, bias) = geometry.layers(parameters.to(dtype))
    h = x.to(dtype)
    for layer, omega in zip(hidden, geometry.omegas):
        h = _activate(torch.nn.functional.linear(h, *layer), geometry.activation, omega)
    return torch.nn.functional.linear(h, weight, bias)


def _activate(z: Tensor, activation: str, omega: float) -> Tensor:
    if activation == "relu":
        return torch.relu(z)
    return torch.sin(omega * (z if activation == "sine" else (z.abs() + 1.0) * z))


def forward(
    x: Tensor, parameters: Tensor, geometry: DenseNetworkGeometry, *, keep: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Outputs, and what backward needs beside its arguments: nothing."""
    del keep
    with torch.no_grad():
        return evaluate(x, parameters, geometry), ()


def backward(
    x: Tensor,
    parameters: Tensor,
    kept: tuple[Tensor, ...],
    gradient: Tensor,
    geometry: DenseNetworkGeometry,
    *,
    for_x: bool,
) -> tuple[Tensor | None, Tensor]:
    """Gradients of `sum(gradient * evaluate(x, parameters))` by x (None where not asked for) and by the parameters."""
    del kept
    with torch.enable_grad():
        x = x.detach().requires_grad_(for_x)
        parameters = parameters.detach().requires_grad_()
        wanted = [x, parameters] if for_x else [parameters]
        found = torch.autograd.grad(evaluate(x, parameters, geometry), wanted, gradient)
    return (found[0] if for_x else None), found[-1]
