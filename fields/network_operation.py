"""A network's kernel as an operation that autograd knows."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from . import kernels
from .kernels import dense_network_reference, mlp_reference
from .kernels.dense_network_geometry import DenseNetworkGeometry
from .kernels.dispatch import select
from .kernels.mlp_geometry import MLPGeometry

_REFERENCES = {"mlp": mlp_reference, "dense_network": dense_network_reference}


def evaluate(
    operation: Literal["mlp", "dense_network"],
    x: Float[Tensor, "*batch inputs"],
    parameters: Float[Tensor, " parameters"],
    geometry: MLPGeometry | DenseNetworkGeometry,
    backend: str,
) -> Float[Tensor, "*batch outputs"]:
    """Runs a network for every row of x; a second derivative goes through the reference."""
    rows = x if x.ndim == 2 else x.reshape(-1, geometry.in_features)
    flat: Tensor = _Evaluate.apply(operation, rows, parameters, geometry, backend, torch.is_grad_enabled())  # pyright: ignore
    return flat if x.ndim == 2 else flat.reshape(*x.shape[:-1], geometry.out_features)


class _Evaluate(torch.autograd.Function):
    """Owns autograd for every backend of both operations."""

    @staticmethod
    def forward(
        ctx: Any, operation: str, x: Tensor, parameters: Tensor, geometry: Any, backend: str, keep: bool
    ) -> Tensor:
        dtype = torch.promote_types(x.dtype, parameters.dtype)
        kernel = select(operation, package=kernels.__name__, device=x.device, dtype=dtype, backend=backend)
        ctx.operation, ctx.geometry, ctx.kernel = operation, geometry, kernel
        out, kept = kernel.forward(x, parameters, geometry, keep=keep)
        ctx.save_for_backward(x, parameters, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, parameters, *kept = ctx.saved_tensors
        for_x, for_parameters = ctx.needs_input_grad[1:3]
        if torch.is_grad_enabled():  # create_graph: the gradient itself must be differentiable
            wanted = [tensor for tensor, asked in ((x, for_x), (parameters, for_parameters)) if asked]
            out = _REFERENCES[ctx.operation].evaluate(x, parameters, ctx.geometry)
            found = iter(torch.autograd.grad(out, wanted, gradients[0], create_graph=True))
            by_x, by_parameters = next(found) if for_x else None, next(found) if for_parameters else None
        else:
            arguments = x, parameters, tuple(kept), gradients[0], ctx.geometry
            by_x, by_parameters = ctx.kernel.backward(*arguments, for_x=for_x)
        return None, by_x, by_parameters, None, None, None
