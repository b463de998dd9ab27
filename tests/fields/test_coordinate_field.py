"""CoordinateField: any encoding with any network that fits."""

import pytest
import torch
from torch import nn

from neufield.fields import CoordinateField, FourierFeatures, FrequencyEncoding, Identity, Siren


@pytest.mark.parametrize(
    ("encoding", "network"),
    [
        (Identity(2), Siren(2, 3, width=16)),
        (FrequencyEncoding(2, octaves=4), nn.Linear(16, 3)),
        (FourierFeatures(2, frequencies=8), nn.Linear(16, 3)),
    ],
)
def test_is_the_network_of_the_encoding(encoding: nn.Module, network: nn.Module):
    field = CoordinateField(encoding, network)
    x = torch.rand(2, 5, 2)
    assert (field.in_features, field.out_features) == (2, 3)
    assert field(x).shape == (2, 5, 3)
    assert torch.equal(field(x), network(encoding(x)))
    assert len(list(field.parameters())) == len(list(network.parameters()))


def test_fields_nest():
    inner = CoordinateField(FrequencyEncoding(2, octaves=1), nn.Linear(4, 3))
    outer = CoordinateField(inner, nn.Linear(3, 1))
    assert (outer.in_features, outer.out_features) == (2, 1)
    assert outer(torch.rand(5, 2)).shape == (5, 1)


def test_a_network_of_the_users_own_needs_the_two_attributes_only():
    network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    with pytest.raises(ValueError, match=r"network must say.*Sequential\.in_features.*Set the attribute on the module"):
        CoordinateField(Identity(2), network)
    network.in_features, network.out_features = 2, 1
    assert CoordinateField(Identity(2), network)(torch.rand(5, 2)).shape == (5, 1)


@pytest.mark.parametrize("size", [-1, 2.0, "2", True])
def test_sizes_that_are_no_counts_are_refused(size: object):
    network = nn.Sequential(nn.Linear(2, 1))
    network.in_features, network.out_features = 2, size
    with pytest.raises(ValueError, match=r"Sequential\.out_features should be a whole number >= 0, found"):
        CoordinateField(Identity(2), network)


def test_what_does_not_fit_is_said():
    with pytest.raises(
        ValueError, match=r"FrequencyEncoding gives 40 values, Siren takes 2\. Build the network with in_features=40"
    ):
        CoordinateField(FrequencyEncoding(2), Siren(2, 1, width=16))
    with pytest.raises(ValueError, match=r"CoordinateField takes tensors of shape \(\.\.\., 2\), found \(4, 3\)"):
        CoordinateField(Identity(2), nn.Linear(2, 1))(torch.rand(4, 3))
