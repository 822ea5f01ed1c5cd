"""Reads an imported dataset: any slice of its rows, or the text of all of them, part by part.

Rows are stored as they came; whoever reads text goes through `safe_text`, which never fails: a binary column, Latin-1
bytes and NUL characters all become text.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workers.engine.datasets.text_column import is_conversation
from workers.engine.specs.errors import BadArtifact
from workers.engine.text.conversations import Turn, conversation_text, conversation_turns
from workers.engine.text.decoding import SafeText, safe_text


@dataclass(frozen=True)
class Rows:
    """The Parquet parts of one dataset, in row order."""

    paths: tuple[Path, ...]

    @classmethod
    def open(cls, dataset_dir: str | Path) -> "Rows":
        """The rows below `dataset_dir`/rows. Raises BadArtifact when there are none or a part is damaged."""
        paths = tuple(sorted(Path(dataset_dir).glob("rows/part-*.parquet")))
        if not paths:
            raise BadArtifact("The dataset has no rows on disk.", "Import the dataset again.")
        rows = cls(paths)
        _ = rows._starts
        return rows

    def __len__(self) -> int:
        return self._starts[-1]

    @property
    def schema(self) -> pa.Schema:
        return pq.read_schema(self.paths[0])

    def slice(self, start: int, count: int) -> pa.Table:
        """`count` rows from `start` on (fewer at the end), reading only the row groups that hold them."""
        tables = []
        stop = min(start + count, len(self))
        while start < stop:
            part = bisect_right(self._starts, start) - 1
            first = self._starts[part]
            tables.append(_part_slice(self.paths[part], start - first, stop - first))
            start += len(tables[-1])
        return pa.concat_tables(tables) if tables else self.schema.empty_table()

    def text_batches(
        self, column: str, batch_rows: int = 1000, *, write: Callable[[Sequence[Turn]], str] = conversation_text
    ) -> Iterator[tuple[int, list[SafeText]]]:
        """(index of the first row, texts) in row order; only the text column is read. `write` makes the text of a
        conversation from its turns."""
        start = 0
        for path in self.paths:
            with pq.ParquetFile(path) as part:
                for batch in part.iter_batches(batch_rows, columns=[column]):
                    yield start, column_texts(batch.column(0), write)
                    start += len(batch)

    @cached_property
    def _starts(self) -> list[int]:
        """Index of each part's first row, then the number of rows."""
        try:
            return [0, *accumulate(pq.read_metadata(path).num_rows for path in self.paths)]
        except (pa.ArrowInvalid, OSError) as error:
            raise BadArtifact(f"A part of the dataset cannot be read: {error}", "Import the dataset again.") from error


def column_texts(column: pa.Array, write: Callable[[Sequence[Turn]], str] = conversation_text) -> list[SafeText]:
    """The values of a column of text, bytes or conversations as text; a string column may hold bytes that are no UTF-8."""
    if is_conversation(column.type):
        return [
            safe_text(write(conversation_turns(value) or ())) if value else safe_text(None) for value in _lists(column)
        ]
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    return [safe_text(value) for value in column.to_pylist()]


def _lists(column: pa.Array) -> list[Any]:
    """Lists as Python has them; a list with bytes that are no UTF-8 in a string becomes nothing."""
    values = []
    for scalar in column:
        try:
            values.append(scalar.as_py())
        except UnicodeDecodeError:
            values.append(None)
    return values


def _part_slice(path: Path, start: int, stop: int) -> pa.Table:
    """Rows [start, stop) of one part."""
    with pq.ParquetFile(path) as part:
        sizes = [part.metadata.row_group(group).num_rows for group in range(part.num_row_groups)]
        ends = list(accumulate(sizes))
        groups = [group for group, end in enumerate(ends) if end > start and end - sizes[group] < stop]
        first = ends[groups[0]] - sizes[groups[0]]
        return part.read_row_groups(groups).slice(start - first, stop - start)
