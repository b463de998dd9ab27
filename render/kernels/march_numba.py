"""Rays through the occupancy grid on the CPU: vectors of rays that leap over empty cells together."""

import math
from dataclasses import replace

import numpy as np
import torch
from numba import prange
from torch import Tensor

from ...fields.kernels.numba_runtime import CHUNKS, exact, exact_parallel
from ...fields.kernels.numba_runtime import supports as supports
from ...fields.kernels.vector_code import LANES
from ..samples import Rays, Round, Samples, Stepping
from .vector_march import DIRECTION, END, HIT, ORIGIN, PLACE, STATE_ROWS, T_END, look

# No kernel here is compiled with fastmath: a fused multiply-add would put a sample into another cell than the reference
# does.


def enter(rays: Rays, extent: float, stepping: Stepping, near: float, jitter: Tensor | None) -> tuple[Tensor, Tensor]:
    """Where candidate 0 of every ray begins, and where the ray leaves the box; see the reference."""
    if jitter is not None and len(jitter) != len(rays):
        raise ValueError(f"Every ray needs its own jitter: found {len(jitter)} for {len(rays)} rays.")
    out = np.empty((2, len(rays)), np.float32)
    shifts = jitter.numpy() if jitter is not None else np.full(len(rays), 0.5, np.float32)
    curve = np.array([stepping.smallest, stepping.cone_angle, stepping.largest])
    _enter_box(rays.origins.numpy(), rays.directions.numpy(), np.float32(extent), curve, np.float32(near), shifts, out)
    return torch.from_numpy(out[0]), torch.from_numpy(out[1])


def advance(
    rays: Rays,
    alive: Tensor,
    places: Tensor,
    t_ends: Tensor,
    reached: Tensor,
    bits: Tensor,
    resolution: int,
    cascades: int,
    room: Tensor,
    stepping: Stepping,
    limit: int,
) -> Samples:
    """Takes the next `limit` occupied candidates of every living ray; see the reference."""
    origins, directions = rays.origins.numpy(), rays.directions.numpy()
    living, begin = alive.numpy(), places.numpy()
    curve = _curve_of(stepping)
    found = np.empty((len(living), limit), np.int32)
    starts = np.zeros(len(living) + 1, np.int64)
    _collect(
        origins,
        directions,
        living,
        begin,
        t_ends.numpy(),
        reached.numpy(),
        bits.numpy(),
        room.numpy() if room.numel() else np.zeros(1, np.uint8),
        room.numel() > 0,
        resolution,
        cascades,
        curve,
        found,
        starts,
    )
    np.cumsum(starts, out=starts)
    count = int(starts[-1])
    spans = np.empty((2, count), np.float32)
    indices = np.empty(count, np.int64)
    positions = np.empty((count, 3), np.float32)
    _write(origins, directions, living, begin, curve, found, starts, spans, indices, positions)
    return Samples(*(torch.from_numpy(array) for array in (spans[0], spans[1], indices, starts, positions)))


def going_on(ray_starts: Tensor, limit: int, transmittance: Tensor, least: float) -> Tensor:
    """The rays that found `limit` samples and are not opaque; see the reference."""
    found = np.empty(len(transmittance), np.int64)
    count = _going_on(ray_starts.numpy(), limit, transmittance.numpy(), np.float32(least), found)
    return torch.from_numpy(found[:count])


def merge(rounds: list[Round], rays: int) -> Samples:
    """The samples that were kept, sorted by ray; see the reference."""
    starts = np.zeros(rays + 1, np.int64)
    arrays = [_round_arrays(found) for found in rounds]
    for keep, ray_starts, owner, *_ in arrays:
        _count_kept(keep, ray_starts, owner, starts)
    np.cumsum(starts, out=starts)
    place, count = starts.copy(), int(starts[-1])
    features = rounds[0].features
    if any((found.features is None) != (features is None) for found in rounds):
        raise ValueError("Either all rounds have features of their samples, or none has.")
    width = 0 if features is None else features.shape[1]
    spans, owners = np.empty((2, count), np.float32), np.empty(count, np.int64)
    positions, known = np.empty((count, 3), np.float32), np.empty((width, count), np.float32)
    for round_arrays in arrays:
        _place_kept(*round_arrays, place, spans, owners, positions, known)
    samples = Samples(*(torch.from_numpy(array) for array in (spans[0], spans[1], owners, starts, positions)))
    return samples if features is None else replace(samples, features=torch.from_numpy(known).T)


def _round_arrays(found: Round) -> tuple[np.ndarray, ...]:
    samples, features = found.samples, found.features
    rows = np.empty((0, len(samples)), np.float32) if features is None else np.ascontiguousarray(features.numpy().T)
    tensors = found.keep, samples.ray_starts, samples.ray_indices, samples.t_starts, samples.t_ends, samples.positions
    return *(tensor.numpy() for tensor in tensors), rows


def survey(bits: Tensor, resolution: int, cascades: int) -> Tensor:
    """How far around each block of 4 x 4 x 8 cells all is empty, in blocks: (cascades, n / 4, n / 4, n / 8).

    0 where a cell of the block is occupied; d where the blocks less than d away along every axis are empty, too, and
    belong to the same cascade. None at all where blocks would cross the border of the next smaller cascade.
    """
    if resolution % 32:
        return torch.zeros(0, 0, 0, 0, dtype=torch.uint8)
    room = np.empty((cascades, resolution // 4, resolution // 4, resolution // 8), np.uint8)
    _find_room(bits.numpy(), resolution, room)
    return torch.from_numpy(room)


@exact_parallel
def _find_room(bits, resolution, room):
    cascades, across, deep = room.shape[0], room.shape[1], room.shape[3]
    for cascade in prange(cascades):
        _find_empty(bits[cascade * resolution**3 >> 3 :], resolution, room[cascade])
        if cascade:  # the middle is the smaller cascades'
            room[cascade, across // 4 : -across // 4, across // 4 : -across // 4, deep // 4 : -deep // 4] = 0
        if cascade < cascades - 1:  # and what lies outside the larger ones'
            for i in range(across):
                for j in range(across):
                    for k in range(deep):
                        edge = min(i + 1, across - i, j + 1, across - j, k + 1, deep - k)
                        room[cascade, i, j, k] = min(room[cascade, i, j, k], edge)
        _spread(room[cascade], 1)
        _spread(room[cascade], -1)


@exact
def _find_empty(bits, resolution, room):
    row = resolution >> 3  # bytes per line of cells along z
    room[:] = 255
    for line in range(resolution * resolution):
        slab, j = line // resolution, line % resolution
        for k in range(row):
            if bits[line * row + k]:
                room[slab >> 2, j >> 2, k] = 0


@exact
def _spread(room, way):
    """One of the two passes of a chessboard distance transform: nowhere more than 1 above a neighbour passed before."""
    ni, nj, nk = room.shape
    for a in range(ni):
        i = a if way > 0 else ni - 1 - a
        for b in range(nj):
            j = b if way > 0 else nj - 1 - b
            for c in range(nk):
                k = c if way > 0 else nk - 1 - c
                least = room[i, j, k]
                for neighbor in range(13):  # the 13 of 26 neighbours that come earlier in this order
                    x = i + way * (neighbor // 9 - 1)
                    y = j + way * (neighbor // 3 % 3 - 1)
                    z = k + way * (neighbor % 3 - 1)
                    if 0 <= x < ni and 0 <= y < nj and 0 <= z < nk:
                        least = min(least, room[x, y, z] + (1 if room[x, y, z] < 255 else 0))
                room[i, j, k] = least


@exact_parallel
def _enter_box(origins, directions, extent, curve, near, shifts, out):
    half, zero = np.float32(0.5), np.float32(0.0)
    low, high = half - half * extent, half + half * extent
    for chunk in prange(CHUNKS):
        for ray in range(len(shifts) * chunk // CHUNKS, len(shifts) * (chunk + 1) // CHUNKS):
            t_enter, t_leave, known = np.float32(0.0), np.float32(np.inf), np.float32(0.0)
            for axis in range(3):
                direction = directions[ray, axis] if directions[ray, axis] != zero else np.float32(1e-20)
                to_low, to_high = (low - origins[ray, axis]) / direction, (high - origins[ray, axis]) / direction
                t_enter = max(t_enter, min(to_low, to_high))
                t_leave = min(t_leave, max(to_low, to_high))
                known += direction + origins[ray, axis]
            if not (t_leave > t_enter and np.isfinite(known)):  # min and max pass over NaN
                t_enter = t_leave = zero
            place = np.float32(_place(np.float64(max(t_enter, near)), curve[0], curve[1], curve[2]))
            out[0, ray] = max(place + shifts[ray] - half, zero)
            out[1, ray] = t_leave


@exact
def _place(t, smallest, cone, largest):
    """`Stepping.place` in float64."""
    if cone == 0.0 or t < smallest / cone:
        return t / smallest
    near, far = smallest / cone, largest / cone
    return 1.0 / cone + math.log(min(t, far) / near) / cone + max(t - far, 0.0) / largest


@exact
def _going_on(ray_starts, limit, transmittance, least, found):
    count = 0
    for ray in range(len(transmittance)):
        found[count] = ray
        count += ray_starts[ray + 1] - ray_starts[ray] == limit and transmittance[ray] > least
    return count


@exact_parallel
def _count_kept(keep, ray_starts, owner, starts):
    slots = len(ray_starts) - 1
    for chunk in prange(CHUNKS):
        for slot in range(slots * chunk // CHUNKS, slots * (chunk + 1) // CHUNKS):
            for i in range(ray_starts[slot], ray_starts[slot + 1]):
                starts[owner[i] + 1] += keep[i]


@exact_parallel
def _place_kept(keep, ray_starts, owner, t_starts, t_ends, positions, features, place, spans, owners, kept_at, known):
    """Copies a round's kept samples to where their rays' next ones belong, and moves `place` on."""
    slots = len(ray_starts) - 1
    for chunk in prange(CHUNKS):
        first, last = ray_starts[slots * chunk // CHUNKS], ray_starts[slots * (chunk + 1) // CHUNKS]
        source, target = np.empty(last - first, np.int64), np.empty(last - first, np.int64)
        count = 0
        for i in range(first, last):
            if keep[i]:
                to = place[owner[i]]
                place[owner[i]] = to + 1
                source[count], target[count] = i, to
                count += 1
                spans[0, to], spans[1, to], owners[to] = t_starts[i], t_ends[i], owner[i]
                for axis in range(3):
                    kept_at[to, axis] = positions[i, axis]
        for feature in range(len(features)):
            for k in range(count):
                known[feature, target[k]] = features[feature, source[k]]


def _curve_of(stepping: Stepping) -> np.ndarray:
    """What defines `Stepping.distance`: smallest, cone angle, s_near, s_far, near, far, largest."""
    smallest, cone, largest = stepping.smallest, stepping.cone_angle, stepping.largest
    near, far = (smallest / cone, largest / cone) if cone else (math.inf, math.inf)
    s_near = 1.0 / cone if cone else math.inf
    s_far = s_near + math.log(largest / smallest) / cone if cone else math.inf
    return np.array([smallest, cone, s_near, s_far, near, far, largest], np.float32)


@exact
def _distance(s, curve):
    """`Stepping.distance` in the same float32 arithmetic."""
    smallest, cone, s_near, s_far, near, _, largest = curve
    if s < s_near or cone == np.float32(0.0):
        return s * smallest
    grown = near * np.exp((min(s, s_far) - s_near) * cone)
    return grown + max(s - s_far, np.float32(0.0)) * largest


@exact
def locate(x, y, z, resolution, cascades):
    """The smallest cascade that holds a position, and its cell there; cascade -1 outside the largest."""
    half = np.float32(0.5)
    reach = max(abs(x - half), abs(y - half), abs(z - half))
    cascade, side = 0, np.float32(1.0)
    while cascade < cascades - 1 and reach >= half * side:
        cascade += 1
        side *= np.float32(2.0)
    limit = half * side
    if not (abs(x - half) < limit and abs(y - half) < limit and abs(z - half) < limit):  # NaN is nowhere
        return -1, 0, 0, 0
    shrink = np.float32(1.0) / side
    return cascade, _cell(x, shrink, resolution), _cell(y, shrink, resolution), _cell(z, shrink, resolution)


@exact
def _cell(position, shrink, resolution):
    scaled = ((position - np.float32(0.5)) * shrink + np.float32(0.5)) * np.float32(resolution)
    return min(max(int(math.floor(scaled)), 0), resolution - 1)


@exact_parallel
def _collect(
    origins,
    directions,
    alive,
    places,
    t_ends,
    reached,
    bits,
    room,
    surveyed,
    resolution,
    cascades,
    curve,
    found,
    counts,
):
    limit = found.shape[1]
    for chunk in prange(CHUNKS):
        state = np.zeros((STATE_ROWS, LANES), np.float32)
        candidate, outcome = np.zeros(LANES, np.int32), np.empty(LANES, np.int32)
        slots, taken = np.full(LANES, -1, np.int64), np.zeros(LANES, np.int64)
        following, last = len(alive) * chunk // CHUNKS, len(alive) * (chunk + 1) // CHUNKS
        outcome[:] = END
        remaining = last - following
        while remaining:
            for lane in range(LANES):
                if outcome[lane] == HIT:
                    found[slots[lane], taken[lane]] = candidate[lane]
                    taken[lane] += 1
                    candidate[lane] += 1
                    if taken[lane] < limit:
                        continue
                elif outcome[lane] != END:
                    candidate[lane] = outcome[lane]
                    continue
                # This ray takes no further part; the next one takes its lane.
                if slots[lane] >= 0:
                    reached[alive[slots[lane]]] = candidate[lane]
                    counts[slots[lane] + 1] = taken[lane]
                    remaining -= 1
                    slots[lane] = -1
                    state[T_END, lane] = 0.0
                if following < last:
                    slots[lane], taken[lane] = following, 0
                    _enter(state, lane, origins, directions, places, t_ends, alive[following])
                    candidate[lane] = reached[alive[following]]
                    following += 1
            look(state, candidate, bits, room, surveyed, resolution, cascades, curve, outcome)


@exact
def _enter(state, lane, origins, directions, places, t_ends, ray):
    for axis in range(3):
        state[ORIGIN + axis, lane] = origins[ray, axis]
        state[DIRECTION + axis, lane] = directions[ray, axis]
    state[PLACE, lane] = places[ray]
    state[T_END, lane] = t_ends[ray]


@exact_parallel
def _write(origins, directions, alive, places, curve, found, starts, spans, indices, positions):
    for chunk in prange(CHUNKS):
        for slot in range(len(alive) * chunk // CHUNKS, len(alive) * (chunk + 1) // CHUNKS):
            ray = alive[slot]
            for i in range(starts[slot], starts[slot + 1]):
                s = places[ray] + np.float32(found[slot, i - starts[slot]])
                spans[0, i] = _distance(s, curve)
                spans[1, i] = _distance(s + np.float32(1.0), curve)
                t = _distance(s + np.float32(0.5), curve)
                indices[i] = ray
                for axis in range(3):
                    positions[i, axis] = origins[ray, axis] + directions[ray, axis] * t
