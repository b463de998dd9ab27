"""Every backend of the hash grid is held to the reference, and the reference to closed forms."""

import importlib
import math
from types import ModuleType

import pytest
import torch
from torch import Tensor

from neufield.fields.kernels import hash_grid_reference as reference
from neufield.fields.kernels.hash_grid_geometry import HashGridGeometry

CPU_BACKENDS = ("reference", "numba")
GEOMETRIES = {
    "1-D, one feature": HashGridGeometry(1, 3, 1, 12, 4, 2.0),
    "2-D, odd growth": HashGridGeometry(2, 5, 2, 8, 5, 1.38),
    "3-D, dense then hashed": HashGridGeometry(3, 4, 2, 10, 4, 2.0),
    "3-D, four features": HashGridGeometry(3, 3, 4, 9, 6, 1.7),
    "3-D, eight features": HashGridGeometry(3, 2, 8, 9, 3, 2.5),
    "4-D, hashed": HashGridGeometry(4, 3, 2, 8, 3, 2.0),
    "one level, tiny table": HashGridGeometry(3, 1, 1, 3, 2, 1.0),
}
COUNTS = (0, 1, 127, 128, 129, 700)
LAYOUTS = ("rows", "columns", "every other row")
on_geometries = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=list(GEOMETRIES))
on_cpu_backends = pytest.mark.parametrize("backend", CPU_BACKENDS)


def load(backend: str) -> ModuleType:
    return importlib.import_module(f"neufield.fields.kernels.hash_grid_{backend}")


def lay_out(tensor: Tensor, layout: str) -> Tensor:
    """The same values with other strides."""
    if layout == "columns":
        return tensor.T.contiguous().T
    return tensor.repeat_interleave(2, dim=0)[::2] if layout == "every other row" else tensor


def problem(
    geometry: HashGridGeometry, count: int, layout: str = "rows", dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates, some of them outside [0, 1]; a table; a gradient."""
    generator = torch.Generator().manual_seed(count)
    x = torch.rand(count, geometry.dimensions, generator=generator, dtype=dtype) * 1.2 - 0.1
    table = torch.randn(geometry.parameters, generator=generator, dtype=dtype)
    gradient = torch.randn(count, geometry.levels * geometry.features, generator=generator, dtype=dtype)
    return lay_out(x, layout), table, lay_out(gradient, layout)


@on_geometries
@pytest.mark.parametrize("count", COUNTS)
def test_values_and_gradients_are_the_reference_s(geometry: HashGridGeometry, count: int, assert_agree):
    kernel, (x, table, gradient) = load("numba"), problem(geometry, count)
    assert_agree(kernel.forward(x, table, geometry), reference.forward(x, table, geometry))
    found = kernel.backward(x, table, gradient, geometry, for_x=True, for_table=True)
    truth = reference.backward(x, table, gradient, geometry, for_x=True, for_table=True)
    for one, other in zip(found, truth):
        assert_agree(one, other)


@pytest.mark.parametrize("layout", LAYOUTS[1:])
@pytest.mark.parametrize("count", [1, 129])
def test_strides_do_not_matter(layout: str, count: int):
    geometry, kernel = GEOMETRIES["3-D, dense then hashed"], load("numba")
    plain, strided = problem(geometry, count), problem(geometry, count, layout)
    assert torch.equal(kernel.forward(*plain[:2], geometry), kernel.forward(*strided[:2], geometry))
    for one, other in zip(
        kernel.backward(*plain, geometry, for_x=True, for_table=True),
        kernel.backward(*strided, geometry, for_x=True, for_table=True),
    ):
        assert torch.equal(one, other)


@on_cpu_backends
@pytest.mark.parametrize(("for_x", "for_table"), [(True, False), (False, True), (False, False)])
def test_only_the_gradients_asked_for_are_computed(backend: str, for_x: bool, for_table: bool):
    geometry = GEOMETRIES["2-D, odd growth"]
    found = load(backend).backward(*problem(geometry, 3), geometry, for_x=for_x, for_table=for_table)
    assert [gradient is not None for gradient in found] == [for_x, for_table]


@on_geometries
def test_the_reference_s_gradients_are_those_of_differences(geometry: HashGridGeometry):
    x, table, _ = problem(geometry, 3, dtype=torch.float64)
    arguments = (x.clamp(0.02, 0.97).requires_grad_(), table.requires_grad_())
    assert torch.autograd.gradcheck(lambda x, table: reference.encode(x, table, geometry), arguments, fast_mode=True)


def test_the_reference_s_second_derivatives_are_those_of_differences():
    geometry = HashGridGeometry(2, 2, 2, 6, 3, 2.0)
    x, table, _ = problem(geometry, 2, dtype=torch.float64)
    arguments = (x.clamp(0.02, 0.97).requires_grad_(), table.requires_grad_())
    assert torch.autograd.gradgradcheck(lambda x, table: reference.encode(x, table, geometry), arguments)


@on_cpu_backends
@pytest.mark.parametrize("dimensions", [1, 2, 3, 4])
def test_a_linear_function_is_interpolated_exactly(backend: str, dimensions: int):
    """On a dense level whose vertices hold it; slopes come out as they were put in."""
    geometry, kernel = HashGridGeometry(dimensions, 1, 1, 14, 6, 1.0), load(backend)
    resolution, scale = geometry.resolutions[0], geometry.scales[0]
    slopes = torch.arange(1.0, dimensions + 1)
    index = torch.arange(resolution**dimensions)
    vertices = torch.stack([index // resolution**d % resolution for d in range(dimensions)], dim=1)
    table = torch.zeros(geometry.parameters)
    table[: len(index)] = ((vertices - 0.5) / scale) @ slopes
    x = torch.rand(50, dimensions, generator=torch.Generator().manual_seed(0)) * (1.0 - 0.5 / scale)
    torch.testing.assert_close(kernel.forward(x, table, geometry)[:, 0], x @ slopes, rtol=1e-5, atol=1e-5)
    found, _ = kernel.backward(x, table, torch.ones(50, 1), geometry, for_x=True, for_table=False)
    torch.testing.assert_close(found, slopes.expand(50, -1), rtol=1e-4, atol=1e-4)


@on_cpu_backends
@on_geometries
def test_interpolation_weights_sum_to_one_on_every_level(backend: str, geometry: HashGridGeometry):
    x, table, _ = problem(geometry, 40)
    ones = torch.ones_like(table)
    encoded = load(backend).forward(x, ones, geometry)
    torch.testing.assert_close(encoded, torch.ones_like(encoded))
    _, gradient = load(backend).backward(x, ones, encoded, geometry, for_x=False, for_table=True)
    per_level = [
        gradient[geometry.offsets[k] * geometry.features : geometry.offsets[k + 1] * geometry.features].sum().item()
        for k in range(geometry.levels)
    ]
    assert per_level == pytest.approx([40.0 * geometry.features] * geometry.levels, rel=1e-5)


@on_cpu_backends
def test_fine_levels_are_addressed_by_the_published_hash(backend: str):
    """Xor of the vertex numbers times 1, 2654435761 and 805459861, in 32 bits, modulo the table size."""
    geometry = HashGridGeometry(3, 1, 1, 10, 700, 1.0)
    vertex, within = (600, 123, 7), (0.25, 0.5, 0.125)
    x = torch.tensor([[(v + w - 0.5) / geometry.scales[0] for v, w in zip(vertex, within)]])
    _, gradient = load(backend).backward(
        x, torch.zeros(geometry.parameters), torch.ones(1, 1), geometry, for_x=False, for_table=True
    )
    expected = torch.zeros(1 << 10)
    for corner in range(8):
        bits = [(corner >> d) & 1 for d in range(3)]
        hashes = [(v + b) * prime % 2**32 for v, b, prime in zip(vertex, bits, (1, 2654435761, 805459861))]
        weight = math.prod(w if b else 1.0 - w for w, b in zip(within, bits))
        expected[(hashes[0] ^ hashes[1] ^ hashes[2]) % 2**10] += weight
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-4)


@on_cpu_backends
@on_geometries
@pytest.mark.parametrize(
    ("bad", "counts_as"), [(-3.0, 0.0), (7.5, 1.0), (1e30, 1.0), (-math.inf, 0.0), (math.inf, 1.0), (math.nan, 0.0)]
)
def test_bad_coordinates_are_clamped_and_get_no_gradient(
    backend: str, geometry: HashGridGeometry, bad: float, counts_as: float
):
    kernel, (x, table, gradient) = load(backend), problem(geometry, 5)
    x = x.clamp(0.1, 0.9)
    clamped = x.clone()
    x[2, -1], clamped[2, -1] = bad, counts_as
    assert torch.equal(kernel.forward(x, table, geometry), kernel.forward(clamped, table, geometry))
    for_x, for_table = kernel.backward(x, table, gradient, geometry, for_x=True, for_table=True)
    clamped_for_x, clamped_for_table = kernel.backward(clamped, table, gradient, geometry, for_x=True, for_table=True)
    clamped_for_x[2, -1] = 0.0
    assert torch.equal(for_x, clamped_for_x)
    assert torch.equal(for_table, clamped_for_table)


@on_cpu_backends
def test_the_borders_belong_to_the_cube(backend: str):
    """A coordinate of exactly 0 or 1 has a gradient."""
    geometry = HashGridGeometry(2, 1, 1, 10, 5, 1.0)
    x, table = torch.tensor([[0.0, 1.0], [1.0, 0.0]]), problem(geometry, 0)[1]
    found, _ = load(backend).backward(x, table, torch.ones(2, 1), geometry, for_x=True, for_table=False)
    assert (found != 0).all()


def test_gradients_repeat_on_any_number_of_threads(on_one_and_two_threads):
    geometry = HashGridGeometry(3, 5, 2, 8, 4, 2.0)
    arguments = problem(geometry, 5000)
    alone, together = on_one_and_two_threads(
        lambda: (
            load("numba").forward(*arguments[:2], geometry),
            *load("numba").backward(*arguments, geometry, for_x=True, for_table=True),
        )
    )
    assert all(torch.equal(one, other) for one, other in zip(alone, together))


@pytest.mark.parametrize(("growth", "parameters"), [(1.38191, 12196240), (1.51572, 13074912)])
def test_the_table_is_as_long_as_tiny_cuda_nn_s(growth: float, parameters: int):
    """Which prints these for 16 levels of 2 features, tables of 2^19 and a coarsest resolution of 16."""
    assert HashGridGeometry(3, 16, 2, 19, 16, growth).parameters == parameters


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 4, 2, 10, 4, 2.0), "has 1 to 4 dimensions; 0 were asked for"),
        ((5, 4, 2, 10, 4, 2.0), "has 1 to 4 dimensions; 5 were asked for"),
        ((3, 4, 3, 10, 4, 2.0), "stores 1, 2, 4 or 8 features per level; 3 were asked for"),
        ((3, 0, 2, 10, 4, 2.0), "at least 1 level.* got levels=0, coarsest=4, growth=2.0"),
        ((3, 4, 2, 10, 1, 2.0), "a coarsest resolution of at least 2.* coarsest=1"),
        ((3, 4, 2, 10, 4, 0.5), "a growth of at least 1.* growth=0.5"),
        ((3, 4, 2, 2, 4, 2.0), r"log2_table_size must lie in 3\.\.26, got 2"),
        ((3, 4, 2, 27, 4, 2.0), r"log2_table_size must lie in 3\.\.26, got 27"),
        ((3, 31, 2, 19, 16, 2.0), r"finest of 31 grids would have 1.72e\+10 vertices per axis; at most 2\^30"),
    ],
)
def test_impossible_geometries_are_refused(arguments: tuple[int, int, int, int, int, float], message: str):
    with pytest.raises(ValueError, match=message):
        HashGridGeometry(*arguments)
