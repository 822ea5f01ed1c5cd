"""Rows that hold some words or lie in a bar of a histogram. Only the columns in question are read until rows are found."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from apps.datasets.column_filters import ColumnFilter
from apps.datasets.models import Dataset
from apps.datasets.rows import CELL_CHARACTERS, PAGE_ROWS, RowsPage, batches_between, column_names, rows_at
from apps.datasets.scalars import texts_of
from apps.datasets.selectors import dataset_folder
from workers.engine.text.folding import folded

SEARCH_ROWS = 200_000
"""Rows that one request looks at, unless their text is long."""
SEARCH_BYTES = 96 * 2**20
"""Of text, which takes a second and a half where it has other letters than ASCII's."""
BATCH_ROWS = 1_000


@dataclass(frozen=True)
class RowsFound:
    """Up to PAGE_ROWS rows; `next_start` is the row from which to search on, None when all were looked at."""

    page: RowsPage
    searched: int
    next_start: int | None


def rows_search(
    dataset: Dataset,
    words: str = "",
    chosen: ColumnFilter | None = None,
    *,
    start: int = 0,
    clip: int = CELL_CHARACTERS,
) -> RowsFound:
    """Up to PAGE_ROWS rows from `start` on whose own text holds `words`, case ignored, and that pass the filter.

    One request looks at SEARCH_ROWS rows and SEARCH_BYTES of text at most: a search of millions goes on by its link.
    """
    hits: list[int] = []
    at = start
    for first, count, places in _hits(dataset, words, chosen, start):
        hits += [first + place for place in places]
        at = first + count
        if len(hits) > PAGE_ROWS:
            at = hits[PAGE_ROWS]
            break
    shown = rows_at(dataset, hits[:PAGE_ROWS], clip=clip) if hits else RowsPage(column_names(dataset), ())
    return RowsFound(shown, at - start, at if at < dataset.rows else None)


def _hits(
    dataset: Dataset, words: str, chosen: ColumnFilter | None, start: int
) -> Iterator[tuple[int, int, list[int]]]:
    """For each batch: its first row, how many rows it has, and the places in it that pass."""
    text_column = dataset.text_column if words else ""
    columns = sorted({name for name in (text_column, chosen.column if chosen else "") if name})
    stop = min(dataset.rows, start + SEARCH_ROWS)
    looked_at = 0
    for first, batch in batches_between(dataset_folder(dataset.pk), start, stop, columns, BATCH_ROWS):
        passes = pa.array([True] * len(batch))
        if words and not text_column:
            passes = pa.array([False] * len(batch))
        if text_column:
            passes = pc.and_(passes, _contains(batch.column(text_column), words))
        if chosen:
            passes = pc.and_(passes, chosen.holds(batch.column(chosen.column)))
        yield first, len(batch), pc.indices_nonzero(passes).to_pylist()
        looked_at += batch.nbytes
        if looked_at >= SEARCH_BYTES:
            return


def _contains(column: pa.Array, words: str) -> pa.Array:
    """Compared as folding.py says; texts of ASCII alone by Arrow, which is faster and comes to the same."""
    texts, wanted = texts_of(column), folded(words)
    holds = pc.match_substring(texts, wanted, ignore_case=True).fill_null(False).to_numpy(zero_copy_only=False).copy()
    for place in np.flatnonzero(~pc.string_is_ascii(texts).fill_null(True).to_numpy(zero_copy_only=False)):
        holds[place] = wanted in folded(texts[place].as_py())
    return pa.array(holds)
