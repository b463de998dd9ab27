"""Every backend of the occupancy grid's upkeep does what the reference does, bit for bit."""

import importlib
import math
from types import ModuleType

import pytest
import torch

from neufield.render.kernels import occupancy_reference as reference

CPU_BACKENDS = ("reference", "numba")
on_cpu_backends = pytest.mark.parametrize("backend", CPU_BACKENDS)


def load(backend: str) -> ModuleType:
    return importlib.import_module(f"neufield.render.kernels.occupancy_{backend}")


@pytest.mark.parametrize("seen", [0, 1, 37, 2000])
def test_observations_are_the_reference_s(seen: int):
    """With cells that are seen many times, and -1 for no cell."""
    generator = torch.Generator().manual_seed(seen)
    found = torch.rand(512, generator=generator) * (torch.rand(512, generator=generator) < 0.7)
    truth = found.clone()
    for _ in range(3):
        cells = torch.randint(-1, 300, (seen,), generator=generator)
        density = torch.rand(seen, generator=generator)
        load("numba").observe(found, cells, density, 0.95)
        reference.observe(truth, cells, density, 0.95)
    assert torch.equal(found, truth)
    assert not found.signbit().any()


@on_cpu_backends
def test_a_cell_decays_once_and_takes_the_largest(backend: str):
    values = torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0])
    cells = torch.tensor([0, 0, 1, -1, 3, 3])
    load(backend).observe(values, cells, torch.tensor([0.1, 0.2, 3.0, 9.0, 0.5, 0.25]), 0.5)
    assert values.tolist() == [0.5, 3.0, 1.0, 0.5, 0.0]


@on_cpu_backends
def test_densities_that_are_no_numbers_say_nothing(backend: str):
    values = torch.tensor([1.0, 0.0, 0.0])
    cells = torch.tensor([0, 1, 2])
    load(backend).observe(values, cells, torch.tensor([math.nan, math.nan, math.inf]), 0.5)
    assert values.tolist() == [0.5, 0.0, math.inf]


@pytest.mark.parametrize("threshold", [0.0, 0.5, 2.0, -2.0])
def test_bits_are_the_reference_s(threshold: float):
    values = torch.rand(8 * 37, generator=torch.Generator().manual_seed(0)).round(decimals=1)
    values[::5] = -1.0
    assert torch.equal(load("numba").pack(values, threshold), reference.pack(values, threshold))


@on_cpu_backends
def test_the_first_cell_is_the_lowest_bit_and_the_threshold_itself_is_empty(backend: str):
    values = torch.zeros(16)
    values[[0, 3, 15]] = torch.tensor([2.0, 1.0, 2.0])
    assert load(backend).pack(values, 1.0).tolist() == [1, 128]


@pytest.mark.parametrize("cascades", [1, 3])
def test_cells_are_the_reference_s(cascades: int):
    """Inside, outside, on the faces between cells, and no samples at all."""
    extent = float(1 << (cascades - 1))
    generator = torch.Generator().manual_seed(0)
    anywhere = (torch.rand(2000, 3, generator=generator) - 0.5) * 1.2 * extent + 0.5
    faces = torch.randint(0, 17, (500, 3), generator=generator) / 16.0 * extent + 0.5 - 0.5 * extent
    for positions in (anywhere, faces, anywhere[:0]):
        found = load("numba").cells_of(positions, 16, cascades)
        assert torch.equal(found, reference.cells_of(positions, 16, cascades))


@pytest.mark.parametrize("share", [0.0, 0.003, 0.2, 1.0])
@pytest.mark.parametrize("cascades", [1, 2])
def test_cells_spread_as_the_reference_s_do(cascades: int, share: float):
    generator = torch.Generator().manual_seed(1)
    bits, strong = (
        reference.pack((torch.rand(cascades * 16**3, generator=generator) < chance).float(), 0.5)
        for chance in (0.05, share)
    )
    found, truth = bits.clone(), bits.clone()
    load("numba").spread(found, strong, 16)
    reference.spread(truth, strong, 16)
    assert torch.equal(found, truth)


@on_cpu_backends
@pytest.mark.parametrize("cell", [(0, 0, 0), (15, 15, 15), (3, 7, 8), (15, 0, 7)])
def test_a_cell_spreads_to_those_that_share_a_face_with_it(backend: str, cell: tuple[int, int, int]):
    """And to no other grid: the last cell of one and the first of the next one are no neighbours."""
    values = torch.zeros(2, 16, 16, 16)
    values[0][cell] = 1.0
    bits = torch.zeros(2 * 16**3 // 8, dtype=torch.uint8)
    load(backend).spread(bits, reference.pack(values.view(-1), 0.5), 16)
    set_cells = ((bits[:, None] >> torch.arange(8, dtype=torch.uint8)) & 1).view(2, 16, 16, 16).nonzero().tolist()
    steps = [[(axis == k and sign) or 0 for k in range(3)] for axis in range(3) for sign in (-1, 1)]
    around = [[0, *(c + s for c, s in zip(cell, step))] for step in steps]
    assert set_cells == sorted(place for place in around if all(0 <= c < 16 for c in place[1:]))
