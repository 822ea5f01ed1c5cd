"""One JSON value of an untrusted file: how it is read, and in which words it is refused."""

import json
from typing import Any

from workers.engine.datasets.notices import Notices
from workers.engine.specs.errors import BadArtifact

MOST_VALUES = 5_000_000
"""Of one row: each takes some dozen bytes in memory, however short it is in the file."""
MOST_DEPTH = 24
"""Deeper values cannot be columns and are kept as JSON text."""
DEEP = f"Values nested more than {MOST_DEPTH} deep, which are kept as JSON text"

LONG_NUMBER = "Whole numbers of more than 64 bits, which are kept as text"


class KeyTwice(ValueError):
    """An object names something twice."""


def decoder_make() -> json.JSONDecoder:
    """Reads one value; KeyTwice, JSONDecodeError and other ValueErrors say what is wrong with it."""
    return json.JSONDecoder(object_pairs_hook=object_of)


def object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The object with these names and values. Raises KeyTwice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise KeyTwice(next(name for name in names if names.count(name) > 1))
    return found


def values_most(text: str) -> int:
    """At least as many values as JSON text holds, strings with commas counted as several."""
    return text.count(",") + text.count("[") + text.count("{")


def row_too_many_values(name: str, where: str) -> BadArtifact:
    """The refusal of a row that would be far larger in memory than in the file."""
    return BadArtifact(f"{name}: {where} holds more than {MOST_VALUES:,} values.", "Cut it into rows.")


def not_json(name: str, where: str, error: Exception) -> BadArtifact:
    """What is wrong with a value, in words."""
    if isinstance(error, RecursionError):
        return BadArtifact(f"{name}: {where} nests values too deeply to be read.", "Take the nested value out.")
    if isinstance(error, json.JSONDecodeError):
        words = f"{error.msg}, column {error.colno}"
        return BadArtifact(
            f"{name}: {where} is not JSON ({words}).", "Correct the line. Each line holds one JSON object."
        )
    if isinstance(error, KeyTwice):
        return BadArtifact(f"{name}: {where} names {str(error)[:100]!r} twice in one object.", "Rename one of them.")
    return BadArtifact(
        f"{name}: {where} holds a number of more than 4,300 digits.", "Put it in quotes, to be kept as text."
    )


class Storable:
    """Makes values of JSON such that a column can hold them; what that changes is counted."""

    def __init__(self, place: str, notices: Notices) -> None:
        self.place, self.notices = place, notices

    def text(self, text: str) -> str:
        """JSON may spell half of a surrogate pair, which no file can hold: it becomes U+FFFD."""
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def value(self, value: Any, depth: int) -> Any:
        """The value with such texts and names, and not too deep."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            self.notices.add(LONG_NUMBER, self.place)
            return str(value)
        if not isinstance(value, list | dict):
            return value
        if depth > MOST_DEPTH:
            self.notices.add(DEEP, self.place)
            return self.text(json.dumps(value, ensure_ascii=False))
        if isinstance(value, list):
            return [self.value(inner, depth + 1) for inner in value]
        return self.object(value, depth + 1)

    def object(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        """The object whose values lie at `depth`. Raises KeyTwice when two names become one."""
        return object_of([(self.text(name), self.value(inner, depth)) for name, inner in value.items()])
