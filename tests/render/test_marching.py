"""From rays to the samples that matter: exactly those that a dense computation keeps."""

import math

import pytest
import torch
from torch import Tensor

from neufield.render import Marcher, OccupancyGrid, Rays, Samples, Stepping, Thinning, visible_samples
from neufield.render.kernels.march_reference import box_interval

on_cpu_backends = pytest.mark.parametrize("backend", ["reference", "numba"])
STEPPINGS = {"even": Stepping(0.02), "growing": Stepping(0.01, 1 / 32)}
on_steppings = pytest.mark.parametrize("stepping", STEPPINGS.values(), ids=list(STEPPINGS))


def make_rays(count: int = 60) -> Rays:
    """From around the box of side 2 into it, and from within."""
    generator = torch.Generator().manual_seed(count)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 2.5 + 0.5
    origins[::4] = torch.rand(len(origins[::4]), 3, generator=generator)
    targets = torch.rand(count, 3, generator=generator)
    return Rays(origins, torch.nn.functional.normalize(targets - origins, dim=1))


def make_occupancy() -> OccupancyGrid:
    """Half of the cells."""
    grid = OccupancyGrid(extent=2, smallest_step=0.01, resolution=8)
    generator = torch.Generator().manual_seed(2)
    grid.bits.copy_(torch.randint(0, 256, grid.bits.shape, generator=generator, dtype=torch.uint8))
    return grid


def cloud(positions: Tensor) -> Tensor:
    """A smooth density, opaque in places."""
    return 20.0 * torch.exp(3.0 * torch.sin(7.0 * positions).sum(dim=1) - 3.0)


def all_samples(rays: Rays, stepping: Stepping, backend: str = "reference", **options: float) -> Samples:
    marcher = Marcher(rays, make_occupancy(), stepping, backend=backend, **options)
    return marcher.advance(torch.arange(len(rays)), 4000)


@on_cpu_backends
@on_steppings
@pytest.mark.parametrize(
    "thinning",
    [
        Thinning(),
        Thinning(1e-12, 1e-12),
        Thinning(0.01, 0.2),
        Thinning(0.0, 0.5, first_round=1),
        Thinning(1e-3, 1e-3, 500),
    ],
)
def test_what_is_kept_is_what_a_dense_computation_keeps(backend: str, stepping: Stepping, thinning: Thinning):
    rays = make_rays()
    dense = all_samples(rays, stepping, backend)
    kept = torch.zeros(len(dense), dtype=torch.bool)
    for ray in range(len(rays)):
        transmittance = 1.0
        for i in range(int(dense.ray_starts[ray]), int(dense.ray_starts[ray + 1])):
            length = (dense.t_ends[i] - dense.t_starts[i]).double()
            passed = math.exp(-float(cloud(dense.positions[i : i + 1]).double() * length))
            weight = transmittance * (1.0 - passed)
            kept[i] = weight > thinning.least_weight and transmittance > thinning.least_transmittance
            transmittance *= passed
    marcher = Marcher(rays, make_occupancy(), stepping, backend=backend)
    found, evaluated = visible_samples(marcher, cloud, thinning, backend=backend)
    for name in ("t_starts", "t_ends", "ray_indices", "positions"):
        assert torch.equal(getattr(found, name), getattr(dense, name)[kept])
    assert torch.equal(found.ray_starts.diff(), torch.bincount(found.ray_indices, minlength=len(rays)))
    assert evaluated <= len(dense)


@on_cpu_backends
def test_rays_that_have_become_opaque_are_followed_no_further(backend: str):
    rays, told = make_rays(), []
    marcher = Marcher(rays, make_occupancy(), STEPPINGS["even"], backend=backend)
    _, evaluated = visible_samples(
        marcher,
        lambda positions: torch.full((len(positions),), 1e4),
        Thinning(first_round=2),
        on_density=lambda positions, density: told.append((len(positions), len(density))),
        backend=backend,
    )
    assert evaluated <= 2 * len(rays)
    assert told == [(evaluated, evaluated)]


@on_cpu_backends
@pytest.mark.parametrize("count", [0, 3])
def test_nothing_occupied_gives_no_samples_and_asks_for_no_density(backend: str, count: int):
    grid = OccupancyGrid(extent=1, smallest_step=0.01, resolution=8)
    grid.bits.zero_()
    rays = make_rays(8)
    rays = Rays(rays.origins[:count], rays.directions[:count])

    def refuse(positions: Tensor) -> Tensor:
        raise AssertionError(positions)

    found, evaluated = visible_samples(Marcher(rays, grid, Stepping(0.01), backend=backend), refuse, Thinning())
    assert (len(found), evaluated) == (0, 0)
    assert found.positions.shape == (0, 3)
    assert found.ray_starts.tolist() == [0] * (count + 1)


@on_cpu_backends
def test_strided_and_differentiable_rays_are_marched_as_any_other(backend: str):
    """Cameras whose poses are refined give such rays; samples carry no gradient."""
    rays = make_rays()
    origins = rays.origins[:1].expand(len(rays), 3)
    directions = rays.directions.T.contiguous().T.requires_grad_()
    found = all_samples(Rays(origins, directions), STEPPINGS["even"], backend)
    truth = all_samples(Rays(origins.contiguous(), rays.directions.contiguous()), STEPPINGS["even"], backend)
    assert torch.equal(found.positions, truth.positions)
    assert not found.positions.requires_grad


def test_rays_in_float64_are_marched_by_the_reference():
    rays = make_rays()
    rays = Rays(rays.origins.double(), rays.directions.double())
    found, _ = visible_samples(Marcher(rays, make_occupancy(), STEPPINGS["even"]), cloud, Thinning())
    assert len(found)
    assert found.positions.dtype == found.t_ends.dtype == torch.float64


@on_cpu_backends
def test_no_sample_lies_nearer_than_near(backend: str):
    jitter = torch.rand(60, generator=torch.Generator().manual_seed(0))
    marcher = Marcher(make_rays(), make_occupancy(), STEPPINGS["even"], near=0.7, jitter=jitter, backend=backend)
    samples = marcher.advance(torch.arange(60), 4000)
    assert len(samples)
    assert (0.5 * (samples.t_starts + samples.t_ends)).min().item() > 0.7 - 1e-6


@on_steppings
def test_jitter_moves_samples_by_its_share_of_a_sample(stepping: Stepping):
    rays, full = make_rays(), OccupancyGrid(extent=2, smallest_step=0.01, resolution=8)
    jitter = torch.linspace(0.0, 0.99, len(rays))
    places = {}
    for name, value in (("none", None), ("half", torch.full_like(jitter, 0.5)), ("some", jitter)):
        marcher = Marcher(rays, full, stepping, near=0.1, jitter=value)
        places[name] = stepping.place(marcher.advance(torch.arange(len(rays)), 1).t_starts)
    torch.testing.assert_close(places["none"], places["half"])
    torch.testing.assert_close(places["some"] - places["none"], jitter - 0.5, rtol=0.0, atol=1e-3)


def test_the_box_is_entered_and_left_where_geometry_says():
    diagonal = math.sqrt(3.0)
    cases = [
        ((-1.0, 0.5, 0.5), (1.0, 0.0, 0.0), (1.0, 2.0)),
        ((0.25, 0.5, 0.5), (-1.0, 0.0, 0.0), (0.0, 0.25)),
        ((0.5, 0.5, 3.0), (0.0, -0.0, -1.0), (2.0, 3.0)),
        ((0.0, 0.0, 0.0), (1 / diagonal,) * 3, (0.0, diagonal)),
        ((-1.0, 0.5, 0.5), (-1.0, 0.0, 0.0), (0.0, 0.0)),
        ((-1.0, 1.5, 0.5), (1.0, 0.0, 0.0), (0.0, 0.0)),
    ]
    origins, directions, expected = (torch.tensor(column) for column in zip(*cases))
    found = torch.stack(box_interval(Rays(origins, directions), 1.0), dim=1)
    torch.testing.assert_close(found, expected)
    scaled = torch.stack(box_interval(Rays((origins - 0.5) * 8 + 0.5, directions), 8.0), dim=1)
    torch.testing.assert_close(scaled, 8.0 * expected)


def test_a_round_without_samples_is_refused():
    with pytest.raises(ValueError, match="at least one sample per ray, got first_round=0"):
        Thinning(first_round=0)
