"""Compressed pictures: one file that holds a quantised field and all that is needed to draw it."""

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from ...datasets.whole_output import whole_file
from .coefficient_coding import ACROSS, BOTH, DOWN, LOW, Plane, decode_planes, encode_planes

_MAGIC, _FAMILY = b"NFZ1", b"NFZ"
_CHECK = struct.Struct("<4sI")
_HEADER = struct.Struct("<IIBBBII")
_MOST_LEVELS = 16

LARGEST_PROFILE = 1 << 24
"""Bytes of an ICC profile, unpacked."""
LONGEST_SIDE, MOST_PIXELS = 1 << 18, 1 << 27
"""Larger pictures are neither written nor read: decoding takes about 50 bytes for each of a channel's numbers."""


class NfzError(ValueError):
    """A file is no compressed picture, or a damaged one."""


@dataclass(frozen=True)
class NfzContent:
    """A picture as a field whose numbers are whole.

    Attributes:
        width, height: In pixels.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; colours are multiplied by alpha.
        bits: Of the picture's numbers, 8 or 16.
        levels: How often the grid was halved.
        step: What a coefficient of 1 means, in 2^-22 of the largest value.
        means: Of the channels, in 2^-15.
        mixing: Channels of components, (channels, components), in 2^-14.
        profile: The ICC profile of the colours.
        coefficients: A plane of whole numbers for each of `planes`.
    """

    width: int
    height: int
    channels: int
    bits: int
    levels: int
    step: int
    means: tuple[int, ...]
    mixing: Int[np.ndarray, "channels channels"]
    profile: bytes | None
    coefficients: list[Int[np.ndarray, "_ _"]]

    @property
    def planes(self) -> list[Plane]:
        """What the coefficients lie on."""
        return planes_of(self.width, self.height, self.channels, self.levels)


def planes_of(width: int, height: int, channels: int, levels: int) -> list[Plane]:
    """The planes of coefficients, from the coarsest level to the finest, by component and direction."""
    sizes = [(height, width)]
    for _ in range(levels):
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    planes = [Plane(*sizes[-1], LOW, channel, levels - 1) for channel in range(channels)]
    for level in reversed(range(levels)):
        (high, wide), (rows, columns) = sizes[level : level + 2]
        for channel in range(channels):
            planes.append(Plane(rows, wide - columns, ACROSS, channel, level))
            planes.append(Plane(high - rows, columns, DOWN, channel, level))
            planes.append(Plane(high - rows, wide - columns, BOTH, channel, level))
    return planes


def require_size(width: int, height: int, name: str) -> None:
    """Refuses a picture that is too large for a file.

    Args:
        width, height: In pixels.
        name: Of the picture, for messages.

    Raises:
        NfzError: A side is longer than `LONGEST_SIDE`, or it has more pixels than `MOST_PIXELS`.
    """
    if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
        raise NfzError(
            f"{name}: a compressed picture has at most {LONGEST_SIDE:,} pixels along each side and {MOST_PIXELS:,} in "
            f"all, this one has {width}x{height}. Scale it down or cut it, or fit it without --compress."
        )


def packed(content: NfzContent) -> bytes:
    """The bytes of a file.

    Raises:
        NfzError: See `require_size`.
        ValueError: See `encode_planes`.
    """
    require_size(content.width, content.height, "The picture")
    profile = b"" if content.profile is None else zlib.compress(content.profile, 9)
    sizes = content.width, content.height, content.channels, content.bits, content.levels
    parts = (
        _HEADER.pack(*sizes, content.step, len(profile)),
        struct.pack(f"<{content.channels}h", *content.means),
        content.mixing.astype("<i2").tobytes(),
        profile,
        encode_planes(content.planes, content.coefficients),
    )
    rest = b"".join(parts)
    return _CHECK.pack(_MAGIC, zlib.crc32(rest)) + rest


def unpacked(data: bytes, name: str) -> NfzContent:
    """What a file holds.

    Args:
        data: All its bytes.
        name: Of the file, for messages.

    Raises:
        NfzError: It is no compressed picture, of a later version, or damaged.
    """
    if not data.startswith(_FAMILY):
        raise NfzError(f"{name} is no compressed picture that neufield wrote.")
    if not data.startswith(_MAGIC):
        raise NfzError(f"{name} is of a version that this neufield does not know ({data[:4]!r}); a newer one reads it.")
    if len(data) < _CHECK.size + _HEADER.size or _CHECK.unpack_from(data)[1] != zlib.crc32(data[_CHECK.size :]):
        raise NfzError(f"{name} is damaged or cut short: its checksum does not agree. Copy or write it anew.")
    width, height, channels, bits, levels, step, profile_size = _HEADER.unpack_from(data, _CHECK.size)
    offset = _CHECK.size + _HEADER.size
    colors = struct.Struct(f"<{channels * (channels + 1)}h")
    if not (
        1 <= min(width, height) <= max(width, height) <= LONGEST_SIDE
        and width * height <= MOST_PIXELS
        and channels in (1, 2, 3, 4)
        and bits in (8, 16)
        and levels <= _MOST_LEVELS
        and step > 0
        and offset + colors.size + profile_size <= len(data)
    ):
        raise NfzError(f"{name} is damaged: its header says what cannot be. Copy or write it anew.")
    numbers = colors.unpack_from(data, offset)
    offset += colors.size
    profile = _profile_of(data[offset : offset + profile_size], name) if profile_size else None
    mixing = np.array(numbers[channels:], np.int64).reshape(channels, channels)
    try:
        coefficients = decode_planes(planes_of(width, height, channels, levels), data[offset + profile_size :])
    except ValueError:
        raise NfzError(
            f"{name} is damaged: it does not hold the {width}x{height} pixels that its header tells of. Copy or write "
            "it anew."
        ) from None
    means = numbers[:channels]
    return NfzContent(width, height, channels, bits, levels, step, means, mixing, profile, coefficients)


def _profile_of(data: bytes, name: str) -> bytes:
    """A colour profile, of which no more is unpacked than there may be."""
    unpacking = zlib.decompressobj()
    try:
        profile = unpacking.decompress(data, LARGEST_PROFILE + 1)
    except zlib.error:
        profile = b""
    if not unpacking.eof or len(profile) > LARGEST_PROFILE:
        raise NfzError(f"{name} is damaged: its colour profile cannot be read. Copy or write it anew.")
    return profile


def write_nfz(path: Path, data: bytes) -> None:
    """Writes what `packed` gave; the file appears complete or not at all."""
    with whole_file(path) as aside:
        aside.write_bytes(data)


def read_nfz(path: Path) -> NfzContent:
    """Reads a file.

    Raises:
        NfzError: There is none, or see `unpacked`.
    """
    if not path.is_file():
        raise NfzError(f"There is no file {path}.")
    return unpacked(path.read_bytes(), path.name)
