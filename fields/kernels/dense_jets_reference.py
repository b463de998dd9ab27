"""Values and derivatives of a network with biases, layer by layer in plain torch: what other backends are held to."""

import torch
from jaxtyping import Float
from torch import Tensor

from .dense_network_geometry import DenseNetworkGeometry
from .dense_network_reference import supports as supports


def evaluate(
    x: Float[Tensor, "samples inputs"],
    directions: Float[Tensor, "directions samples inputs"],
    parameters: Float[Tensor, " parameters"],
    geometry: DenseNetworkGeometry,
    *,
    curved: bool,
) -> Float[Tensor, "channels samples outputs"]:
    """Pushes values, slopes along directions and, if asked for, a curvature through the layers together.

        z = W h + b,    z_k = W h_k,    z_c = W h_c
        h = a(z),       h_k = a'(z) z_k,    h_c = a'(z) z_c + a''(z) sum_k z_k^2

    Where the directions are the axes, the slopes are the Jacobian's columns and the curvature is the Laplacian.
    Differentiable by autograd to any order.

    Args:
        x: Inputs, one row per sample.
        directions: Along what each sample's slopes are taken.
        parameters: Flat weights and biases, see `DenseNetworkGeometry`.
        geometry: Layers, widths and the activation.
        curved: Whether the last channel is the sum of the second derivatives along the directions.

    Returns:
        The value, then a channel for each direction, then the curvature if asked for.
    """
    dtype = torch.promote_types(x.dtype, parameters.dtype)
    *hidden, last = geometry.layers(parameters.to(dtype))
    h, slopes = x.to(dtype), directions.to(dtype)
    curvature = torch.zeros_like(h)
    for (weight, bias), omega in zip(hidden, geometry.omegas):
        z, slopes = torch.nn.functional.linear(h, weight, bias), slopes @ weight.T
        h, first, second = _curve(z, geometry.activation, omega)
        if curved:
            curvature = first * (curvature @ weight.T) + second * slopes.square().sum(dim=0)
        slopes = first * slopes
    channels = [torch.nn.functional.linear(h, *last)[None], slopes @ last[0].T]
    return torch.cat([*channels, (curvature @ last[0].T)[None]] if curved else channels)


def _curve(z: Tensor, activation: str, omega: float) -> tuple[Tensor, Tensor, Tensor]:
    """a(z), a'(z) and a''(z)."""
    if activation == "relu":
        return torch.relu(z), (z > 0).to(z.dtype), torch.zeros_like(z)
    size = z.abs()
    if activation == "sine":
        phase, first, second = omega * z, omega, 0.0
    else:
        phase, first, second = omega * (size + 1.0) * z, omega * (2.0 * size + 1.0), 2.0 * omega * z.sign()
    sine, cosine = phase.sin(), phase.cos()
    return sine, first * cosine, second * cosine - first * first * sine


def forward(
    x: Tensor, directions: Tensor, parameters: Tensor, geometry: DenseNetworkGeometry, *, curved: bool, keep: bool
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Channels, and what backward needs beside its arguments: nothing."""
    del keep
    with torch.no_grad():
        return evaluate(x, directions, parameters, geometry, curved=curved), ()


def backward(
    x: Tensor,
    directions: Tensor,
    parameters: Tensor,
    kept: tuple[Tensor, ...],
    gradient: Tensor,
    geometry: DenseNetworkGeometry,
    *,
    curved: bool,
    for_x: bool,
) -> tuple[Tensor | None, Tensor]:
    """Gradients of `sum(gradient * evaluate(...))` by x (None where not asked for) and by the parameters."""
    del kept
    with torch.enable_grad():
        x = x.detach().requires_grad_(for_x)
        parameters = parameters.detach().requires_grad_()
        wanted = [x, parameters] if for_x else [parameters]
        out = evaluate(x, directions, parameters, geometry, curved=curved)
        found = torch.autograd.grad(out, wanted, gradient)
    return (found[0] if for_x else None), found[-1]
