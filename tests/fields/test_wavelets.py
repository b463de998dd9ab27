import pytest
import torch

from neufield.fields.wavelets import Wavelets, analysis, synthesis, synthesis_gradient

SHAPES = [(37, 50, 3), (64, 48, 1), (1, 9, 2), (2, 2, 1), (1, 1, 4)]


def products(a: Wavelets, b: Wavelets) -> torch.Tensor:
    pairs = [(a.low, b.low), *((x, y) for u, v in zip(a.details, b.details) for x, y in zip(u, v))]
    return torch.stack([(x * y).sum() for x, y in pairs]).sum()


@pytest.mark.parametrize("shape", SHAPES)
def test_synthesis_undoes_analysis(shape: tuple[int, int, int]):
    grid = torch.rand(shape, dtype=torch.float64)
    torch.testing.assert_close(synthesis(analysis(grid, 4)), grid)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_the_transpose_of_synthesis(shape: tuple[int, int, int]):
    coefficients, grid = analysis(torch.rand(shape, dtype=torch.float64), 4), torch.rand(shape, dtype=torch.float64)
    torch.testing.assert_close(
        (synthesis(coefficients) * grid).sum(), products(coefficients, synthesis_gradient(grid, 4))
    )


def test_a_cubic_has_no_details_inside():
    x = torch.arange(64, dtype=torch.float64) / 64
    across = analysis((x**3 - x).view(1, 64, 1), 1).details[0][0].flatten()
    assert across[4:-4].abs().max() < 1e-9
    assert across.abs().max() > 1e-4


def test_coefficients_have_about_the_energy_of_the_grid():
    grid = torch.randn(128, 128, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coefficients = analysis(grid, 5)
    assert float(products(coefficients, coefficients) / grid.square().sum()) == pytest.approx(1.0, abs=0.1)
