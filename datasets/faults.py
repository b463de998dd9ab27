"""Faults of a folder as they are told: one that many frames share once, and none that follows from another."""

import re
from collections.abc import Iterable

from .errors import DataError, TooFewImagesError

_OF_ONE_FRAME = re.compile(r"[\d/]|\w\.\w")  # in a word: a number, a path or the name of a file


def told_once(faults: Iterable[DataError]) -> list[DataError]:
    """The first of all faults that differ in nothing but names and numbers, with a count of the others.

    That too few images are left is told only where nothing else is wrong: with the others mended there may be enough.
    """
    found = list({str(fault): fault for fault in faults}.values())
    causes = [fault for fault in found if not isinstance(fault, TooFewImagesError)] or found
    alike: dict[tuple[object, ...], list[DataError]] = {}
    for fault in causes:
        alike.setdefault(_kind(fault), []).append(fault)
    return [_counted(group[0], len(group) - 1) for group in alike.values()]


def _kind(fault: DataError) -> tuple[object, ...]:
    return type(fault), *(word for word in str(fault).split() if not _OF_ONE_FRAME.search(word))


def _counted(first: DataError, others: int) -> DataError:
    return type(first)(f"{first} (and {others} more like it)") if others else first
