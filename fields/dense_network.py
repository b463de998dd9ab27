"""What networks with biases have in common: their layers in one flat parameter, and the kernel that runs them."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .features import check_features
from .jet_operation import evaluate_jets
from .kernels.dense_network_geometry import DenseNetworkGeometry
from .network_operation import evaluate


class DenseNetwork(nn.Module):
    """Dense layers with biases, an elementwise activation after all but the last; the base of `Siren` and its kin.

        h_0 = a(W_0 x + b_0),    h_i = a(W_i h_(i-1) + b_i),    y = W h + b

    Args:
        geometry: Sizes and the activation a.
        bounds: Weights of each layer start uniform in +- its bound.
        first_bias: Biases of the first layer start uniform in +- this; None means +-1/sqrt(n) with n inputs, as
            biases of the other layers always do.
        seed: Seed of weights and biases.
        backend: Which kernel runs, see `kernels.dispatch`.

    Attributes:
        weights: All weights and biases in one tensor, layer after layer; `layers` has them one by one.
    """

    def __init__(
        self,
        geometry: DenseNetworkGeometry,
        bounds: Sequence[float],
        *,
        first_bias: float | None = None,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.geometry = geometry
        self.in_features, self.out_features = geometry.in_features, geometry.out_features
        self.backend = backend
        generator = torch.Generator().manual_seed(seed)
        drawn: list[Tensor] = []
        for i, ((outputs, inputs), bound) in enumerate(zip(geometry.shapes, bounds, strict=True)):
            bias = first_bias if i == 0 and first_bias is not None else 1 / math.sqrt(inputs)
            drawn.append(torch.empty(outputs * inputs).uniform_(-bound, bound, generator=generator))
            drawn.append(torch.empty(outputs).uniform_(-bias, bias, generator=generator))
        self.weights = nn.Parameter(torch.cat(drawn))

    @property
    def layers(self) -> list[tuple[Tensor, Tensor]]:
        """Views of every layer's weight matrix (outputs, inputs) and of its biases (outputs,)."""
        return self.geometry.layers(self.weights)

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Evaluates the network for every row of x; derivatives of any order exist where the activation has them."""
        check_features(x, self.in_features, self)
        return evaluate("dense_network", x, self.weights, self.geometry, self.backend)

    def jets(
        self, x: Float[Tensor, "n in"], directions: Float[Tensor, "directions n in"], *, curved: bool
    ) -> Float[Tensor, "channels n out"]:
        """Values, slopes along directions and, if asked for, a curvature, all in one pass; see `derivatives`."""
        return evaluate_jets(x, directions, self.weights, self.geometry, curved=curved, backend=self.backend)

    def extra_repr(self) -> str:
        """The geometry, for print(model)."""
        return repr(self.geometry)


def check_sizes(in_features: int, out_features: int, width: int, hidden_layers: int) -> None:
    """Makes sure that a network can have these sizes.

    Raises:
        ValueError: A size is out of range.
    """
    if min(in_features, out_features, width) < 1 or hidden_layers < 0:
        raise ValueError(
            "in_features, out_features and width must be >= 1 and hidden_layers >= 0, "
            f"found {in_features}, {out_features}, {width} and {hidden_layers}."
        )


def check_positive(**numbers: float) -> None:
    """Makes sure that numbers, given by their names, are finite and above zero.

    Raises:
        ValueError: One is not.
    """
    if not all(0.0 < number < math.inf for number in numbers.values()):
        found = " and ".join(str(number) for number in numbers.values())
        raise ValueError(f"{' and '.join(numbers)} must be finite and > 0, found {found}.")


def sine_bounds(geometry: DenseNetworkGeometry) -> list[float]:
    """Bounds of uniform weights that keep the distribution of sines the same from layer to layer.

    1/n in the first layer and sqrt(6/n) / omega in all others, n inputs each. Sitzmann et al. 2020, section 3.2.
    """
    (_, first), *others = geometry.shapes
    return [1 / first, *(math.sqrt(6 / inputs) / geometry.hidden_omega for _, inputs in others)]
