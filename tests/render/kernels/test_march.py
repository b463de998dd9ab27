"""Every backend of the march finds the samples that testing all candidates finds."""

import importlib
import math
from types import ModuleType

import pytest
import torch
from torch import Tensor

from neufield.render.kernels import march_reference as reference
from neufield.render.kernels.march_reference import box_interval
from neufield.render.samples import Rays, Round, Samples, Stepping

CPU_BACKENDS = ("reference", "numba")
RESOLUTION = 32
ALL = 1 << 14
OCCUPANCIES = ("full", "empty", "random", "sparse", "one cell")  # sparse: whole blocks of cells are empty
on_cpu_backends = pytest.mark.parametrize("backend", CPU_BACKENDS)


def load(backend: str) -> ModuleType:
    return importlib.import_module(f"neufield.render.kernels.march_{backend}")


def make_stepping(kind: str, extent: int) -> Stepping:
    """Curves whose pieces all lie within the box."""
    if kind == "even":
        return Stepping(0.01 * extent)
    if kind == "1/256":
        return Stepping(0.004 * extent, 1 / 256)
    return Stepping(0.003 * extent, 1 / 64, 0.012 * extent)


def make_bits(kind: str, extent: int) -> Tensor:
    cells = extent.bit_length() * RESOLUTION**3
    if kind == "one cell":
        bits = torch.zeros(cells // 8, dtype=torch.uint8)
        bits[((8 * RESOLUTION + 8) * RESOLUTION + 8) // 8] = 1
        return bits
    if kind in ("random", "sparse"):
        generator = torch.Generator().manual_seed(extent)
        share = 0.15 if kind == "random" else 0.004
        return (torch.rand(cells // 8, 8, generator=generator) < share).long().matmul(2 ** torch.arange(8)).byte()
    return torch.full((cells // 8,), 255 if kind == "full" else 0, dtype=torch.uint8)


def make_rays(extent: int, dtype: torch.dtype = torch.float32) -> Rays:
    """Rays from inside and outside; along axes; through corners of cells; nearly along an axis; that miss the box."""
    generator = torch.Generator().manual_seed(1)
    inside = (torch.rand(30, 3, generator=generator) - 0.5) * extent + 0.5
    around = torch.nn.functional.normalize(torch.randn(30, 3, generator=generator), dim=1) * 1.5 * extent + 0.5
    axes = torch.cat([torch.eye(3), -torch.eye(3)])
    corner = torch.full((6, 3), 0.5) + 2.0 / RESOLUTION
    nearly = torch.tensor([[1.0, s * 10.0**-k, -s * 10.0 ** -(k - 1)] for k in range(2, 9) for s in (1.0, -1.0)])
    diagonal = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [0.0, 1.0, 1.0], [-1.0, 1.0, 1.0]])
    pairs = [
        (inside, torch.randn(30, 3, generator=generator)),
        (around, inside - around),
        (inside[:6], axes),
        (corner, axes),
        (inside[:6] - 3.0 * extent * axes, axes),
        (corner[:4], diagonal),
        (corner[:4] - 2.0 * extent * diagonal, diagonal),
        (inside[:14], nearly),
        (0.5 - 1.1 * extent * nearly, nearly),
        (around[:5], around[:5] - 0.5),
    ]
    origins, directions = (torch.cat(column).to(dtype) for column in zip(*pairs))
    return Rays(origins, torch.nn.functional.normalize(directions, dim=1))


def march(
    backend: str,
    rays: Rays,
    bits: Tensor,
    extent: int,
    stepping: Stepping,
    *,
    limit: int = ALL,
    reached: Tensor | None = None,
    alive: Tensor | None = None,
) -> Samples:
    enter, leave = box_interval(rays, float(extent))
    reached = torch.zeros(len(rays), dtype=torch.long) if reached is None else reached
    alive = torch.arange(len(rays)) if alive is None else alive
    places, cascades = stepping.place(enter), extent.bit_length()
    kernel = load(backend)
    room = kernel.survey(bits, RESOLUTION, cascades)
    return kernel.advance(rays, alive, places, leave, reached, bits, RESOLUTION, cascades, room, stepping, limit)


def assert_same(found: Samples, truth: Samples) -> None:
    for name in ("t_starts", "t_ends", "ray_indices", "ray_starts", "positions"):
        assert torch.equal(getattr(found, name), getattr(truth, name)), name


@pytest.mark.parametrize("jittered", [False, True])
@pytest.mark.parametrize("near", [0.0, 0.3])
@pytest.mark.parametrize("curve", ["even", "1/256", "three pieces"])
@pytest.mark.parametrize("extent", [1, 4])
def test_rays_enter_the_box_where_the_reference_s_do(extent: int, curve: str, near: float, jittered: bool):
    rays, stepping = make_rays(extent), make_stepping(curve, extent)
    jitter = torch.rand(len(rays), generator=torch.Generator().manual_seed(5)) if jittered else None
    (places, leave), (true_places, true_leave) = (
        load(backend).enter(rays, float(extent), stepping, near, jitter) for backend in CPU_BACKENDS
    )
    assert torch.equal(leave, true_leave)
    torch.testing.assert_close(places, true_places, rtol=2e-7, atol=0.0)
    assert (leave == 0.0).any()
    assert (leave > near).any()


@on_cpu_backends
def test_no_rays_enter_no_box(backend: str):
    none = Rays(torch.zeros(0, 3), torch.zeros(0, 3))
    assert [len(found) for found in load(backend).enter(none, 1.0, Stepping(0.01), 0.0, None)] == [0, 0]


@pytest.mark.parametrize("extent", [1, 4, 16])
@pytest.mark.parametrize("occupancy", OCCUPANCIES)
def test_even_samples_are_the_reference_s_bit_for_bit(extent: int, occupancy: str):
    arguments = make_rays(extent), make_bits(occupancy, extent), extent, make_stepping("even", extent)
    found, truth = march("numba", *arguments), march("reference", *arguments)
    assert_same(found, truth)
    assert len(truth) or occupancy in ("empty", "one cell")


@pytest.mark.parametrize("extent", [1, 4, 16])
@pytest.mark.parametrize("occupancy", OCCUPANCIES)
@pytest.mark.parametrize("curve", ["1/256", "three pieces"])
def test_growing_samples_are_the_reference_s(extent: int, occupancy: str, curve: str):
    """But for those on a face between two cells: exponentials differ in the last bit, and rounding decides the cell."""
    rays, stepping = make_rays(extent), make_stepping(curve, extent)
    arguments = rays, make_bits(occupancy, extent), extent, stepping
    found, truth = (by_candidate(march(backend, *arguments), rays, extent, stepping) for backend in CPU_BACKENDS)
    for key in found.keys() & truth.keys():
        assert found[key] == pytest.approx(truth[key], rel=1e-5, abs=1e-5 * extent)
    for key in found.keys() ^ truth.keys():
        position = (found | truth)[key][2:]
        side = 2.0 ** max(0, math.ceil(math.log2(2.0 * max(abs(p - 0.5) for p in position) + 1e-5)))
        scaled = [((p - 0.5) / side + 0.5) * RESOLUTION for p in position]
        assert min(abs(p - round(p)) for p in scaled) < 1e-5 * RESOLUTION
    assert len(found.keys() ^ truth.keys()) <= 0.05 * len(truth)


def by_candidate(samples: Samples, rays: Rays, extent: int, stepping: Stepping) -> dict[tuple[int, int], list[float]]:
    """Start, end and position of every sample, by its ray and its number among the ray's candidates."""
    places = stepping.place(box_interval(rays, float(extent))[0].double())
    number = (stepping.place(samples.t_starts.double()) - places[samples.ray_indices]).round().long()
    keys = zip(samples.ray_indices.tolist(), number.tolist())
    rows = torch.cat([samples.t_starts[:, None], samples.t_ends[:, None], samples.positions], dim=1)
    found = dict(zip(keys, rows.tolist()))
    assert len(found) == len(samples)
    return found


def test_leaping_over_empty_cells_misses_nothing():
    """Rays almost within a cell's face, where rounding decides which cell a candidate is in."""
    generator = torch.Generator().manual_seed(0)
    count = 500
    slopes = torch.pow(10.0, -8.0 * torch.rand(count, 2, generator=generator)) * torch.tensor([1.0, -1.0])
    directions = torch.nn.functional.normalize(torch.cat([torch.ones(count, 1), slopes], dim=1), dim=1)
    faces = torch.randint(0, RESOLUTION + 1, (count, 3), generator=generator) / RESOLUTION
    origins = faces - directions * torch.rand(count, 1, generator=generator)
    rays, bits, stepping = Rays(origins, directions), make_bits("random", 1), Stepping(0.005)
    assert_same(march("numba", rays, bits, 1, stepping), march("reference", rays, bits, 1, stepping))


def test_the_reference_is_plain_counting():
    """In float64 against loops in Python: no torch, no vectors, another way to find the cell."""
    extent, stepping = 4, Stepping(0.05)
    rays, bits = make_rays(extent, torch.float64), make_bits("random", extent)
    enter, leave = box_interval(rays, float(extent))
    found = march("reference", rays, bits, extent, stepping)
    for ray in range(0, len(rays), 3):
        expected: list[float] = []
        place, k = enter[ray].item() / 0.05, 0
        while (t := (place + k + 0.5) * 0.05) < leave[ray].item():
            position = [o + d * t for o, d in zip(rays.origins[ray].tolist(), rays.directions[ray].tolist())]
            side, cascade = 1, 0
            while any(abs(p - 0.5) >= 0.5 * side for p in position) and side < extent:
                side, cascade = 2 * side, cascade + 1
            cell = [math.floor((p - (0.5 - 0.5 * side)) * RESOLUTION / side) for p in position]
            if all(0 <= c < RESOLUTION for c in cell):
                index = cascade * RESOLUTION**3 + (cell[0] * RESOLUTION + cell[1]) * RESOLUTION + cell[2]
                if bits[index // 8].item() >> (index % 8) & 1:
                    expected.append((place + k) * 0.05)
            k += 1
        mine = found.t_starts[found.ray_starts[ray] : found.ray_starts[ray + 1]]
        torch.testing.assert_close(mine, torch.tensor(expected, dtype=torch.float64))


@on_cpu_backends
@pytest.mark.parametrize("limit", [1, 7])
@pytest.mark.parametrize("curve", ["even", "three pieces"])
def test_rounds_go_on_where_the_last_one_stopped(backend: str, limit: int, curve: str):
    extent = 4
    arguments = make_rays(extent), make_bits("random", extent), extent, make_stepping(curve, extent)
    whole = march(backend, *arguments)
    reached, alive, rounds = torch.zeros(len(arguments[0]), dtype=torch.long), torch.arange(len(arguments[0])), []
    while len(alive):
        part = march(backend, *arguments, limit=limit, reached=reached, alive=alive)
        assert part.ray_starts.diff().max().item() <= limit
        rounds.append(part)
        alive = alive[part.ray_starts.diff() == limit]
    everything = [Round(part, torch.ones(len(part), dtype=torch.bool), None) for part in rounds]
    assert_same(load(backend).merge(everything, len(arguments[0])), whole)


@pytest.mark.parametrize("limit", [1, 7])
@pytest.mark.parametrize("curve", ["even", "1/256"])
def test_more_rays_than_walk_together_change_nothing(limit: int, curve: str):
    """Rays take their lanes one after the other, in any order, each from where it had come."""
    few, extent = make_rays(4), 4
    many = Rays(few.origins.repeat(8, 1), few.directions.repeat(8, 1))
    arguments = make_bits("random", extent), extent, make_stepping(curve, extent)
    order = torch.randperm(len(many), generator=torch.Generator().manual_seed(0))
    reached, alone = torch.zeros(len(many), dtype=torch.long), torch.zeros(len(few), dtype=torch.long)
    for _ in range(3):
        found = march("numba", many, *arguments, limit=limit, reached=reached, alive=order)
        truth = march("numba", few, *arguments, limit=limit, reached=alone, alive=torch.arange(len(few)))
        for slot in range(0, len(many), 5):
            mine = slice(int(found.ray_starts[slot]), int(found.ray_starts[slot + 1]))
            ray = int(order[slot]) % len(few)
            same = slice(int(truth.ray_starts[ray]), int(truth.ray_starts[ray + 1]))
            assert torch.equal(found.positions[mine], truth.positions[same])
            assert torch.equal(found.t_starts[mine], truth.t_starts[same])
        assert torch.equal(reached, alone.repeat(8))


@on_cpu_backends
def test_samples_are_ordered_and_positions_are_their_middles(backend: str):
    rays, stepping = make_rays(4), make_stepping("even", 4)
    samples = march(backend, rays, make_bits("full", 4), 4, stepping)
    owner = samples.ray_indices
    assert (owner.diff() >= 0).all()
    same_ray = owner[1:] == owner[:-1]
    assert (samples.t_starts[1:] >= samples.t_ends[:-1] - 1e-6)[same_ray].all()
    assert torch.equal(samples.ray_starts.diff(), torch.bincount(owner, minlength=len(rays)))
    middle = rays.origins[owner] + rays.directions[owner] * (0.5 * (samples.t_starts + samples.t_ends))[:, None]
    torch.testing.assert_close(samples.positions, middle, rtol=1e-5, atol=1e-5)
    assert (samples.positions - 0.5).abs().max().item() < 2.0 + 1e-5


@on_cpu_backends
def test_full_occupancy_covers_the_whole_way_through_the_box(backend: str):
    rays, stepping = make_rays(1), make_stepping("even", 1)
    enter, leave = box_interval(rays, 1.0)
    samples = march(backend, rays, make_bits("full", 1), 1, stepping)
    covered = torch.zeros(len(rays)).index_add(0, samples.ray_indices, samples.t_ends - samples.t_starts)
    torch.testing.assert_close(covered, leave - enter, rtol=0.0, atol=0.6 * stepping.smallest)


@on_cpu_backends
def test_no_rays_and_rays_that_are_no_numbers_give_no_samples(backend: str):
    none = march(backend, Rays(torch.zeros(0, 3), torch.zeros(0, 3)), make_bits("full", 1), 1, Stepping(0.01))
    assert len(none) == 0
    assert none.ray_starts.tolist() == [0]
    origins, directions = torch.full((4, 3), 0.5), torch.tensor([[1.0, 0.0, 0.0]]).repeat(4, 1)
    origins[0, 1], directions[1, 2], origins[2, 0] = math.nan, math.nan, math.inf
    samples = march(backend, Rays(origins, directions), make_bits("full", 1), 1, Stepping(0.01))
    assert samples.ray_starts.diff().tolist() == [0, 0, 0, 50]


@on_cpu_backends
def test_a_ray_from_very_far_ends(backend: str):
    """There float32 cannot tell neighbouring samples apart; what is found still lies in the box."""
    origins, directions = torch.tensor([[-1e6, 0.5, 0.5]]), torch.tensor([[1.0, 0.0, 0.0]])
    samples = march(backend, Rays(origins, directions), make_bits("full", 1), 1, Stepping(0.01))
    assert len(samples) <= 200
    assert (samples.positions - 0.5).abs().max().item() <= 0.5


@on_cpu_backends
@pytest.mark.parametrize("width", [None, 0, 5])
def test_merging_keeps_what_is_to_be_kept_with_its_features(backend: str, width: int | None):
    rays, bits, stepping = make_rays(4), make_bits("random", 4), make_stepping("even", 4)
    reached, alive, rounds = torch.zeros(len(rays), dtype=torch.long), torch.arange(len(rays)), []
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        part = march(backend, rays, bits, 4, stepping, limit=4, reached=reached, alive=alive)
        features = None if width is None else torch.rand(width, len(part), generator=generator).T
        rounds.append(Round(part, torch.rand(len(part), generator=generator) < 0.4, features))
        alive = alive[part.ray_starts.diff() == 4]
    found = load(backend).merge(rounds, len(rays))
    expected = [
        (int(part.ray_indices[i]), at, i)
        for at, (part, keep, _) in enumerate(rounds)
        for i in keep.nonzero()[:, 0].tolist()
    ]
    assert len(found) == len(expected)
    assert torch.equal(found.ray_starts.diff(), torch.bincount(found.ray_indices, minlength=len(rays)))
    for k, (ray, at, i) in enumerate(sorted(expected)):
        samples, _, features = rounds[at]
        assert found.ray_indices[k] == ray
        for name in ("t_starts", "t_ends", "positions"):
            assert torch.equal(getattr(found, name)[k], getattr(samples, name)[i])
        if features is not None:
            assert torch.equal(found.features[k], features[i])
    assert (found.features is None) == (width is None)


def test_samples_repeat_on_any_number_of_threads(on_one_and_two_threads):
    arguments = make_rays(4), make_bits("random", 4), 4, make_stepping("three pieces", 4)
    alone, together = on_one_and_two_threads(lambda: march("numba", *arguments))
    assert_same(together, alone)


def test_a_position_on_the_border_of_the_inner_cube_belongs_to_the_next():
    positions = torch.tensor(
        [[0.999, 0.5, 0.5], [1.0, 0.5, 0.5], [0.0, 0.5, 0.5], [2.5, 0.5, 0.5], [math.nan, 0.5, 0.5]]
    )
    cell, inside = reference.cells(positions, RESOLUTION, 3)
    assert (cell // RESOLUTION**3).tolist()[:3] == [0, 1, 1]
    assert inside.tolist() == [True, True, True, False, False]
    assert ((cell >= 0) & (cell < 3 * RESOLUTION**3)).all()


@pytest.mark.parametrize("cascades", [1, 3])
@pytest.mark.parametrize("occupancy", ["empty", "one cell", "full"])
def test_the_survey_is_the_distance_to_the_nearest_occupied_block(occupancy: str, cascades: int):
    bits = make_bits(occupancy, 1 << (cascades - 1))
    room = load("numba").survey(bits, RESOLUTION, cascades)
    cells = (bits[:, None] >> torch.arange(8)).bool().view(cascades, RESOLUTION, RESOLUTION, RESOLUTION)
    for cascade, part in enumerate(cells):
        blocks = part.view(8, 4, 8, 4, 4, 8).any(5).any(3).any(1)
        if cascade:
            blocks[2:6, 2:6, 1:3] = True
        places = torch.cartesian_prod(torch.arange(8), torch.arange(8), torch.arange(4))
        distance = torch.full((len(places),), 255)
        if blocks.any():
            distance = (places[:, None] - blocks.nonzero()).abs().amax(2).amin(1)
        if cascade < cascades - 1:
            edge = torch.minimum(places + 1, torch.tensor([8, 8, 4]) - places).amin(1)
            distance = torch.minimum(distance, edge)
        assert torch.equal(room[cascade].view(-1).long(), distance)


@on_cpu_backends
def test_rays_that_are_no_numbers_enter_no_box_and_end(backend: str):
    rays = make_rays(1)
    for origins, directions in ((rays.origins * math.nan, rays.directions), (rays.origins, rays.directions * math.nan)):
        broken = Rays(origins, directions)
        places, leave = load(backend).enter(broken, 1.0, Stepping(0.01), 0.0, None)
        assert not (leave > 0.0).any()
        reached, bits = torch.zeros(len(broken), dtype=torch.long), make_bits("full", 1)
        room = load(backend).survey(bits, RESOLUTION, 1)
        alive = torch.arange(len(broken))
        found = load(backend).advance(
            broken, alive, places, leave, reached, bits, RESOLUTION, 1, room, Stepping(0.01), 8
        )
        assert len(found) == 0


def test_a_jitter_of_another_length_is_refused():
    with pytest.raises(ValueError, match="Every ray needs its own jitter: found 3 for"):
        load("numba").enter(make_rays(1), 1.0, Stepping(0.01), 0.0, torch.rand(3))


@pytest.mark.parametrize("count", [0, 1, 500])
def test_rays_that_go_on_are_the_reference_s(count: int):
    generator = torch.Generator().manual_seed(count)
    starts = torch.cat([torch.zeros(1, dtype=torch.long), torch.randint(0, 4, (count,), generator=generator).cumsum(0)])
    light = torch.rand(count, generator=generator).round(decimals=1)
    found, truth = (load(backend).going_on(starts, 3, light, 0.5) for backend in CPU_BACKENDS)
    assert torch.equal(found, truth)
    assert count < 2 or 0 < len(found) < count
