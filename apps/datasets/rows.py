"""Pages of a dataset's rows, read from rows/part-*.parquet: only the row groups that a page touches are opened.

No value ever fails a page. Text comes as UTF-8, else as Latin-1 with a mark; images, audio and other bytes show their
size; lists and structures are clipped JSON. Escaping HTML is the templates' work.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from apps.core.templatetags.studio import bytes_words
from apps.datasets.models import Dataset
from apps.datasets.selectors import dataset_folder
from workers.engine.text.decoding import safe_text

PAGE_ROWS = 100
CELL_CHARACTERS = 320
SEARCH_ROWS = 200_000
"""Rows that one search request looks at."""
MEDIA = {
    b"\x89PNG": "image",
    b"\xff\xd8\xff": "image",
    b"GIF8": "image",
    b"RIFF": "media",
    b"OggS": "audio",
    b"fLaC": "audio",
    b"ID3": "audio",
    b"%PDF": "PDF",
}
"""First bytes → words; those that could begin a text count only when a NUL follows."""


@dataclass(frozen=True)
class Cell:
    """One value as text. `kind`: text, latin1 (bytes that are not UTF-8), number, bytes, nested, nothing."""

    text: str
    kind: str = "text"
    is_clipped: bool = False


@dataclass(frozen=True)
class Row:
    """One row: its position in the dataset and a cell for each column."""

    index: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class RowsPage:
    """Rows [start, start + len(rows)) with the names of their columns, the text column first."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def page_count(dataset: Dataset) -> int:
    """Pages of PAGE_ROWS rows; at least one."""
    return max(1, math.ceil(dataset.rows / PAGE_ROWS))


def rows_page(dataset: Dataset, page: int, *, clip: int = CELL_CHARACTERS) -> RowsPage:
    """Page `page` (from 1) of a ready dataset; empty past the end."""
    return rows_between(dataset, (page - 1) * PAGE_ROWS, page * PAGE_ROWS, clip=clip)


@dataclass(frozen=True)
class RowsFound:
    """Rows whose text holds the words; `next_start` is the row from which to search on, None when all were looked at."""

    page: RowsPage
    searched: int
    next_start: int | None


def rows_search(dataset: Dataset, words: str, *, start: int = 0) -> RowsFound:
    """Up to PAGE_ROWS rows from `start` on whose own text holds `words`, case ignored.

    One request looks at SEARCH_ROWS rows at most: a search of millions goes on by its link.
    """
    stop = min(dataset.rows, start + SEARCH_ROWS)
    columns: tuple[str, ...] = ()
    found: list[Row] = []
    at = start
    for first, batch in _batches(dataset_folder(dataset.pk) / "rows", start, stop):
        text = batch.column(dataset.text_column)
        if pa.types.is_string(text.type) or pa.types.is_large_string(text.type):
            holds = pc.match_substring(text, words, ignore_case=True)
            hits = pc.indices_nonzero(holds.fill_null(False)).to_pylist()
        else:
            hits = [place for place, value in enumerate(text) if words.lower() in safe_text(_value(value)).text.lower()]
        for place in hits:
            columns, cells = _row_cells(batch.slice(place, 1), dataset.text_column, CELL_CHARACTERS)
            found += [Row(first + place, values) for values in cells]
        at = first + len(batch)
        if len(found) >= PAGE_ROWS:
            break
    return RowsFound(RowsPage(columns, tuple(found)), at - start, at if at < dataset.rows else None)


def row_whole(dataset: Dataset, index: int) -> tuple[tuple[str, Cell], ...]:
    """(column, cell) of one row, nothing clipped below 100,000 characters; empty when there is no such row."""
    found = rows_between(dataset, index, index + 1, clip=100_000)
    return tuple(zip(found.columns, found.rows[0].cells)) if found.rows else ()


def rows_between(dataset: Dataset, start: int, stop: int, *, clip: int = CELL_CHARACTERS) -> RowsPage:
    """Rows `start` to `stop` (excluded) in dataset order, as cells of at most `clip` characters."""
    columns: tuple[str, ...] = ()
    rows: list[Row] = []
    for first, batch in _batches(dataset_folder(dataset.pk) / "rows", start, stop):
        columns, cells = _row_cells(batch, dataset.text_column, clip)
        rows += [Row(first + offset, values) for offset, values in enumerate(cells)]
    return RowsPage(columns, tuple(rows))


def _row_cells(batch: pa.RecordBatch, text_column: str, clip: int) -> tuple[tuple[str, ...], list[tuple[Cell, ...]]]:
    """Column names, the text column first, and for each row its cells in that order."""
    names = batch.schema.names
    order = sorted(range(len(names)), key=lambda place: names[place] != text_column)
    columns = tuple(safe_text(names[place]).text for place in order)
    return columns, list(zip(*[_cells(batch.column(place), clip) for place in order]))


def _batches(folder: Path, start: int, stop: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(index of its first row, rows) for what lies between `start` and `stop`."""
    first = 0
    for path in sorted(folder.glob("part-*.parquet")):
        with pq.ParquetFile(path, memory_map=True) as file:
            if first + file.metadata.num_rows > start:
                yield from _part_batches(file, first, start, stop)
            first += file.metadata.num_rows
        if first >= stop:
            return


def _part_batches(file: pq.ParquetFile, first: int, start: int, stop: int) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Within one file that begins at row `first`: batches are small, so that rows of images need little memory."""
    for group in range(file.num_row_groups):
        count = file.metadata.row_group(group).num_rows
        if first < stop and first + count > start:
            at = first
            for batch in file.iter_batches(batch_size=PAGE_ROWS, row_groups=[group]):
                left, right = max(start - at, 0), min(stop - at, len(batch))
                if left < right:
                    yield at + left, batch.slice(left, right - left)
                at += len(batch)
                if at >= stop:
                    break
        first += count


def _cells(column: pa.Array, clip: int) -> list[Cell]:
    # Strings are read as bytes: a file may hold invalid UTF-8 in a string column.
    if pa.types.is_string(column.type):
        return [_text_cell(value, clip) for value in column.cast(pa.binary()).to_pylist()]
    if pa.types.is_large_string(column.type):
        return [_text_cell(value, clip) for value in column.cast(pa.large_binary()).to_pylist()]
    return [cell(_value(scalar), clip) for scalar in column]


def _text_cell(value: bytes | None, clip: int) -> Cell:
    found = safe_text(value)
    kind = "nothing" if value is None else "latin1" if found.was_latin1 else "text"
    return _clipped(found.text, kind, clip)


def _value(scalar: pa.Scalar) -> Any:
    """The Python value; what Python cannot hold (nanoseconds, far dates, broken strings inside structures) as text."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, KeyError, pa.ArrowException):
        return f"<{scalar.type}>"


def cell(value: Any, clip: int = CELL_CHARACTERS) -> Cell:
    """Any value as a Cell of at most `clip` characters."""
    if value is None:
        return Cell("", "nothing")
    if isinstance(value, bytes):
        return _bytes_cell(value, clip)
    if isinstance(value, dict | list | tuple):
        media = _media_cell(value)
        return media or _clipped(json.dumps(_plain(value), ensure_ascii=False, default=str), "nested", clip)
    is_number = isinstance(value, int | float)
    return _clipped(safe_text(value).text, "number" if is_number else "text", clip)


def _bytes_cell(value: bytes, clip: int) -> Cell:
    start = value[:512]
    words = next((words for sign, words in MEDIA.items() if start.startswith(sign)), None)
    if words and (start[0] >= 0x80 or b"\0" in start):
        return Cell(f"<{words}, {bytes_words(len(value))}>", "bytes")
    if not _is_text(start):
        return Cell(f"<bytes, {bytes_words(len(value))}>", "bytes")
    return _text_cell(value, clip)


def _is_text(start: bytes) -> bool:
    """At most one control character in twenty: texts from the web hold a NUL now and then."""
    control = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start)
    return control <= len(start) // 20 + (8 <= len(start) < 200)


def _media_cell(value: Any) -> Cell | None:
    """Hugging Face's form of images and audio: {"bytes": …, "path": …}."""
    if not (isinstance(value, dict) and set(value) == {"bytes", "path"} and isinstance(value["bytes"], bytes)):
        return None
    found = cell(value["bytes"])
    return found if found.kind == "bytes" else Cell(f"<file, {bytes_words(len(value['bytes']))}>", "bytes")


def _plain(value: Any) -> Any:
    """Nested values with bytes as text or size, ready for JSON."""
    if isinstance(value, dict):
        return {safe_text(name).text: _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return cell(value).text
    return safe_text(value).text if isinstance(value, str) else value


def _clipped(text: str, kind: str, clip: int) -> Cell:
    return Cell(text[:clip], kind, len(text) > clip)
