import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest

from neufield.tools.compression.coefficient_coding import encode_planes
from neufield.tools.compression.nfz_file import (
    LARGEST_PROFILE,
    LONGEST_SIDE,
    MOST_PIXELS,
    NfzContent,
    NfzError,
    packed,
    require_size,
    unpacked,
)

HEADER = {"width": "I", "height": "I", "channels": "B", "bits": "B", "levels": "B", "step": "I", "profile": "I"}


def content(*, profile: bytes | None = None) -> NfzContent:
    empty = NfzContent(40, 24, 1, 8, 1, 1000, (5,), np.array([[1 << 14]]), profile, [])
    generator = np.random.default_rng(0)
    numbers = [generator.integers(-3, 3, (plane.height, plane.width), endpoint=True) for plane in empty.planes]
    return replace(empty, coefficients=numbers)


def claiming(data: bytes, **changes: int) -> bytes:
    """A file whose header says something else, and whose checksum agrees."""
    form = struct.Struct("<" + "".join(HEADER.values()))
    values = dict(zip(HEADER, form.unpack_from(data, 8), strict=True)) | changes
    rest = form.pack(*values.values()) + data[8 + form.size :]
    return data[:4] + struct.pack("<I", zlib.crc32(rest)) + rest


def test_a_header_that_is_written_anew_is_the_same():
    data = packed(content(profile=b"colours"))
    assert claiming(data) == data
    assert unpacked(data, "x").profile == b"colours"


@pytest.mark.parametrize(
    "changes",
    [
        {"bits": 9},
        {"bits": 0},
        {"width": 0},
        {"height": 0},
        {"width": LONGEST_SIDE + 1},
        {"width": LONGEST_SIDE, "height": MOST_PIXELS // LONGEST_SIDE + 1},
        {"channels": 0},
        {"channels": 5},
        {"channels": 255},
        {"levels": 17},
        {"step": 0},
        {"profile": 1 << 20},
    ],
)
def test_headers_that_cannot_be_are_refused(changes: dict[str, int]):
    with pytest.raises(NfzError, match="x is damaged: its header says what cannot be"):
        unpacked(claiming(packed(content()), **changes), "x")


@pytest.mark.parametrize(("width", "height"), [(2000, 2000), (LONGEST_SIDE, MOST_PIXELS // LONGEST_SIDE), (140, 90)])
def test_small_files_that_claim_large_pictures_are_refused(width: int, height: int):
    with pytest.raises(NfzError, match=f"x is damaged: it does not hold the {width}x{height} pixels"):
        unpacked(claiming(packed(content()), width=width, height=height), "x")


def test_the_largest_pictures_are_no_more_than_what_is_read():
    require_size(LONGEST_SIDE, MOST_PIXELS // LONGEST_SIDE, "x")
    for width, height in ((LONGEST_SIDE + 1, 1), (1, LONGEST_SIDE + 1), (1 << 14, MOST_PIXELS // (1 << 14) + 1)):
        with pytest.raises(NfzError, match=f"a compressed picture has at most .* this one has {width}x{height}"):
            packed(replace(content(), width=width, height=height))


@pytest.mark.parametrize(
    "profile",
    [
        zlib.compress(bytes(LARGEST_PROFILE + 1), 9),
        zlib.compress(b"colours" * 9)[:-3],
        b"colours",
    ],
)
def test_profiles_that_are_bombs_or_broken_are_refused(profile: bytes):
    whole = content()
    data = packed(whole)
    coded = len(encode_planes(whole.planes, whole.coefficients))
    with pytest.raises(NfzError, match="x is damaged: its colour profile cannot be read"):
        unpacked(claiming(data[:-coded] + profile + data[-coded:], profile=len(profile)), "x")
