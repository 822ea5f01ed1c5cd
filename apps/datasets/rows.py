"""Pages of a dataset's rows, read from rows/part-*.parquet: only the row groups that a page touches are opened.

No value ever fails a page. Text comes as UTF-8, else as Latin-1 with a mark; images, audio and other bytes show their
size; lists and structures are clipped JSON. Escaping HTML is the templates' work.
"""

import json
import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from apps.core.templatetags.studio import bytes_words
from apps.datasets.models import Dataset
from apps.datasets.scalars import value_of
from apps.datasets.selectors import dataset_folder
from workers.engine.text.conversations import Turn, conversation_text, conversation_turns
from workers.engine.text.decoding import safe_text

PAGE_ROWS = 100
CELL_CHARACTERS = 320
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
    """One value as text. `kind`: text, latin1 (bytes that are not UTF-8), number, bytes, nested, turns, nothing."""

    text: str
    kind: str = "text"
    is_clipped: bool = False
    turns: tuple[Turn, ...] = ()
    """Of a conversation, clipped as the text is."""


def cell_json(found: Cell) -> dict[str, Any]:
    """The cell as the API shows it."""
    return {"text": found.text, "kind": found.kind, "clipped": found.is_clipped}


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


def row_whole(dataset: Dataset, index: int) -> tuple[tuple[str, Cell], ...]:
    """(column, cell) of one row, nothing clipped below 100,000 characters; empty when there is no such row."""
    found = rows_between(dataset, index, index + 1, clip=100_000)
    return tuple(zip(found.columns, found.rows[0].cells)) if found.rows else ()


def rows_between(dataset: Dataset, start: int, stop: int, *, clip: int = CELL_CHARACTERS) -> RowsPage:
    """Rows `start` to `stop` (excluded) in dataset order, as cells of at most `clip` characters."""
    return rows_at(dataset, range(start, stop), clip=clip)


def rows_at(dataset: Dataset, places: Sequence[int], *, clip: int = CELL_CHARACTERS) -> RowsPage:
    """The rows at these places, in ascending order; those past the end are left out."""
    if not places:
        return RowsPage(column_names(dataset), ())
    wanted = set(places)
    columns: tuple[str, ...] = ()
    rows: list[Row] = []
    for first, batch in batches_between(dataset_folder(dataset.pk), places[0], places[-1] + 1, wanted=wanted):
        chosen = [place for place in range(len(batch)) if first + place in wanted]
        if chosen:
            columns, cells = _row_cells(batch.take(pa.array(chosen)), dataset, clip)
            rows += [Row(first + place, values) for place, values in zip(chosen, cells)]
    return RowsPage(columns or column_names(dataset), tuple(rows))


def column_names(dataset: Dataset) -> tuple[str, ...]:
    """Names of the columns as pages show them, the text column first."""
    path = min((dataset_folder(dataset.pk) / "rows").glob("part-*.parquet"))
    return _shown_names(pq.read_schema(path).names, dataset.text_column)[1]


def _shown_names(names: list[str], text_column: str) -> tuple[list[int], tuple[str, ...]]:
    """The places of the columns, the text column first, and their names in that order."""
    order = sorted(range(len(names)), key=lambda place: names[place] != text_column)
    return order, tuple(safe_text(names[place]).text for place in order)


def _row_cells(batch: pa.RecordBatch, dataset: Dataset, clip: int) -> tuple[tuple[str, ...], list[tuple[Cell, ...]]]:
    """Column names, the text column first, and for each row its cells in that order."""
    order, columns = _shown_names(batch.schema.names, dataset.text_column)
    return columns, list(zip(*[_cells(batch.column(place), clip) for place in order]))


def batches_between(
    folder: Path,
    start: int,
    stop: int,
    columns: list[str] | None = None,
    batch_rows: int = PAGE_ROWS,
    wanted: Collection[int] | None = None,
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """(index of its first row, rows) for what lies between `start` and `stop`; all columns without `columns`.

    `wanted` spares reading the row groups that hold none of these rows.
    """
    first = 0
    for path in sorted((folder / "rows").glob("part-*.parquet")):
        with pq.ParquetFile(path, memory_map=True) as file:
            for group in range(file.num_row_groups):
                count = file.metadata.row_group(group).num_rows
                is_touched = first < stop and first + count > start
                if is_touched and (wanted is None or any(first <= place < first + count for place in wanted)):
                    reader = file.iter_batches(batch_size=batch_rows, row_groups=[group], columns=columns)
                    yield from _clipped_batches(reader, first, start, stop)
                first += count
        if first >= stop:
            return


def _clipped_batches(
    batches: Iterable[pa.RecordBatch], at: int, start: int, stop: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Of the batches of a row group that begins at row `at`, what lies between `start` and `stop`."""
    for batch in batches:
        left, right = max(start - at, 0), min(stop - at, len(batch))
        if left < right:
            yield at + left, batch.slice(left, right - left)
        at += len(batch)
        if at >= stop:
            return


def _cells(column: pa.Array, clip: int) -> list[Cell]:
    # Strings are read as bytes: a file may hold invalid UTF-8 in a string column.
    if pa.types.is_string(column.type):
        return [_text_cell(value, clip) for value in column.cast(pa.binary()).to_pylist()]
    if pa.types.is_large_string(column.type):
        return [_text_cell(value, clip) for value in column.cast(pa.large_binary()).to_pylist()]
    return [cell(value_of(scalar), clip) for scalar in column]


def _text_cell(value: bytes | None, clip: int) -> Cell:
    found = safe_text(value)
    kind = "nothing" if value is None else "latin1" if found.was_latin1 else "text"
    return _clipped(found.text, kind, clip)


def cell(value: Any, clip: int = CELL_CHARACTERS) -> Cell:
    """Any value as a Cell of at most `clip` characters."""
    if value is None:
        return Cell("", "nothing")
    if isinstance(value, bytes):
        return _bytes_cell(value, clip)
    if isinstance(value, dict | list | tuple):
        turns = conversation_turns(value) if _may_be_conversation(value) else None
        if turns:
            return _turns_cell(turns, clip)
        media = _media_cell(value)
        return media or _clipped(json.dumps(_plain(value), ensure_ascii=False, default=str), "nested", clip)
    is_number = isinstance(value, int | float)
    return _clipped(safe_text(value).text, "number" if is_number else "text", clip)


def _may_be_conversation(value: Any) -> bool:
    """A list of strings may be anything: only turns that name who speaks are shown as such."""
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _turns_cell(turns: tuple[Turn, ...], clip: int) -> Cell:
    """The turns that begin within `clip` characters, the last of them cut there."""
    shown, left = [], clip
    for turn in turns:
        if left <= 0:
            break
        shown.append(Turn(turn.role, turn.content[:left]))
        left -= len(turn.content)
    is_clipped = sum(len(turn.content) for turn in turns) > clip
    return Cell(conversation_text(shown), "turns", is_clipped, tuple(shown))


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
