"""The shape of a network with biases and its flat parameters: what every backend agrees on."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from torch import Tensor


@dataclass(frozen=True)
class DenseNetworkGeometry:
    """Layers with biases, an elementwise activation after all but the last, laid out in one flat tensor.

    Layer follows layer, each its weight matrix (outputs, inputs) row by row and then its biases; nothing is padded.
    With z = W h + b, the activation is

        sine:  sin(omega z)        finer:  sin(omega (|z| + 1) z)        relu:  max(z, 0)

    where omega is `first_omega` in the first layer. `hidden_layers` counts the layers with activations.
    """

    in_features: int
    out_features: int
    width: int
    hidden_layers: int
    activation: Literal["sine", "finer", "relu"]
    first_omega: float = 1.0
    hidden_omega: float = 1.0

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(outputs, inputs) of every layer."""
        hidden = ((self.width, self.width),) * (self.hidden_layers - 1)
        return ((self.width, self.in_features), *hidden, (self.out_features, self.width))

    @property
    def omegas(self) -> tuple[float, ...]:
        """The frequency of every hidden layer."""
        return (self.first_omega, *(self.hidden_omega,) * (self.hidden_layers - 1))

    @property
    def parameters(self) -> int:
        """The length of the flat tensor."""
        return sum(outputs * (inputs + 1) for outputs, inputs in self.shapes)

    def layers(self, parameters: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Views of every layer's weight matrix (outputs, inputs) and of its biases (outputs,)."""
        flat = parameters.split([outputs * (inputs + 1) for outputs, inputs in self.shapes])
        return [
            (layer[: outputs * inputs].view(outputs, inputs), layer[outputs * inputs :])
            for layer, (outputs, inputs) in zip(flat, self.shapes)
        ]
