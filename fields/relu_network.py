"""The plain perceptron: ReLUs and biases, any width."""

import math

from .dense_network import DenseNetwork, check_sizes
from .kernels.dense_network_geometry import DenseNetworkGeometry


class ReLUNetwork(DenseNetwork):
    """A multilayer perceptron with ReLUs and a linear last layer; `MLP` is the small one without biases.

        h_0 = max(W_0 x + b_0, 0),    h_i = max(W_i h_(i-1) + b_i, 0),    y = W h + b

    On coordinates alone it learns low frequencies long before high ones: put it behind `FrequencyEncoding` or
    `FourierFeatures` (Tancik et al. 2020). Weights are drawn from U(+-sqrt(6/n)), n inputs each, which keeps the
    variance from layer to layer (He et al. 2015, eq. 10); biases from U(+-1/sqrt(n)). Second derivatives are zero.

    Args:
        in_features: Values per point that come in.
        out_features: Values per point that come out.
        width: Units of every hidden layer.
        hidden_layers: ReLU layers after the first one, >= 0.
        seed: Seed of the weights.
        backend: Which kernel runs, see `kernels.dispatch`.

    Raises:
        ValueError: A size is out of range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        width: int = 256,
        hidden_layers: int = 3,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        check_sizes(in_features, out_features, width, hidden_layers)
        geometry = DenseNetworkGeometry(in_features, out_features, width, hidden_layers + 1, "relu")
        bounds = [math.sqrt(6 / inputs) for _, inputs in geometry.shapes]
        super().__init__(geometry, bounds, seed=seed, backend=backend)
