"""Rays through the occupancy grid on the CPU: one compiled loop per ray that leaps over empty cells."""

import math

import numpy as np
import torch
from numba import prange
from torch import Tensor

from ...fields.kernels.numba_runtime import CHUNKS, exact, exact_parallel
from ...fields.kernels.numba_runtime import supports as supports
from ..samples import Rays, Round, Samples, Stepping

# No kernel here is compiled with fastmath: a fused multiply-add would put a sample into another cell than the reference
# does.


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
    curve = np.array([stepping.smallest, stepping.cone_angle, stepping.largest], np.float64)
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
        room.numpy(),
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


def merge(rounds: list[Round], rays: int) -> Samples:
    """The samples that were kept, sorted by ray; see the reference."""
    starts = np.zeros(rays + 1, np.int64)
    arrays = [_round_arrays(found) for found in rounds]
    for keep, ray_starts, owner, *_ in arrays:
        _count_kept(keep, ray_starts, owner, starts)
    np.cumsum(starts, out=starts)
    place, count = starts.copy(), int(starts[-1])
    features = rounds[0].features
    width = 0 if features is None else features.shape[1]
    spans, owners = np.empty((2, count), np.float32), np.empty(count, np.int64)
    positions, known = np.empty((count, 3), np.float32), np.empty((width, count), np.float32)
    for round_arrays in arrays:
        _place_kept(*round_arrays, place, spans, owners, positions, known)
    packed = (torch.from_numpy(array) for array in (spans[0], spans[1], owners, starts, positions))
    return Samples(*packed, None if features is None else torch.from_numpy(known).T)


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


@exact
def _distance(s, curve):
    """`Stepping.distance` in the same float32 arithmetic."""
    smallest, cone = np.float32(curve[0]), curve[1]
    if cone == 0.0:
        return s * smallest
    s_near = np.float32(1.0 / cone)
    if s < s_near:
        return s * smallest
    far = np.float32(1.0 / cone + math.log(curve[2] / curve[0]) / cone)
    grown = np.float32(curve[0] / cone) * np.exp((min(s, far) - s_near) * np.float32(cone))
    return grown + max(s - far, np.float32(0.0)) * np.float32(curve[2])


@exact
def _place(t, curve):
    """`Stepping.place`; only used to leap, with a margin."""
    if curve[1] == 0.0:
        return t / curve[0]
    near, far = curve[0] / curve[1], curve[2] / curve[1]
    if t < near:
        return t / curve[0]
    return (1.0 + math.log(min(t, far) / near)) / curve[1] + max(t - far, 0.0) / curve[2]


@exact
def _exit(position, direction, low, high):
    """How far along the ray an interval of one axis is left."""
    if direction > 0.0:
        return (high - position) / direction
    if direction < 0.0:
        return (low - position) / direction
    return np.float32(np.inf)


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


_ROUNDING = np.float32(2.0**-21)  # of a position, relative to its distances


@exact_parallel
def _collect(
    origins, directions, alive, places, t_ends, reached, bits, room, resolution, cascades, curve, found, counts
):
    half = np.float32(0.5)
    for chunk in prange(CHUNKS):
        for slot in range(len(alive) * chunk // CHUNKS, len(alive) * (chunk + 1) // CHUNKS):
            ray = alive[slot]
            ox, oy, oz = origins[ray, 0], origins[ray, 1], origins[ray, 2]
            dx, dy, dz = directions[ray, 0], directions[ray, 1], directions[ray, 2]
            place, t_end = places[ray], t_ends[ray]
            candidate = reached[ray]
            taken = 0
            while taken < found.shape[1]:
                t = _distance(place + (np.float32(candidate) + half), curve)
                if not t < t_end:
                    break
                x, y, z = ox + dx * t, oy + dy * t, oz + dz * t
                cascade, i, j, k = locate(x, y, z, resolution, cascades)
                if cascade < 0:
                    candidate += 1
                    continue
                side = np.float32(1 << cascade)
                index = ((cascade * resolution + i) * resolution + j) * resolution + k
                if (bits[index >> 3] >> (index & 7)) & 1:
                    found[slot, taken] = candidate
                    taken += 1
                    candidate += 1
                    continue
                low_i, low_j, low_k, high_i, high_j, high_k = i, j, k, i + 1, j + 1, k + 1
                if room.size:
                    near = np.int64(room[cascade, i >> 2, j >> 2, k >> 3])
                    if near:
                        low_i, high_i = ((i >> 2) - near + 1) << 2, ((i >> 2) + near) << 2
                        low_j, high_j = ((j >> 2) - near + 1) << 2, ((j >> 2) + near) << 2
                        low_k, high_k = ((k >> 3) - near + 1) << 3, ((k >> 3) + near) << 3
                width = side / np.float32(resolution)
                corner = half - half * side
                # So close to a face, rounding decides in which cell a candidate lies: it is left earlier by as much.
                slack = _ROUNDING * (t + side)
                leave = min(
                    _exit(x, dx, corner + width * low_i + slack, corner + width * high_i - slack),
                    _exit(y, dy, corner + width * low_j + slack, corner + width * high_j - slack),
                    _exit(z, dz, corner + width * low_k + slack, corner + width * high_k - slack),
                )
                # Candidates whose midpoint lies surely within this emptiness are not looked at; the margin is for
                # rounding.
                leap = _place(min(t + leave, t_end), curve) - place - 0.5
                candidate = max(candidate + 1, int(math.ceil(leap - 0.01)))
            reached[ray] = candidate
            counts[slot + 1] = taken


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
