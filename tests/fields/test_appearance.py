"""Exposures and codes: neutral at the start and in the mean, learned per photo."""

import pytest
import torch

from neufield.fields import Appearance, HashGrid, RadianceField


def test_it_changes_nothing_at_the_start():
    appearance = Appearance(3, code_features=4)
    photos = torch.tensor([0, 2, 2, 1])
    assert torch.equal(appearance.gains(photos), torch.ones(4, 3))
    codes, mean = appearance.codes_of(photos), appearance.mean_code()
    assert codes is not None
    assert mean is not None
    assert not codes.any()
    assert mean.shape == (1, 4)
    assert appearance.prior() == 0.0


def test_exposures_alone_have_no_codes():
    appearance = Appearance(3)
    assert appearance.codes_of(torch.tensor([0])) is None
    assert appearance.mean_code() is None
    assert len(list(appearance.parameters())) == 1


def test_the_mean_photo_is_exposed_as_it_is():
    appearance = Appearance(4)
    with torch.no_grad():
        appearance.exposures.copy_(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    gains = appearance.gains(torch.arange(4))
    torch.testing.assert_close(gains.log().mean(dim=0), torch.zeros(3), rtol=0.0, atol=1e-6)
    torch.testing.assert_close(gains[1] / gains[0], (appearance.exposures[1] - appearance.exposures[0]).exp())


def make_field(code_features: int) -> RadianceField:
    grid = HashGrid(3, levels=2, features=2, log2_table_size=8, coarsest=4, finest=8.0)
    return RadianceField(grid, code_features=code_features)


def test_colours_depend_on_the_code_and_densities_do_not():
    field, generator = make_field(5), torch.Generator().manual_seed(0)
    positions = torch.rand(7, 3, generator=generator)
    directions = torch.nn.functional.normalize(torch.randn(7, 3, generator=generator), dim=1)
    codes = torch.randn(7, 5, generator=generator, requires_grad=True)
    seen, other = field(positions, directions, None, codes), field(positions, directions, None, codes + 1.0)
    assert torch.equal(seen.density, other.density)
    assert (seen.color != other.color).any(dim=1).all()
    seen.color.sum().backward()
    assert codes.grad is not None
    assert codes.grad.any(dim=1).all()
    shared = field(positions, directions, None, codes[:1])
    assert torch.equal(shared.color[0], seen.color[0])
    repeated = field(positions, directions, None, codes[:1].repeat(7, 1))
    assert torch.equal(shared.color, repeated.color)


def test_a_code_of_another_length_is_refused():
    positions = torch.rand(2, 3)
    for field, codes in ((make_field(5), None), (make_field(5), torch.zeros(2, 4)), (make_field(0), torch.zeros(2, 4))):
        with pytest.raises(ValueError, match="colours depend on codes of length"):
            field(positions, positions, None, codes)
