"""The hash grid as a module: batches, dtypes, derivatives of any order, repeatability."""

import pytest
import torch

from neufield.fields import HashGrid, use_backend

OPTIONS = {"levels": 3, "log2_table_size": 8, "coarsest": 4, "growth": 2.0}


def make(dimensions: int = 3, **options: object) -> HashGrid:
    """A grid whose features are of size 1."""
    grid = HashGrid(dimensions, **{**OPTIONS, **options})  # type: ignore[arg-type]
    with torch.no_grad():
        grid.table.mul_(1e4)
    return grid


@pytest.mark.parametrize("batch", [(), (0,), (1,), (5,), (2, 3)])
@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
def test_any_batch_shape(batch: tuple[int, ...], dimensions: int):
    grid = make(dimensions)
    x = torch.rand(*batch, dimensions, generator=torch.Generator().manual_seed(0))
    encoded = grid(x)
    assert encoded.shape == (*batch, grid.out_features)
    assert torch.equal(encoded.reshape(-1, grid.out_features), grid(x.reshape(-1, dimensions)))


def test_features_start_small_and_repeat_with_the_seed():
    one, same, other = (HashGrid(2, **OPTIONS, seed=seed).table for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert 0.9e-4 < one.abs().max().item() <= 1e-4


def test_the_last_level_is_as_fine_as_asked():
    grid = HashGrid(3, levels=8, finest=2048.0, coarsest=16, log2_table_size=10)
    assert grid.geometry.scales[-1] == pytest.approx(2047.0)
    assert HashGrid(3, levels=1, finest=16.0, coarsest=16).geometry.scales == (15.0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_coordinates_of_any_float_type(dtype: torch.dtype):
    grid, x = make(), torch.tensor([[0.25, 0.5, 0.75], [0.0, 1.0, 0.125]])
    found = grid(x.to(dtype).requires_grad_())
    assert found.dtype == torch.promote_types(dtype, torch.float32)
    torch.testing.assert_close(found.float(), grid(x), rtol=1e-5, atol=1e-5)
    found.sum().backward()


def test_the_module_in_float64_agrees():
    x = torch.rand(50, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(make().double()(x.double()).float(), make()(x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("frozen", ["table", "x", "neither"])
def test_second_derivatives_are_the_reference_s(frozen: str, assert_agree):
    """A loss on slopes, as for normals or an eikonal term, through the compiled kernel."""
    start = torch.rand(20, 3, generator=torch.Generator().manual_seed(3))

    def slopes(backend: str) -> list[torch.Tensor]:
        grid, x = make(backend=backend), start.clone().requires_grad_()
        (slope,) = torch.autograd.grad(grid(x).sin().sum(), x, create_graph=True)
        wanted = {"table": [x], "x": [grid.table], "neither": [x, grid.table]}[frozen]
        return [slope, *torch.autograd.grad(slope.square().sum(), wanted)]

    for found, truth in zip(slopes("numba"), slopes("reference")):
        assert_agree(found, truth)


def test_the_gradient_s_gradient_reaches_the_gradient():
    """The derivative of `J^T v` by v, which is what a loss upstream of the encoding needs."""
    grid, x = make(backend="numba"), torch.full((2, 3), 0.3, requires_grad=True)
    v = torch.ones(2, grid.out_features, requires_grad=True)
    (slope,) = torch.autograd.grad(grid(x), x, v, create_graph=True)
    (found,) = torch.autograd.grad(slope.sum(), v)
    with use_backend("reference"):
        jacobian = torch.autograd.functional.jacobian(lambda x: grid(x).sum(dim=0), x)
    torch.testing.assert_close(found, jacobian.sum(dim=2).T, rtol=1e-4, atol=1e-4)


def test_a_frozen_table_costs_nothing_and_stays_without_gradient():
    grid, x = make().requires_grad_(False), torch.rand(4, 3, requires_grad=True)
    grid(x).sum().backward()
    assert grid.table.grad is None
    assert x.grad is not None


def test_the_state_makes_the_same_grid_again():
    one, other = make(), make(seed=9)
    other.load_state_dict(one.state_dict())
    x = torch.rand(10, 3)
    assert torch.equal(one(x), other(x))


@pytest.mark.parametrize("sizes", [{}, {"finest": 64.0, "growth": 2.0}])
def test_finest_or_growth_and_not_both(sizes: dict[str, float]):
    with pytest.raises(ValueError, match="either `finest` or `growth`, and not both"):
        HashGrid(3, levels=2, **sizes)


def test_coordinates_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"takes 3 coordinates, got a tensor of shape \(5, 2\)"):
        make()(torch.rand(5, 2))


def test_known_features_come_back_and_carry_gradients():
    grid = HashGrid(3, levels=3, features=2, log2_table_size=8, coarsest=4, finest=16.0)
    x = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        known = grid(x)
    gradients: list[torch.Tensor] = []
    for features in (grid(x), grid(x, known)):
        assert torch.equal(features, known)
        gradients += torch.autograd.grad((features * torch.arange(6.0)).sum(), grid.table)
    assert gradients[0].any()
    assert torch.equal(*gradients)


def test_known_features_of_another_shape_are_refused():
    grid = HashGrid(2, levels=2, features=2, log2_table_size=8, coarsest=4, finest=8.0)
    with pytest.raises(ValueError, match=r"Known features must have the shape \(5, 4\), got \(5, 3\)"):
        grid(torch.rand(5, 2), torch.rand(5, 3))
    assert grid(torch.rand(0, 2), torch.rand(0, 4)).shape == (0, 4)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_closed_levels_give_zeros_and_get_no_gradient(backend: str):
    grid = HashGrid(3, levels=4, log2_table_size=10, coarsest=4, growth=2.0, backend=backend)
    x = torch.rand(40, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    everything = grid(x)
    grid.open(2)
    encoded = grid(x)
    assert torch.equal(encoded[:, :4], everything[:, :4])
    assert not encoded[:, 4:].any()
    for_x, for_table = torch.autograd.grad(encoded.sum(), (x, grid.table))
    expected_x, expected_table = torch.autograd.grad(everything[:, :4].sum(), (x, grid.table))
    torch.testing.assert_close(for_x, expected_x)
    torch.testing.assert_close(for_table, expected_table)
    grid.open(4)
    assert torch.equal(grid(x), everything)
