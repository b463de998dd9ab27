"""A network's values and derivatives, from a kernel, as an operation that autograd knows."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from . import kernels
from .kernels import dense_jets_reference
from .kernels.dense_network_geometry import DenseNetworkGeometry
from .kernels.dispatch import select


def evaluate_jets(
    x: Float[Tensor, "samples inputs"],
    directions: Float[Tensor, "directions samples inputs"],
    parameters: Float[Tensor, " parameters"],
    geometry: DenseNetworkGeometry,
    *,
    curved: bool,
    backend: str,
) -> Float[Tensor, "channels samples outputs"]:
    """Values, slopes along directions and, if asked for, the sum of second derivatives along them.

    A derivative of a derivative of these goes through the reference. Not differentiable in the directions.
    """
    return _Jets.apply(x, directions, parameters, geometry, curved, backend, torch.is_grad_enabled())  # pyright: ignore


class _Jets(torch.autograd.Function):
    """Owns autograd for every backend."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        directions: Tensor,
        parameters: Tensor,
        geometry: DenseNetworkGeometry,
        curved: bool,
        backend: str,
        keep: bool,
    ) -> Tensor:
        dtype = torch.promote_types(x.dtype, parameters.dtype)
        kernel = select("dense_jets", package=kernels.__name__, device=x.device, dtype=dtype, backend=backend)
        ctx.geometry, ctx.kernel, ctx.curved = geometry, kernel, curved
        out, kept = kernel.forward(x, directions, parameters, geometry, curved=curved, keep=keep)
        ctx.save_for_backward(x, directions, parameters, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, directions, parameters, *kept = ctx.saved_tensors
        for_x, _, for_parameters = ctx.needs_input_grad[:3]
        if torch.is_grad_enabled():  # create_graph: the gradient itself must be differentiable
            wanted = [tensor for tensor, asked in ((x, for_x), (parameters, for_parameters)) if asked]
            out = dense_jets_reference.evaluate(x, directions, parameters, ctx.geometry, curved=ctx.curved)
            found = iter(torch.autograd.grad(out, wanted, gradients[0], create_graph=True))
            by_x, by_parameters = next(found) if for_x else None, next(found) if for_parameters else None
        else:
            arguments = x, directions, parameters, tuple(kept), gradients[0], ctx.geometry
            by_x, by_parameters = ctx.kernel.backward(*arguments, curved=ctx.curved, for_x=for_x)
        return by_x, None, by_parameters, None, None, None, None
