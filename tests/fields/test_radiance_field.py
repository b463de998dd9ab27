"""The field of a NeRF: what its outputs may be, and what they depend on."""

import pytest
import torch
from torch import Tensor

from neufield.fields import HashGrid, RadianceField, gradient, use_backend


def make(
    *, extent: float = 1.0, view_dependence: bool = True, density_scale: float = 1.0, seed: int = 0
) -> RadianceField:
    """A field with features large enough to matter."""
    grid = HashGrid(3, levels=3, growth=2.0, coarsest=4, log2_table_size=9, seed=seed)
    with torch.no_grad():
        grid.table.mul_(1e4)
    return RadianceField(
        grid, extent=extent, width=16, view_dependence=view_dependence, density_scale=density_scale, seed=seed
    )


def points(count: int = 40, extent: float = 1.0) -> tuple[Tensor, Tensor]:
    """Positions in the box, and directions."""
    generator = torch.Generator().manual_seed(count)
    positions = (torch.rand(count, 3, generator=generator) - 0.5) * extent + 0.5
    directions = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)
    return positions, directions


@pytest.mark.parametrize("count", [0, 1, 40])
def test_density_is_positive_and_colours_lie_in_the_unit_range(count: int):
    density, color = make()(*points(count))
    assert density.shape == (count,)
    assert color.shape == (count, 3)
    assert (density > 0).all()
    assert ((color > 0) & (color < 1)).all()


def test_density_starts_near_its_scale():
    field = RadianceField(HashGrid(3, levels=2, growth=2.0), density_scale=7.0)
    torch.testing.assert_close(field.density(points()[0]), torch.full((40,), 7.0), rtol=1e-2, atol=0.0)


def test_density_does_not_depend_on_the_view():
    field, (positions, directions) = make(), points()
    assert torch.equal(field(positions, directions).density, field.density(positions))
    assert torch.equal(field(positions, -directions).density, field.density(positions))


@pytest.mark.parametrize("view_dependence", [True, False])
def test_colour_depends_on_the_view_only_where_asked(view_dependence: bool):
    field, (positions, directions) = make(view_dependence=view_dependence), points()
    same = torch.equal(field(positions, directions).color, field(positions, -directions).color)
    assert same != view_dependence


def test_a_larger_box_is_seen_as_the_unit_cube():
    positions, directions = points(extent=8.0)
    small, large = make(), make(extent=8.0)
    unit = (positions - 0.5) / 8.0 + 0.5
    for one, other in zip(small(unit, directions), large(positions, directions)):
        torch.testing.assert_close(one, other)


def test_neither_density_nor_its_gradient_overflows():
    field, (positions, directions) = make(), points()
    with torch.no_grad():
        field.grid.table.mul_(1e6)
    density, color = field(positions, directions)
    (density.sum() + color.sum()).backward()
    assert density.isfinite().all()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in field.parameters())


def test_gradients_reach_every_parameter_and_position():
    field, (positions, directions) = make(), points()
    positions.requires_grad_()
    density, color = field(positions, directions)
    (density.log().sum() + color.square().sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in field.parameters())
    assert positions.grad is not None
    assert positions.grad.any(dim=1).all()


def test_backends_agree(assert_agree):
    field, arguments = make(), points(300)

    def run(backend: str) -> list[Tensor]:
        field.zero_grad()
        with use_backend(backend):
            density, color = field(*arguments)
            (density.sum() + color.square().sum()).backward()
        return [
            density,
            color,
            *(parameter.grad.clone() for parameter in field.parameters() if parameter.grad is not None),
        ]

    found, truth = run("numba"), run("reference")
    assert len(found) == 5
    for one, other in zip(found, truth):
        assert_agree(one, other)


def test_a_loss_on_normals_reaches_the_table():
    field, (positions, _) = make(), points()
    slopes = gradient(lambda x: field.density(x)[:, None], positions, create_graph=True)
    torch.nn.functional.normalize(slopes, dim=1)[:, 0].sum().backward()
    assert field.grid.table.grad is not None
    assert field.grid.table.grad.any()


def test_the_state_makes_the_same_field_again():
    one, other = make(seed=1), make(seed=2)
    arguments = points()
    assert not torch.equal(one(*arguments).color, other(*arguments).color)
    other.load_state_dict(one.state_dict())
    for first, second in zip(one(*arguments), other(*arguments)):
        assert torch.equal(first, second)
