"""The shape that most neural fields have: coordinates, an encoding of them, a network on top."""

from jaxtyping import Float
from torch import Tensor, nn

from .composition import Identity
from .derivatives import jets_of
from .features import check_features, features_of


class CoordinateField(nn.Module):
    """A field that is an encoding followed by a network.

        y = network(encoding(x)),    x: coordinates (..., d),    y: values (..., c)

    Args:
        encoding: Module with `in_features` = d and `out_features`.
        network: Module whose `in_features` are the encoding's `out_features`, with `out_features` = c.

    Raises:
        ValueError: A module does not tell its sizes, or the two do not fit together.
    """

    def __init__(self, encoding: nn.Module, network: nn.Module) -> None:
        super().__init__()
        in_features, encoded = features_of(encoding, "encoding")
        expected, out_features = features_of(network, "network")
        if encoded != expected:
            raise ValueError(
                f"The network must take what the encoding gives: {type(encoding).__name__} gives {encoded} values, "
                f"{type(network).__name__} takes {expected}. Build the network with in_features={encoded}."
            )
        self.in_features = in_features
        self.out_features = out_features
        self.encoding = encoding
        self.network = network

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Evaluates the field at coordinates in the range that its encoding wants."""
        check_features(x, self.in_features, self)
        return self.network(self.encoding(x))

    def jets(
        self, x: Float[Tensor, "n in"], directions: Float[Tensor, "directions n in"], *, curved: bool
    ) -> Float[Tensor, "channels n out"] | None:
        """The network's, where nothing stands before it; see `derivatives`."""
        return jets_of(self.network, x, directions, curved=curved) if isinstance(self.encoding, Identity) else None
