"""Transfer functions: inverses, and which one suits which picture."""

import pytest
import torch

from neufield.tools.transfer import Transfer


@pytest.mark.parametrize("transfer", [Transfer(), Transfer("linear", -3.0, 5.0), Transfer("log", 0.02, 900.0)])
def test_decoding_undoes_encoding(transfer: Transfer):
    values = torch.linspace(max(transfer.low, 0.0), transfer.high, 100)
    fitted = transfer.encode(values)
    assert fitted.max().item() == pytest.approx(1.0)
    torch.testing.assert_close(transfer.decode(fitted), values, rtol=1e-4, atol=1e-5)


def test_plain_floats_are_taken_linearly_from_their_least_to_their_largest():
    assert Transfer.of(low=-1.0, middle=1.0, high=3.0, linear_light=True) == Transfer("linear", -1.0, 3.0)


@pytest.mark.parametrize("low", [0.0, -1e-5])
def test_light_of_high_dynamic_range_is_taken_by_its_logarithm(low: float):
    assert Transfer.of(low=low, middle=0.5, high=5000.0, linear_light=True) == Transfer("log", 0.5, 5000.0)
    assert Transfer.of(low=low, middle=0.5, high=5000.0, linear_light=False) == Transfer("linear", low, 5000.0)


@pytest.mark.parametrize("middle", [1e-41, 0.0, -3.0])
def test_a_median_next_to_nothing_encodes_to_numbers(middle: float):
    transfer = Transfer.of(low=min(middle, 0.0), middle=middle, high=1.0, linear_light=True)
    assert transfer.encode(torch.tensor([0.0, 0.5, 1.0])).isfinite().all()


def test_a_picture_of_one_value_has_a_transfer():
    transfer = Transfer.of(low=7.0, middle=7.0, high=7.0, linear_light=True)
    torch.testing.assert_close(transfer.decode(transfer.encode(torch.tensor([7.0]))), torch.tensor([7.0]))
