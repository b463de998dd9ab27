"""Identity and concatenation of encodings."""

import pytest
import torch
from torch import nn

from neufield.fields import Concatenation, FrequencyEncoding, Identity, SphericalHarmonics


def test_identity_is_the_identity():
    x = torch.rand(4, 3)
    assert Identity(3)(x) is x
    assert Identity(3).out_features == 3
    assert Identity(0)(torch.rand(4, 0)).shape == (4, 0)


def test_shared_input_gives_every_encoding_all_coordinates():
    frequency, harmonics = FrequencyEncoding(3, octaves=2), SphericalHarmonics()
    both = Concatenation(frequency, harmonics, shared=True)
    x = torch.rand(2, 5, 3)
    assert (both.in_features, both.out_features) == (3, 12 + 16)
    assert torch.equal(both(x), torch.cat([frequency(x), harmonics(x)], dim=-1))


def test_split_input_gives_every_encoding_its_own_part():
    frequency, harmonics = FrequencyEncoding(2, octaves=2), SphericalHarmonics()
    both = Concatenation(frequency, harmonics, Identity(1))
    x = torch.rand(5, 6)
    assert (both.in_features, both.out_features) == (6, 8 + 16 + 1)
    assert torch.equal(both(x), torch.cat([frequency(x[:, :2]), harmonics(x[:, 2:5]), x[:, 5:]], dim=-1))


def test_identities_side_by_side_are_the_identity():
    x = torch.rand(5, 6)
    assert torch.equal(Concatenation(Identity(2), Identity(0), Identity(4))(x), x)


@pytest.mark.parametrize("shared", [False, True])
def test_no_encodings_give_no_numbers(shared: bool):
    none = Concatenation(shared=shared)
    assert (none.in_features, none.out_features) == (0, 0)
    assert none(torch.rand(5, 0)).shape == (5, 0)


def test_parameters_of_the_parts_are_trained():
    linear = nn.Linear(3, 2)
    both = Concatenation(linear, Identity(3), shared=True)
    both(torch.rand(4, 3)).sum().backward()
    assert {id(parameter) for parameter in both.parameters()} == {id(linear.weight), id(linear.bias)}
    assert linear.weight.grad is not None


def test_messages_say_what_does_not_fit():
    with pytest.raises(ValueError, match=r"same number of coordinates, found \[2, 3\]"):
        Concatenation(Identity(2), Identity(3), shared=True)
    with pytest.raises(
        ValueError, match=r"encoding 1 must say.*ReLU\.in_features should be a whole number.*found None"
    ):
        Concatenation(Identity(2), nn.ReLU())
    with pytest.raises(ValueError, match=r"Concatenation takes tensors of shape \(\.\.\., 5\), found \(4, 3\)"):
        Concatenation(Identity(2), Identity(3))(torch.rand(4, 3))
    with pytest.raises(ValueError, match="in_features must be >= 0, found -1"):
        Identity(-1)
