"""Rows of .jsonl and .json files, read strictly: one value per line, or one array of values.

An object is a row; a string is a row with the column `text`. A key that is there twice, a number that Python would not read,
what is nested too deeply or follows the array's end are errors that name file and line.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workers.engine.datasets.column_names import columns_check
from workers.engine.datasets.json_array import json_array_rows
from workers.engine.datasets.json_values import (
    MOST_VALUES,
    KeyTwice,
    decoder_make,
    not_json,
    object_of,
    row_too_many_values,
    values_most,
)
from workers.engine.datasets.source import RowSource, SizedRow
from workers.engine.datasets.text_lines import ESCAPED_BYTE, decoded, lines
from workers.engine.specs.errors import BadArtifact

MOST_DEPTH = 24
"""Deeper values cannot be columns and are kept as JSON text."""
DEEP = f"Values nested more than {MOST_DEPTH} deep, which are kept as JSON text"

LONG_NUMBER = "Whole numbers of more than 64 bits, which are kept as text"


def jsonl_rows(path: Path, source: RowSource) -> Iterator[SizedRow]:
    """The rows of a file with one JSON value per line."""
    decoder = decoder_make()
    for number, raw in enumerate(lines(path), 1):
        if not raw.strip():
            continue
        where = f"line {number:,}"
        if values_most(raw) > MOST_VALUES:
            raise row_too_many_values(path.name, where)
        try:
            row = _row(decoder.decode(decoded(raw, source)), path, where, source)
        except (ValueError, RecursionError) as error:
            raise not_json(path.name, where, error) from error
        yield len(raw), row


def json_rows(path: Path, source: RowSource) -> Iterator[SizedRow]:
    """The rows of a file with one array, or with a value per line."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        is_array = file.read(4096).lstrip().startswith("[")
    if not is_array:
        yield from jsonl_rows(path, source)
        return
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, size, value in json_array_rows(file, path.name, decoder_make()):
            where = f"line {number:,}"
            try:
                text = json.dumps(value, ensure_ascii=False)
                if ESCAPED_BYTE.search(text):
                    value = json.loads(decoded(text, source))
                row = _row(value, path, where, source)
            except (KeyTwice, RecursionError) as error:
                raise not_json(path.name, where, error) from error
            yield size, row


def _row(value: Any, path: Path, where: str, source: RowSource) -> dict[str, Any]:
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        raise BadArtifact(
            f"{path.name}: {where} holds {type(value).__name__}, not an object.",
            'Each row is an object such as {"text": "…"}, or a string.',
        )
    columns_check(len(value), f"{path.name}: {where}")
    cleaner = _Cleaner(f"{path.name}, {where}", source)
    return cleaner.object(value, 1)


class _Cleaner:
    """Makes one row of JSON storable."""

    def __init__(self, place: str, source: RowSource) -> None:
        self.place, self.source = place, source

    def text(self, text: str) -> str:
        """JSON may spell half of a surrogate pair, which no file can hold: it becomes U+FFFD."""
        return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")

    def value(self, value: Any, depth: int) -> Any:
        """The value with such texts and names, and not too deep."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            self.source.notices.add(LONG_NUMBER, self.place)
            return str(value)
        if not isinstance(value, list | dict):
            return value
        if depth > MOST_DEPTH:
            self.source.notices.add(DEEP, self.place)
            return self.text(json.dumps(value, ensure_ascii=False))
        if isinstance(value, list):
            return [self.value(inner, depth + 1) for inner in value]
        return self.object(value, depth + 1)

    def object(self, value: dict[str, Any], depth: int) -> dict[str, Any]:
        """The object whose values lie at `depth`. Raises KeyTwice when two names become one."""
        return object_of([(self.text(name), self.value(inner, depth)) for name, inner in value.items()])
