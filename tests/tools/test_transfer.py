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
    values = torch.rand(1000, generator=torch.Generator().manual_seed(0)) * 4 - 1
    transfer = Transfer.of(values, linear_light=True)
    assert transfer == Transfer("linear", float(values.min()), float(values.max()))


def test_light_of_high_dynamic_range_is_taken_by_its_logarithm():
    values = torch.cat([torch.rand(1000, generator=torch.Generator().manual_seed(0)), torch.tensor([5000.0])])
    assert Transfer.of(values, linear_light=True).kind == "log"
    assert Transfer.of(values, linear_light=False).kind == "linear"


def test_a_picture_of_one_value_has_a_transfer():
    transfer = Transfer.of(torch.full((10,), 7.0), linear_light=True)
    torch.testing.assert_close(transfer.decode(transfer.encode(torch.tensor([7.0]))), torch.tensor([7.0]))
