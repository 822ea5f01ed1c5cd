"""One JSON value of an untrusted file: how it is read, and in which words it is refused."""

import json
from typing import Any

from workers.engine.specs.errors import BadArtifact

MOST_VALUES = 5_000_000
"""Of one row: each takes some dozen bytes in memory, however short it is in the file."""


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
