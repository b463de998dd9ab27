"""Networks with sines of growing frequency for activations: the start of the biases sets the band that is fitted."""

from .dense_network import DenseNetwork, check_positive, check_sizes, sine_bounds
from .kernels.dense_network_geometry import DenseNetworkGeometry


class Finer(DenseNetwork):
    """A multilayer perceptron with variable-periodic activations and a linear last layer.

        h_0 = a(W_0 x + b_0, omega_0),    h_i = a(W_i h_(i-1) + b_i, hidden_omega_0),    y = W h + b,
        a(z, omega) = sin(omega (|z| + 1) z)

    The further z is from zero, the faster a oscillates: biases of the first layer spread units over frequencies.
    Weights and the other biases start as in `Siren`. Liu et al. 2024, "FINER: Flexible spectral-bias tuning in Implicit
    NEural Representation by Variable-periodic Activation Functions", sections 3.2 and 3.3. The gradient is that of a,
    where the authors' program takes |z| + 1 for a constant in it; the second derivative jumps where z = 0.

    Args:
        in_features: Coordinates per point; they should fill [-1, 1].
        out_features: Values per point.
        width: Units of every hidden layer.
        hidden_layers: Layers with the activation after the first one, >= 0.
        omega_0: Frequency of the first layer.
        hidden_omega_0: Frequency of the other layers.
        first_bias: k: biases of the first layer start uniform in +-k, and larger k fits finer detail. None leaves
            +-1/sqrt(in_features).
        seed: Seed of the weights.
        backend: Which kernel runs, see `kernels.dispatch`.

    Raises:
        ValueError: A size, a frequency or first_bias is out of range.
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
        first_bias: float | None = None,
        seed: int = 0,
        backend: str = "auto",
    ) -> None:
        check_sizes(in_features, out_features, width, hidden_layers)
        check_positive(omega_0=omega_0, hidden_omega_0=hidden_omega_0)
        if first_bias is not None:
            check_positive(first_bias=first_bias)
        geometry = DenseNetworkGeometry(
            in_features, out_features, width, hidden_layers + 1, "finer", omega_0, hidden_omega_0
        )
        super().__init__(geometry, sine_bounds(geometry), first_bias=first_bias, seed=seed, backend=backend)
