"""Memory sizes as people write them."""

import re

_LEAST = 16 << 20  # below it, photos get less than a pool of pixels takes
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def parse_bytes(text: str) -> int:
    """Reads 512MiB, 1.5GiB, 2G or a plain number of bytes.

    Raises:
        ValueError: The text says something else, or less than 16 MiB.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(([KMGT]?)(?:i?B)?)\s*", text, re.IGNORECASE)
    if match is None:
        raise ValueError(f"--memory takes a size such as 512MiB or 2GiB, got {text!r}.")
    size = int(float(match[1]) * _UNITS[match[3].upper()])
    if size < _LEAST:
        meant = "" if match[2] else f"; a number alone counts bytes: write {text.strip()}GiB if you mean that"
        raise ValueError(f"--memory takes {_LEAST >> 20}MiB or more, got {text!r}{meant}.")
    return size
