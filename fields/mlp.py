"""The small network behind an encoding: a bias-free perceptron of 16 to 128 neurons a layer."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import kernels
from .kernels import mlp_reference
from .kernels.dispatch import select
from .kernels.mlp_geometry import MLPGeometry


class MLP(nn.Module):
    """A bias-free perceptron with ReLU after its hidden layers and a linear output.

        y = W_n relu(... relu(W_1 x))

    Args:
        in_features, out_features: Sizes of x and y.
        width: Neurons of a hidden layer: 16, 32, 64 or 128.
        hidden_layers: How many hidden layers there are, at least 1.
        seed: Weights start uniform in ±sqrt(6 / (inputs + outputs)) (Glorot and Bengio 2010), drawn from this seed.
        backend: Which kernel runs, see `kernels.dispatch`.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 64,
        hidden_layers: int = 2,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.geometry = MLPGeometry(in_features, out_features, width, hidden_layers)
        self.in_features, self.out_features = in_features, out_features
        self.backend = backend
        generator = torch.Generator().manual_seed(seed)
        matrices = [
            (torch.rand(outputs * inputs, generator=generator) * 2.0 - 1.0) * math.sqrt(6.0 / (inputs + outputs))
            for outputs, inputs in self.geometry.shapes
        ]
        self.weights = nn.Parameter(torch.cat(matrices))

    def forward(self, x: Float[Tensor, "*batch inputs"]) -> Float[Tensor, "*batch outputs"]:
        """The network's output for every row of x."""
        if x.shape[-1] != self.in_features:
            raise ValueError(f"This network takes {self.in_features} inputs, got a tensor of shape {tuple(x.shape)}.")
        rows = x if x.ndim == 2 else x.reshape(-1, self.in_features)
        flat: Tensor = _Evaluate.apply(rows, self.weights, self.geometry, self.backend, torch.is_grad_enabled())  # pyright: ignore
        return flat if x.ndim == 2 else flat.reshape(*x.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        """The geometry, for print(model)."""
        return repr(self.geometry)


class _Evaluate(torch.autograd.Function):
    """Owns autograd for every backend; a second derivative goes through the reference."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, geometry: MLPGeometry, backend: str, keep: bool) -> Tensor:
        ctx.geometry, ctx.kernel = geometry, _kernel(x, weights, backend)
        out, kept = ctx.kernel.forward(x, weights, geometry, keep=keep)
        ctx.save_for_backward(x, weights, *kept)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, weights, *kept = ctx.saved_tensors
        for_x, for_weights = ctx.needs_input_grad[:2]
        if torch.is_grad_enabled():  # create_graph: the gradient itself must be differentiable
            wanted = [tensor for tensor, asked in ((x, for_x), (weights, for_weights)) if asked]
            out = mlp_reference.evaluate(x, weights, ctx.geometry)
            found = iter(torch.autograd.grad(out, wanted, gradients[0], create_graph=True))
            return next(found) if for_x else None, next(found) if for_weights else None, None, None, None
        return *ctx.kernel.backward(x, weights, tuple(kept), gradients[0], ctx.geometry, for_x=for_x), None, None, None


def _kernel(x: Tensor, weights: Tensor, backend: str) -> Any:
    dtype = torch.promote_types(x.dtype, weights.dtype)
    return select("mlp", package=kernels.__name__, device=x.device, dtype=dtype, backend=backend)
