"""Networks with complex wavelets for activations: each unit answers to one band of frequencies near one place."""

import math
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .dense_network import check_positive, check_sizes
from .features import check_features


class Wire(nn.Module):
    """A complex multilayer perceptron with Gabor wavelets for activations; the real part of its last layer comes out.

        h_0 = g(W_0 x + b_0),    h_i = g(W_i h_(i-1) + b_i),    y = Re(W h + b),    g(z) = exp(j omega z - |s z|^2)

    W_0 and b_0 are real, all others complex. Weights and biases are drawn from U(+-1/sqrt(n)), n inputs each, their
    real and imaginary parts alike. Saragadam et al. 2023, "WIRE: Wavelet Implicit Neural Representations", section 3.
    Plain torch on every device: there is no kernel of its own, and a step takes several times as long as one of
    `Siren`.

    Args:
        in_features: Coordinates per point; they should fill [-1, 1].
        out_features: Values per point.
        width: Complex units of every hidden layer; 181 have as many parameters as 256 real ones.
        hidden_layers: Wavelet layers after the first one, >= 0.
        omega: Frequency of the wavelets.
        s: Width of their spectra: their Gaussian windows are 1/s wide.
        seed: Seed of the weights.

    Raises:
        ValueError: A size, omega or s is out of range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 181,
        hidden_layers: int = 3,
        omega: float = 20.0,
        s: float = 30.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_sizes(in_features, out_features, width, hidden_layers)
        check_positive(omega=omega, s=s)
        self.in_features = in_features
        self.out_features = out_features
        self.omega = omega
        self.s = s
        generator = torch.Generator().manual_seed(seed)

        def draw(inputs: int, *shape: int) -> nn.Parameter:
            bound = 1 / math.sqrt(inputs)
            return nn.Parameter(torch.empty(shape).uniform_(-bound, bound, generator=generator))

        sizes = [width] * (hidden_layers + 1) + [out_features]
        self.first_weight = draw(in_features, width, in_features)
        self.first_bias = draw(in_features, width)
        # Complex numbers as pairs, so that optimisers, checkpoints and `double` meet nothing but real ones.
        self.weights = nn.ParameterList(draw(a, b, a, 2) for a, b in pairwise(sizes))
        self.biases = nn.ParameterList(draw(a, b, 2) for a, b in pairwise(sizes))

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Evaluates the network; smooth, so that derivatives of any order exist."""
        check_features(x, self.in_features, self)
        z = torch.nn.functional.linear(x, self.first_weight, self.first_bias)
        for weight, bias in zip(self.weights, self.biases):
            z = torch.nn.functional.linear(self._wavelet(z), torch.view_as_complex(weight), torch.view_as_complex(bias))
        return z.real

    def _wavelet(self, z: Tensor) -> Tensor:
        squared = z.real.square() + z.imag.square() if z.is_complex() else z.square()
        return torch.exp(1j * self.omega * z - self.s**2 * squared)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"{self.in_features}, {self.out_features}, omega={self.omega}, s={self.s}"
