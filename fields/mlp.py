"""The small network behind an encoding: a bias-free perceptron of 16 to 128 neurons a layer."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .kernels.mlp_geometry import MLPGeometry
from .network_operation import evaluate


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
        return evaluate("mlp", x, self.weights, self.geometry, self.backend)

    def extra_repr(self) -> str:
        """The geometry, for print(model)."""
        return repr(self.geometry)
