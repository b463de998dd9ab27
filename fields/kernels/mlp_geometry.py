"""The shape of a small bias-free network and its flat parameters: what every backend agrees on."""

from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True)
class MLPGeometry:
    """A bias-free perceptron with ReLU after every hidden layer, laid out in one flat tensor as tiny-cuda-nn does.

    Weight matrices follow one another, each (outputs, inputs) row by row; the network's inputs and outputs are padded
    to multiples of 16, padded inputs are zero and padded outputs are dropped.
    """

    in_features: int
    out_features: int
    width: int
    hidden_layers: int

    def __post_init__(self) -> None:
        if self.in_features < 1 or self.out_features < 1:
            raise ValueError(f"A network needs inputs and outputs, got {self.in_features} and {self.out_features}.")
        if self.width not in (16, 32, 64, 128):
            raise ValueError(f"The width of a small network is 16, 32, 64 or 128; got {self.width}.")
        if self.hidden_layers < 1:
            raise ValueError(f"A small network has at least one hidden layer, got {self.hidden_layers}.")

    @cached_property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(outputs, inputs) of every weight matrix, padding included."""
        first = -(-self.in_features // 16) * 16
        last = -(-self.out_features // 16) * 16
        return ((self.width, first), *((self.width, self.width),) * (self.hidden_layers - 1), (last, self.width))

    @property
    def parameters(self) -> int:
        """The length of the flat tensor."""
        return sum(outputs * inputs for outputs, inputs in self.shapes)
