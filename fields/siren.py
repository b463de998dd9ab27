"""Networks with sines for activations: smooth fields whose derivatives are as well behaved as their values."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .features import check_features


class Siren(nn.Module):
    """A multilayer perceptron with sine activations and a linear last layer.

        h_0 = sin(omega_0 (W_0 x + b_0)),    h_i = sin(hidden_omega_0 (W_i h_(i-1) + b_i)),    y = W h + b

    Weights are drawn from U(+-1/n) in the first layer and U(+-sqrt(6/n) / hidden_omega_0) in all others, n inputs each,
    which keeps the distribution of activations the same from layer to layer; biases from U(+-1/sqrt(n)).
    Sitzmann et al. 2020, section 3.2.

    Args:
        in_features: Coordinates per point; they should fill [-1, 1].
        out_features: Values per point.
        width: Units of every hidden layer.
        hidden_layers: Sine layers after the first one, >= 0.
        omega_0: Frequency of the first layer: higher fits finer detail, and noise.
        hidden_omega_0: Frequency of the other layers.
        seed: Seed of the weights.

    Raises:
        ValueError: A size or a frequency is out of range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        hidden_layers: int = 3,
        omega_0: float = 30.0,
        hidden_omega_0: float = 30.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if min(in_features, out_features, width) < 1 or hidden_layers < 0:
            raise ValueError(
                "in_features, out_features and width must be >= 1 and hidden_layers >= 0, "
                f"found {in_features}, {out_features}, {width} and {hidden_layers}."
            )
        if not (0.0 < omega_0 < math.inf and 0.0 < hidden_omega_0 < math.inf):
            raise ValueError(
                f"omega_0 and hidden_omega_0 must be finite and > 0, found {omega_0} and {hidden_omega_0}."
            )
        self.in_features = in_features
        self.out_features = out_features
        self.omega_0 = omega_0
        self.hidden_omega_0 = hidden_omega_0
        sizes = [in_features, *[width] * (hidden_layers + 1), out_features]
        generator = torch.Generator().manual_seed(seed)
        bounds = [1 / in_features, *[math.sqrt(6 / width) / hidden_omega_0] * (hidden_layers + 1)]
        self.layers = nn.ModuleList(
            _draw_layer(a, b, bound, generator) for (a, b), bound in zip(pairwise(sizes), bounds, strict=True)
        )

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Evaluates the network; smooth, so that derivatives of any order exist."""
        check_features(x, self.in_features, self)
        *hidden, last = self.layers
        for i, layer in enumerate(hidden):
            x = torch.sin((self.omega_0 if i == 0 else self.hidden_omega_0) * layer(x))
        return last(x)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"{self.in_features}, {self.out_features}, omega_0={self.omega_0}, hidden_omega_0={self.hidden_omega_0}"


def _draw_layer(inputs: int, outputs: int, bound: float, generator: torch.Generator) -> nn.Linear:
    # Built without values, so that torch's global generator is left alone.
    layer = nn.Linear(inputs, outputs, device="meta").to_empty(device="cpu")
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -1 / math.sqrt(inputs), 1 / math.sqrt(inputs), generator=generator)
    return layer
