"""Networks with sines for activations: smooth fields whose derivatives are as well behaved as their values."""

from .dense_network import DenseNetwork, check_positive, check_sizes, sine_bounds
from .kernels.dense_network_geometry import DenseNetworkGeometry


class Siren(DenseNetwork):
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
        backend: Which kernel runs, see `kernels.dispatch`.

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
        backend: str = "auto",
    ) -> None:
        check_sizes(in_features, out_features, width, hidden_layers)
        check_positive(omega_0=omega_0, hidden_omega_0=hidden_omega_0)
        geometry = DenseNetworkGeometry(
            in_features, out_features, width, hidden_layers + 1, "sine", omega_0, hidden_omega_0
        )
        super().__init__(geometry, sine_bounds(geometry), seed=seed, backend=backend)
