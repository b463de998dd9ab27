import os
import subprocess
import sys

import numpy as np
import pytest

from neufield.tools.compression.coefficient_coding import (
    ACROSS,
    BOTH,
    DOWN,
    LARGEST,
    LOW,
    PLAIN,
    Plane,
    decode_planes,
    encode_planes,
)

PLANES = [
    Plane(0, 5, LOW, 0, 2),
    Plane(5, 7, LOW, 1, 2),
    Plane(1, 30, PLAIN),
    Plane(5, 6, ACROSS, 0, 2),
    Plane(0, 7, DOWN, 0, 2),
    Plane(4, 6, BOTH, 0, 2),
    Plane(9, 13, ACROSS, 0, 1),
    Plane(9, 13, ACROSS, 1, 1),
    Plane(9, 12, DOWN, 1, 1),
    Plane(18, 26, ACROSS, 1, 0),
]


def laplace(planes: list[Plane], scale: float, seed: int = 0) -> list[np.ndarray]:
    generator = np.random.default_rng(seed)
    return [np.rint(scale * generator.laplace(size=(plane.height, plane.width))).astype(np.int64) for plane in planes]


def come_back(planes: list[Plane], values: list[np.ndarray]) -> int:
    data = encode_planes(planes, values)
    for found, given in zip(decode_planes(planes, data), values, strict=True):
        np.testing.assert_array_equal(found, given)
    return len(data)


def entropy_bytes(values: np.ndarray) -> float:
    shares = np.unique(values, return_counts=True)[1] / values.size
    return -float(np.sum(shares * np.log2(shares))) * values.size / 8


@pytest.mark.parametrize("scale", [0.0, 0.02, 0.3, 1.0, 5.0, 30.0, 1e3, 1e8])
def test_numbers_of_every_size_come_back(scale: float):
    come_back(PLANES, laplace(PLANES, scale))


@pytest.mark.parametrize("kind", [PLAIN, LOW, ACROSS, DOWN, BOTH])
@pytest.mark.parametrize("largest", [1, 2, 3, 19, 20, 21, 255, LARGEST])
def test_every_alphabet_comes_back(kind: int, largest: int):
    generator = np.random.default_rng(largest)
    come_back([Plane(7, 11, kind)], [generator.integers(-largest, largest, (7, 11), endpoint=True)])
    come_back([Plane(1, 3, kind)], [np.array([[-largest, largest, 0]])])


def test_no_planes_and_single_numbers():
    assert come_back([], []) <= 1
    for number in (0, 1, -1, 1000):
        assert come_back([Plane(1, 1, ACROSS)], [np.array([[number]])]) <= 6


@pytest.mark.parametrize("scale", [0.15, 0.5, 2.0, 10.0])
def test_independent_numbers_take_little_more_than_their_entropy(scale: float):
    planes = [Plane(400, 400, BOTH)]
    values = laplace(planes, scale)
    assert come_back(planes, values) < 1.05 * entropy_bytes(values[0]) + 40


def test_rare_numbers_take_little_more_than_their_entropy():
    planes, values = [Plane(500, 500, BOTH)], np.zeros((500, 500), np.int64)
    values[np.random.default_rng(0).random((500, 500)) < 1e-3] = 1
    assert come_back(planes, [values]) < 1.15 * entropy_bytes(values) + 40
    assert come_back(planes, [np.zeros((500, 500), np.int64)]) < 40


def test_what_lies_around_is_made_use_of():
    y, x = np.mgrid[0:300, 0:300]
    generator = np.random.default_rng(0)
    values = np.rint(generator.laplace(size=(300, 300)) * np.where((x // 60 + y // 60) % 2, 2.0, 0.05)).astype(np.int64)
    assert come_back([Plane(300, 300, BOTH)], [values]) < 0.85 * entropy_bytes(values)


def test_plain_python_gives_the_same_bytes():
    program = (
        "import sys; sys.modules['neufield.fields.kernels.numba_runtime'] = None\n"
        "import numpy as np\n"
        "from neufield.tools.compression.coefficient_coding import *\n"
        "planes = [Plane(6, 9, LOW, 0, 1), Plane(6, 9, ACROSS, 0, 1), Plane(12, 18, ACROSS, 0, 0)]\n"
        "values = [np.arange(p.height * p.width).reshape(p.height, p.width) % 23 - 11 for p in planes]\n"
        "data = encode_planes(planes, values)\n"
        "assert all((a == b).all() for a, b in zip(decode_planes(planes, data), values))\n"
        "print(data.hex())\n"
    )
    plain = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env={**os.environ}
    )
    planes = [Plane(6, 9, LOW, 0, 1), Plane(6, 9, ACROSS, 0, 1), Plane(12, 18, ACROSS, 0, 0)]
    values = [np.arange(p.height * p.width).reshape(p.height, p.width) % 23 - 11 for p in planes]
    assert bytes.fromhex(plain.stdout) == encode_planes(planes, values)


@pytest.mark.parametrize("kind", [LOW, BOTH])
@pytest.mark.parametrize("number", [LARGEST + 1, -LARGEST - 1])
def test_larger_numbers_are_refused(kind: int, number: int):
    with pytest.raises(ValueError, match="magnitudes up to 1073741823 can be coded, got"):
        encode_planes([Plane(1, 2, kind)], [np.array([[0, number]])])


def test_numbers_that_take_far_more_room_than_most_come_back():
    numbers = np.random.default_rng(0).integers(-LARGEST, LARGEST, (90, 90), endpoint=True)
    assert come_back([Plane(90, 90, BOTH)], [numbers]) > 4096 + 2 * numbers.size


def test_any_bytes_give_numbers_that_can_be_coded_or_are_refused():
    generator = np.random.default_rng(0)
    for length in (0, 1, 3, 50, 5000):
        try:
            found = decode_planes(PLANES, generator.bytes(length))
        except ValueError:
            continue
        assert [part.shape for part in found] == [(plane.height, plane.width) for plane in PLANES]
        come_back(PLANES, found)


def test_bytes_that_end_before_the_numbers_do_are_refused():
    data = encode_planes(PLANES, laplace(PLANES, 5.0))
    decode_planes(PLANES, data + bytes(9))
    with pytest.raises(ValueError, match="do not hold"):
        decode_planes(PLANES, data[:-8])


def test_no_memory_is_taken_for_numbers_that_the_bytes_cannot_hold():
    zeros = [Plane(700, 700, BOTH)]
    data = encode_planes(zeros, [np.zeros((700, 700), np.int64)])
    assert not decode_planes(zeros, data)[0].any()
    with pytest.raises(ValueError, match="do not hold 1,099,511,627,776 numbers"):
        decode_planes([Plane(1 << 20, 1 << 20, BOTH)], data)
