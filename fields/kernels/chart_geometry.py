"""Shape of the networks of an atlas, and where each layer's values lie in a chart's row of parameters."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Activation = Literal["relu", "sine"]


@dataclass(frozen=True)
class ChartGeometry:
    """One network per chart, from (s, t) to three values; all charts' networks have the same shape.

    Parameters of a layer are its matrix (inputs, outputs) and then its biases, layer after layer.
    """

    widths: tuple[int, ...]
    activation: Activation = "relu"
    omega: float = 1.0

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(inputs, outputs) of every layer."""
        sizes = 2, *self.widths, 3
        return list(itertools.pairwise(sizes))

    @property
    def parameters(self) -> int:
        """Of one chart."""
        return sum((inputs + 1) * outputs for inputs, outputs in self.shapes)

    def layers(self, parameters: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Matrices (charts, inputs, outputs) and biases (charts, 1, outputs) of parameters (charts, parameters)."""
        at = 0
        for inputs, outputs in self.shapes:
            bias = at + inputs * outputs
            yield parameters[:, at:bias].unflatten(1, (inputs, outputs)), parameters[:, None, bias : bias + outputs]
            at = bias + outputs

    def activate(self, z: Tensor) -> Tensor:
        """ReLU, or sin(omega z)."""
        return z.relu() if self.activation == "relu" else torch.sin(self.omega * z)

    def slope(self, z: Tensor) -> Tensor:
        """First derivative of the activation; a ReLU's at zero is zero."""
        return (z > 0).to(z) if self.activation == "relu" else self.omega * torch.cos(self.omega * z)

    def bend(self, z: Tensor) -> Tensor:
        """Second derivative of the activation, almost everywhere."""
        return torch.zeros_like(z) if self.activation == "relu" else -(self.omega**2) * torch.sin(self.omega * z)

    def initial(self, charts: int, generator: torch.Generator) -> Tensor:
        """Matrices U(+-sqrt(6/inputs)) (over omega for sines), biases U(+-1/sqrt(inputs)); the last ones a tenth."""
        pieces: list[Tensor] = []
        for layer, (inputs, outputs) in enumerate(self.shapes):
            last = 0.1 if layer == len(self.widths) else 1.0
            gain = last / (self.omega if self.activation == "sine" and 0 < layer < len(self.widths) else 1.0)
            for count, bound in ((inputs * outputs, gain * math.sqrt(6 / inputs)), (outputs, last / math.sqrt(inputs))):
                pieces.append((2 * torch.rand(charts, count, generator=generator) - 1) * bound)
        return torch.cat(pieces, 1)
