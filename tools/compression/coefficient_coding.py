"""Whole numbers on planes to bytes and back: adaptive binary arithmetic coding in integers alone, the same everywhere.

A number is coded as decisions (zero or not, more than 1, more than 2, ..., its sign). Five models guess each decision
from what lies around it and is known to the decoder: neighbours on the plane, the coarser plane of its kind, the other
planes of its scale, the channel before. Their guesses are mixed as logarithms of odds by weights that are learned on
the way (Mahoney 2005, "Adaptive Weighing of Context Models for Lossless Data Compression"), so that no tables are
stored. numba compiles the text below where it is installed; else it runs as plain Python, slowly.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Int

try:
    from ...fields.kernels.numba_runtime import exact
except ImportError:

    def exact(function: Callable[..., Any], /) -> Any:
        """Leaves a function as it is."""
        return function


PLAIN, LOW, ACROSS, DOWN, BOTH = range(5)
"""What a plane holds: numbers that have nothing to do with their neighbours, means, or details of one direction or
another."""

LARGEST = (1 << 30) - 1
"""Magnitudes up to this can be coded."""

_MARGIN = 2
_OFFSET, _HEIGHT, _WIDTH, _KIND, _CHANNEL, _LEVEL, _PARENT, _SIBLING, _OTHER_SIBLING, _BEFORE, _FIELDS = range(11)
_CHANNELS, _LEVELS, _KINDS = 4, 8, 5  # what the models tell apart; beyond that they share
_STAGES = 4  # decisions "more than 0, 1, 2, 3 or more"
_LONGEST = 20  # magnitudes from here on are escaped
_MODELS = 5
_MODEL_SLOTS = _CHANNELS * _LEVELS * _KINDS * _STAGES * 256
_LENGTHS = 32  # contexts of the number of bits of a number, and most of them
_LENGTH_SLOTS = _KINDS * _LENGTHS * _LENGTHS
_SIGN_SLOTS = _KINDS * 9
_MIXERS = _CHANNELS * _LEVELS * _STAGES
_FIRST_WEIGHT = 18_000  # of 65536: five models that agree are a little surer than each of them
_LEARNING = 10
_MOST_SEEN = 250
_LARGEST_ODDS = 2047  # logarithms of odds are counted in 256ths
_LONGEST_CODE = 512  # bytes; a number takes fewer than 90 decisions of at most four
LEAST_BITS = 5e-4
"""What a number takes at least: a decision of a probability of at most 65512 / 65536."""
BITS_AHEAD = 32
"""A decoder's register: by so many bits less than the sum of its numbers' may data have."""

_LOGISTIC = (
    # 65536 / (1 + exp(-t)) for t from -8 to 8 in halves, in full: exp differs from machine to machine.
    *(22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768, 40793, 47911),
    *(53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438, 65476, 65500, 65514),
)


@dataclass(frozen=True)
class Plane:
    """Where a plane of numbers stands among the others.

    Attributes:
        height, width: May be 0.
        kind: PLAIN, LOW, ACROSS, DOWN or BOTH.
        channel, level: The coarsest level is the highest.
    """

    height: int
    width: int
    kind: int
    channel: int = 0
    level: int = 0


def encode_planes(planes: Sequence[Plane], values: Sequence[Int[np.ndarray, "_ _"]]) -> bytes:
    """Planes of whole numbers as bytes.

    Raises:
        ValueError: A magnitude is above `LARGEST`.
    """
    table, numbers = _laid_out(planes)
    for row, part in zip(table, values, strict=True):
        if part.size and max(int(part.max()), -int(part.min())) > LARGEST:
            raise ValueError(f"Numbers of magnitudes up to {LARGEST} can be coded, got {part.min()} to {part.max()}.")
        _inner(numbers, row)[...] = part
    room = 4096 + 2 * numbers.size
    while True:
        length, data, _ = _run(np.zeros(room, np.uint8), numbers, table, decoding=False)
        if length >= 0:
            return data[:length].tobytes()
        room *= 4


def decode_planes(planes: Sequence[Plane], data: bytes) -> list[Int[np.ndarray, "_ _"]]:
    """The inverse of `encode_planes`.

    Raises:
        ValueError: The bytes end before the numbers do, or hold a magnitude above `LARGEST`: `encode_planes` did not
            write them for these planes.
    """
    count = sum(plane.height * plane.width for plane in planes)
    length = -1
    if 8 * len(data) >= LEAST_BITS * count - BITS_AHEAD:  # else no memory is taken for them
        table, numbers = _laid_out(planes)
        length, _, numbers = _run(np.frombuffer(data, np.uint8).copy(), numbers, table, decoding=True)
        if length >= 0:
            return [_inner(numbers, row).astype(np.int64) for row in table]
    raise ValueError(f"{len(data):,} bytes do not hold {count:,} numbers.")


def _laid_out(planes: Sequence[Plane]) -> tuple[Int[np.ndarray, "planes fields"], Int[np.ndarray, " n"]]:
    """What the models need to know of every plane, and room for all of them, each with a margin of zeros."""
    places = {(plane.kind, plane.channel, plane.level): i for i, plane in enumerate(planes) if plane.kind != PLAIN}
    table, offset = np.zeros((len(planes), _FIELDS), np.int64), 0
    for i, plane in enumerate(planes):
        channel, level = plane.channel, plane.level

        def known(kind: int, channel: int, level: int, *, before: int = i) -> int:
            found = places.get((kind, channel, level), -1)
            return found if found < before and found >= 0 and planes[found].height * planes[found].width else -1

        siblings = [known(kind, channel, level) for kind in (ACROSS, DOWN) if plane.kind > kind]
        siblings = [*siblings, -1, -1]
        table[i] = (
            *(offset, plane.height, plane.width, plane.kind, min(channel, _CHANNELS - 1), min(level, _LEVELS - 1)),
            *(known(plane.kind, channel, level + 1), siblings[0], siblings[1], known(plane.kind, channel - 1, level)),
        )
        offset += (plane.height + 2 * _MARGIN) * (plane.width + 2 * _MARGIN)
    return table, np.zeros(offset, np.int32)


def _inner(numbers: np.ndarray, row: np.ndarray) -> np.ndarray:
    """The view of a plane without its margin."""
    offset, height, width = (int(value) for value in row[:3])
    high, wide = height + 2 * _MARGIN, width + 2 * _MARGIN
    plane = numbers[offset : offset + high * wide].reshape(high, wide)
    return plane[_MARGIN : _MARGIN + height, _MARGIN : _MARGIN + width]


def _run(
    data: np.ndarray, numbers: np.ndarray, table: np.ndarray, *, decoding: bool
) -> tuple[int, np.ndarray, np.ndarray]:
    """Codes all planes; returns the number of bytes, -1 as `_walk` does, the bytes and the numbers."""
    probabilities = np.full(_MODELS * _MODEL_SLOTS + _LENGTH_SLOTS + _SIGN_SLOTS, 1 << 15, np.int64)
    weights = np.full(_MIXERS * _MODELS, _FIRST_WEIGHT, np.int64)
    odds, logistic = _tables()
    state = np.array([0, 0xFFFFFFFF, 0, 0], np.int64)
    scratch = np.zeros(3 * _MODELS, np.int64)
    arrays = data, numbers, table.ravel(), probabilities, np.zeros_like(probabilities), weights, odds, logistic
    arrays = *arrays, state, scratch
    if hasattr(_walk, "py_func"):
        return _walk(*arrays, decoding), data, numbers
    lists = [array.tolist() for array in arrays]
    length = _walk(*lists, decoding)
    return length, np.array(lists[0], data.dtype), np.array(lists[1], numbers.dtype)


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """Logarithms of odds of probabilities in 4096ths, and probabilities in 65536ths of logarithms of odds."""
    places = np.arange(-_LARGEST_ODDS, _LARGEST_ODDS + 1) + 2048
    knots = np.array(_LOGISTIC)
    whole, part = places // 128, places % 128
    logistic = (knots[whole] * (128 - part) + knots[np.minimum(whole + 1, len(knots) - 1)] * part) // 128
    odds = np.searchsorted(logistic, np.arange(4096) * 16 + 8).clip(0, 2 * _LARGEST_ODDS) - _LARGEST_ODDS
    return odds, logistic


@exact
def _code(data, state, probability, bit, decoding):  # pyright: ignore
    """Codes a decision whose probability of 1 is known in 65536ths: a range is cut in two, and one part kept."""
    low, high = state[0], state[1]
    span = high - low
    middle = low + (span >> 16) * probability + (((span & 0xFFFF) * probability) >> 16)
    if decoding:
        bit = 1 if state[2] <= middle else 0
    if bit:
        high = middle
    else:
        low = middle + 1
    while (low ^ high) & 0xFF000000 == 0:
        if decoding:
            following = data[state[3]] if state[3] < len(data) else 0
            state[2] = ((state[2] << 8) & 0xFFFFFFFF) | following
        else:
            data[state[3]] = high >> 24
        state[3] += 1
        low = (low << 8) & 0xFFFFFFFF
        high = ((high << 8) & 0xFFFFFFFF) | 255
    state[0], state[1] = low, high
    return bit


@exact
def _learn(probabilities, seen, slot, bit):  # pyright: ignore
    """Moves a probability towards what happened, the less the more often it was asked."""
    count = seen[slot]
    probabilities[slot] += ((65535 if bit else 0) - probabilities[slot]) * 2 // (2 * count + 3)
    if count < _MOST_SEEN:
        seen[slot] = count + 1


@exact
def _code_alone(data, state, probabilities, seen, slot, bit, decoding):  # pyright: ignore
    """Codes a decision that one model guesses."""
    bit = _code(data, state, min(max(probabilities[slot], 32), 65504), bit, decoding)
    _learn(probabilities, seen, slot, bit)
    return bit


@exact
def _code_mixed(  # pyright: ignore
    data, state, probabilities, seen, weights, odds, logistic, scratch, mixer, stage, bit, decoding
):
    """Codes a decision that five models guess; scratch has their slots of stage 0."""
    total = 0
    for k in range(_MODELS):
        slot = scratch[k] + stage * 256
        scratch[_MODELS + k] = slot
        guess = odds[probabilities[slot] >> 4]
        scratch[2 * _MODELS + k] = guess
        total += weights[mixer * _MODELS + k] * guess
    total = min(max(total >> 16, -_LARGEST_ODDS), _LARGEST_ODDS)
    probability = min(max(logistic[total + _LARGEST_ODDS], 24), 65512)
    bit = _code(data, state, probability, bit, decoding)
    error = ((bit << 16) - probability) * _LEARNING
    for k in range(_MODELS):
        weights[mixer * _MODELS + k] += (scratch[2 * _MODELS + k] * error) >> 18
        _learn(probabilities, seen, scratch[_MODELS + k], bit)
    return bit


@exact
def _code_length(data, state, probabilities, seen, first, number, signed, decoding):  # pyright: ignore
    """Codes a number as how many bits it has, guessed by a model, those bits, and its sign, if it can have one."""
    magnitude, length = abs(number), 0
    while not decoding and magnitude >> length:
        length += 1
    longer = 0
    while longer < 31 and _code_alone(
        data, state, probabilities, seen, first + longer, 1 if length > longer else 0, decoding
    ):
        longer += 1
    if longer == 0:
        return 0
    found = 1
    for place in range(longer - 2, -1, -1):
        found = 2 * found + _code(data, state, 1 << 15, (magnitude >> place) & 1, decoding)
    return -found if signed and _code(data, state, 1 << 15, 1 if number < 0 else 0, decoding) else found


@exact
def _step(total):  # pyright: ignore
    """Sums of magnitudes, the coarser the larger they are: 0 to 15."""
    if total < 5:
        return total
    step = 5
    limit = 7
    while step < 15 and total >= limit:
        step += 1
        limit += limit >> 1 if step & 1 else limit // 3
    return step


@exact
def _around(numbers, center, wide):  # pyright: ignore
    """Twice a number's magnitude and those of its four neighbours, all of a plane that is known."""
    sides = abs(numbers[center - 1]) + abs(numbers[center + 1])
    return 2 * abs(numbers[center]) + sides + abs(numbers[center - wide]) + abs(numbers[center + wide])


@exact
def _predicted(numbers, place, wide, row, column):  # pyright: ignore
    """What a mean is taken for: the median of its left neighbour, its upper one, and the plane through the three."""
    if row == 0:
        return numbers[place - 1]
    if column == 0:
        return numbers[place - wide]
    left, above, corner = numbers[place - 1], numbers[place - wide], numbers[place - wide - 1]
    if corner >= max(left, above):
        return min(left, above)
    if corner <= min(left, above):
        return max(left, above)
    return left + above - corner


@exact
def _find_models(numbers, table, band, place, row, column, scratch):  # pyright: ignore
    """The slots of the models for a number, of stage 0; returns how much there is around it."""
    entry = band * _FIELDS
    wide = table[entry + _WIDTH] + 2 * _MARGIN
    kind, channel, level = table[entry + _KIND], table[entry + _CHANNEL], table[entry + _LEVEL]
    left, above = abs(numbers[place - 1]), abs(numbers[place - wide])
    corners = abs(numbers[place - wide - 1]) + abs(numbers[place - wide + 1])
    far = abs(numbers[place - 2]) + abs(numbers[place - 2 * wide])
    coarse, sibling, before = 0, 0, 0
    parent = table[entry + _PARENT]
    if parent >= 0:
        other = parent * _FIELDS
        beside = table[other + _WIDTH] + 2 * _MARGIN
        y = min(row >> 1, table[other + _HEIGHT] - 1) + _MARGIN
        x = min(column >> 1, table[other + _WIDTH] - 1) + _MARGIN
        coarse = _around(numbers, table[other + _OFFSET] + y * beside + x, beside)
    for which in range(_SIBLING, _BEFORE + 1):
        if table[entry + which] >= 0:
            other = table[entry + which] * _FIELDS
            beside = table[other + _WIDTH] + 2 * _MARGIN
            y = min(row, table[other + _HEIGHT] - 1) + _MARGIN
            x = min(column, table[other + _WIDTH] - 1) + _MARGIN
            found = _around(numbers, table[other + _OFFSET] + y * beside + x, beside)
            if which == _BEFORE:
                before = found
            else:
                sibling += found
    near = 2 * (left + above) + corners
    whole = 3 * near + 2 * far + coarse + sibling + before
    place_in = ((channel * _LEVELS + level) * _KINDS + kind) * _STAGES * 256
    shared = kind * _STAGES * 256
    scratch[0] = place_in + _step(near) * 16 + _step(far)
    scratch[1] = _MODEL_SLOTS + place_in + _step(coarse) * 16 + _step(sibling)
    scratch[2] = (
        2 * _MODEL_SLOTS + shared + min(left, 3) * 64 + min(above, 3) * 16 + min(corners, 3) * 4 + min(coarse, 3)
    )
    scratch[3] = 3 * _MODEL_SLOTS + place_in + _step(before) * 16 + _step(near + far)
    scratch[4] = 4 * _MODEL_SLOTS + (channel * _KINDS + kind) * _STAGES * 256 + min(whole // 2, 255)
    return whole


@exact
def _code_detail(  # pyright: ignore
    data, numbers, table, probabilities, seen, weights, odds, logistic, state, scratch, band, row, column, decoding
):
    """Codes a detail's magnitude, decision by decision, then its sign; returns the number."""
    entry = band * _FIELDS
    wide, kind = table[entry + _WIDTH] + 2 * _MARGIN, table[entry + _KIND]
    place = table[entry + _OFFSET] + (row + _MARGIN) * wide + column + _MARGIN
    mixers = (table[entry + _CHANNEL] * _LEVELS + table[entry + _LEVEL]) * _STAGES
    _find_models(numbers, table, band, place, row, column, scratch)
    number = numbers[place]
    magnitude, found, more = abs(number), 0, 1
    while more and found < _LONGEST:
        stage = min(found, _STAGES - 1)
        more = 1 if magnitude > found else 0
        more = _code_mixed(
            data, state, probabilities, seen, weights, odds, logistic, scratch, mixers + stage, stage, more, decoding
        )
        found += more
    if found == 0:
        return 0
    if found == _LONGEST:
        first = _MODELS * _MODEL_SLOTS + kind * _LENGTHS * _LENGTHS
        found += _code_length(data, state, probabilities, seen, first, magnitude - found, False, decoding)
    left, above = numbers[place - 1], numbers[place - wide]
    around = 3 * ((left > 0) - (left < 0)) + ((above > 0) - (above < 0)) + 4
    slot = _MODELS * _MODEL_SLOTS + _LENGTH_SLOTS + kind * 9 + around
    return -found if _code_alone(data, state, probabilities, seen, slot, 1 if number < 0 else 0, decoding) else found


@exact
def _walk(  # pyright: ignore
    data, numbers, table, probabilities, seen, weights, odds, logistic, state, scratch, decoding
):
    """Codes all planes, number by number; returns how many bytes that took, or -1: they were too few, or held a
    magnitude above `LARGEST`."""
    if decoding:
        for k in range(4):
            state[2] = (state[2] << 8) | (data[k] if k < len(data) else 0)
        state[3] = 4
    end = len(data) + 4 if decoding else len(data) - _LONGEST_CODE
    for band in range(len(table) // _FIELDS):
        entry = band * _FIELDS
        wide, kind = table[entry + _WIDTH] + 2 * _MARGIN, table[entry + _KIND]
        last = 0
        for row in range(table[entry + _HEIGHT]):
            for column in range(table[entry + _WIDTH]):
                place = table[entry + _OFFSET] + (row + _MARGIN) * wide + column + _MARGIN
                if kind <= LOW:
                    number = _predicted(numbers, place, wide, row, column) if kind == LOW else 0
                    context = min(table[entry + _CHANNEL] * 8 + (last if kind == LOW else 0), _LENGTHS - 1)
                    first = _MODELS * _MODEL_SLOTS + (kind * _LENGTHS + context) * _LENGTHS
                    found = _code_length(
                        data, state, probabilities, seen, first, numbers[place] - number, True, decoding
                    )
                    last = 0
                    while abs(found) >> last and last < 7:
                        last += 1
                    number += found
                else:
                    number = _code_detail(
                        data,
                        numbers,
                        table,
                        probabilities,
                        seen,
                        weights,
                        odds,
                        logistic,
                        state,
                        scratch,
                        band,
                        row,
                        column,
                        decoding,
                    )
                if state[3] > end or abs(number) > LARGEST:
                    return -1
                numbers[place] = number
    return state[3] if decoding else _finish(data, state)


@exact
def _finish(data, state):  # pyright: ignore
    """Writes as many bytes as tell the range apart from all others, zeros behind them; returns how many there are."""
    for cut in range(1, 5):
        kept = state[0] + (1 << (8 * (4 - cut))) - 1 >> (8 * (4 - cut)) << (8 * (4 - cut))
        if kept <= state[1]:
            for k in range(cut):
                data[state[3]] = kept >> 24 - 8 * k & 255
                state[3] += 1
            break
    return state[3]
