"""The occupancy grid finds where something is, and forgets what is gone."""

import pytest
import torch
from torch import Tensor

from neufield.fields import use_backend
from neufield.render import OccupancyGrid
from neufield.render.kernels.march_reference import occupied

on_cpu_backends = pytest.mark.parametrize("backend", ["reference", "numba"])


def make(extent: int = 1, resolution: int = 16, backend: str = "auto") -> OccupancyGrid:
    return OccupancyGrid(extent=extent, smallest_step=0.01, resolution=resolution, backend=backend)


def sphere(positions: Tensor, radius: float = 0.3) -> Tensor:
    return 50.0 * ((positions - 0.5).norm(dim=1) < radius)


def is_occupied(grid: OccupancyGrid, positions: Tensor) -> Tensor:
    return occupied(positions, grid.bits, grid.resolution, grid.cascades)


def somewhere(extent: int, count: int = 4000) -> Tensor:
    return (torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) - 0.5) * extent + 0.5


@on_cpu_backends
@pytest.mark.parametrize("extent", [1, 4])
def test_exploring_finds_a_sphere(backend: str, extent: int):
    grid, generator = make(extent, backend=backend), torch.Generator().manual_seed(0)
    for _ in range(4):
        grid.explore(lambda x: sphere(x, 0.3 * extent), grid.all_cells(), generator)
    grid.refresh_bits()
    positions = somewhere(extent)
    distance, cell = (positions - 0.5).norm(dim=1), 3.0**0.5 * extent / grid.resolution
    found = is_occupied(grid, positions)
    assert found[distance < 0.3 * extent - cell].all()
    assert not found[distance > 0.3 * extent + cell].any()


@pytest.mark.parametrize("extent", [1, 2, 16])
def test_cells_are_explored_where_they_lie(extent: int):
    """The places tried in a cell are in that very cell, where a finer grid does not cover them."""
    grid = make(extent, resolution=8)
    places = grid._places(grid.all_cells(), torch.rand(len(grid.values), 3, generator=torch.Generator().manual_seed(0)))
    seen = torch.zeros_like(grid.values)
    grid.observe(places, torch.ones(len(places)))
    seen[grid.values > 0] = 1.0
    inner = grid.resolution**3
    assert seen[:inner].all()
    for cascade in range(1, grid.cascades):
        shell = seen[cascade * inner : (cascade + 1) * inner].view(8, 8, 8).bool()
        assert not shell[2:6, 2:6, 2:6].any()
        assert shell.sum().item() == 8**3 - 4**3


@on_cpu_backends
def test_what_is_gone_fades(backend: str):
    grid, generator = make(backend=backend), torch.Generator().manual_seed(0)
    grid.explore(sphere, grid.all_cells(), generator)
    grid.refresh_bits()
    before = grid.occupied_fraction()
    for _ in range(100):
        grid.explore(lambda x: sphere(x, 0.15), grid.all_cells(), generator)
    grid.refresh_bits()
    assert 0.0 < grid.occupied_fraction() < 0.5 * before


@on_cpu_backends
def test_densities_seen_along_rays_count(backend: str):
    """Also outside the box, where they are left out."""
    grid = make(backend=backend)
    positions = torch.tensor(
        [[0.1, 0.1, 0.1], [0.9, 0.2, 0.3], [1.5, 0.5, 0.5], [torch.nan, 0.5, 0.5], [-1e9, 0.5, 0.5]]
    )
    grid.observe(positions, torch.full((5,), 3.0))
    grid.refresh_bits()
    assert (grid.values > 0).sum().item() == 2
    assert is_occupied(grid, positions).tolist() == [True, True, False, False, False]


def test_everything_is_occupied_at_first():
    grid = make(4)
    assert grid.occupied_fraction() == 1.0
    assert is_occupied(grid, somewhere(4)).all()


def test_the_occupied_fraction_counts_bits():
    grid = make()
    grid.bits.zero_()
    grid.bits[:3] = torch.tensor([255, 1, 6], dtype=torch.uint8)
    assert grid.occupied_fraction() == pytest.approx(11 / 16**3)


def test_fog_that_is_the_same_everywhere_stays():
    grid = make()
    grid.explore(lambda x: torch.full_like(x[:, 0], 0.1), grid.all_cells(), torch.Generator().manual_seed(0))
    grid.refresh_bits()
    assert grid.occupied_fraction() == 1.0


def test_random_cells_are_cells():
    grid = make(4)
    cells = grid.random_cells(5000, torch.Generator().manual_seed(0))
    assert cells.min().item() >= 0
    assert cells.max().item() < len(grid.values)
    assert set((cells // 16**3).tolist()) == {0, 1, 2}


def test_the_state_makes_the_same_grid_again():
    one, other = make(), make()
    one.explore(sphere, one.all_cells(), torch.Generator().manual_seed(0))
    one.refresh_bits()
    other.load_state_dict(one.state_dict())
    assert torch.equal(one.bits, other.bits)
    assert torch.equal(one.values, other.values)


def test_backends_keep_the_same_grid():
    grids = []
    for backend in ("reference", "numba"):
        with use_backend(backend):
            grid, generator = make(2), torch.Generator().manual_seed(0)
            grid.explore(sphere, grid.random_cells(5000, generator), generator)
            grid.refresh_bits()
            grids.append(grid)
    assert torch.equal(grids[0].values, grids[1].values)
    assert torch.equal(grids[0].bits, grids[1].bits)


@pytest.mark.parametrize(
    ("extent", "resolution", "message"),
    [
        (3, 16, "must be a power of two, got 3"),
        (0, 16, "must be a power of two, got 0"),
        (1, 12, "must be a multiple of 8, got 12"),
        (1, 0, "must be a multiple of 8, got 0"),
    ],
)
def test_impossible_grids_are_refused(extent: int, resolution: int, message: str):
    with pytest.raises(ValueError, match=message):
        make(extent, resolution)
