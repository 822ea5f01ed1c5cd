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
    Storable,
    decoder_make,
    not_json,
    row_too_many_values,
    values_most,
)
from workers.engine.datasets.source import RowSource, SizedRow
from workers.engine.datasets.text_lines import ESCAPED_BYTE, decoded, lines
from workers.engine.specs.errors import BadArtifact


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
    return Storable(f"{path.name}, {where}", source.notices).object(value, 1)
