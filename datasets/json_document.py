"""JSON from users: read with the place of every mistake, and values checked as they are taken out."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from .errors import FormatError


@dataclass(frozen=True)
class JsonObject:
    """A JSON object and where it stands, for messages."""

    values: Mapping[str, Any]
    where: str
    """File, and frame within it."""

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def wrong(self, key: str, expected: str) -> FormatError:
        """The error that says what was expected at a key and what was found."""
        found = json.dumps(self.values.get(key))
        found = found if len(found) <= 80 else found[:77] + "..."
        return FormatError(f"{self.where}: expected '{key}' to be {expected}, found {found}")

    def number(self, key: str, *, above: float | None = None, below: float | None = None) -> float | None:
        """A finite number, or None where the key is missing."""
        if key not in self:
            return None
        value = _number(self.values[key])
        if value is None or (above is not None and value <= above) or (below is not None and value >= below):
            bounds = [f"{word} {bound:g}" for word, bound in (("above", above), ("below", below)) if bound is not None]
            raise self.wrong(key, f"a finite number {' and '.join(bounds)}".strip())
        return value

    def side(self, key: str) -> int | None:
        """A width or height in whole pixels, which may be written as 1080.0."""
        value = self.number(key, above=0.0)
        return None if value is None else max(1, round(value))

    def text(self, key: str) -> str | None:
        """A string that is not empty, or None where the key is missing."""
        if key not in self:
            return None
        value = self.values[key]
        if not isinstance(value, str) or not value:
            raise self.wrong(key, "a text")
        return value

    def flag(self, key: str) -> bool:
        """true or false; false where the key is missing."""
        value = self.values.get(key, False)
        if not isinstance(value, bool) and value not in (0, 1):
            raise self.wrong(key, "true or false")
        return bool(value)

    def texts(self, key: str) -> list[str] | None:
        """A list of strings, or None where the key is missing."""
        if key not in self:
            return None
        value = self.values[key]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in cast(list[Any], value)):
            raise self.wrong(key, "a list of texts")
        return cast(list[str], value)

    def objects(self, key: str, item_name: str) -> list["JsonObject"]:
        """A list of objects, each of which knows its number in the list."""
        value = self.values.get(key)
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        return [self._item(item, f"{item_name} {i}") for i, item in enumerate(cast(list[Any], value))]

    def _item(self, item: Any, name: str) -> "JsonObject":
        if not isinstance(item, dict):
            raise FormatError(f"{self.where}, {name}: expected an object, found {json.dumps(item)[:80]}")
        return JsonObject(cast(dict[str, Any], item), f"{self.where}, {name}")

    def matrix(self, key: str) -> np.ndarray:
        """A matrix of numbers of any shape."""
        rows = self.values.get(key)
        if not isinstance(rows, list) or not rows or not all(isinstance(row, list) for row in cast(list[Any], rows)):
            raise self.wrong(key, "a 4x4 matrix (a list of rows)")
        rows = cast(list[list[Any]], rows)
        if len({len(row) for row in rows}) != 1:
            raise self.wrong(key, "a matrix whose rows have one length")
        values = [[_float(value) for value in row] for row in rows]
        if any(value is None for row in values for value in row):
            raise self.wrong(key, "a matrix of numbers")
        return np.array(values, dtype=np.float64)


def _float(value: Any) -> float | None:
    """A JSON number, NaN and infinities included; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _number(value: Any) -> float | None:
    number = _float(value)
    return number if number is not None and math.isfinite(number) else None


def read_json(path: Path) -> JsonObject:
    """Reads a file that holds a JSON object.

    Raises:
        FormatError: with line and column if it is not valid JSON.
    """
    try:
        value = json.loads(path.read_bytes().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise FormatError(f"{path.name}: expected valid JSON, found a mistake at {place}: {error.msg}") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise FormatError(f"{path.name}: expected valid JSON in UTF-8, found: {error}") from error
    except OSError as error:
        raise FormatError(f"{path.name}: cannot be read ({error.strerror})") from error
    if not isinstance(value, dict):
        raise FormatError(f"{path.name}: expected a JSON object, found {type(value).__name__}")
    return JsonObject(cast(dict[str, Any], value), path.name)
