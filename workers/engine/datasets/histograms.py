"""How the values of each column are distributed, column by column in batches: memory does not grow with the rows.

Numbers fall into 20 bins between the column's least and greatest finite value; whole numbers that span less than ten,
such as labels and ratings, are counted one by one. Texts with up to 20 distinct values are counted by value, others by
their length in characters, each length for itself while they span less than 20. Columns of any other type have no
histogram, nor have those behind the first 200: each takes a pass of its own.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from workers.engine.datasets.rows import Rows, column_texts
from workers.engine.progress import Progress
from workers.engine.specs.datasets import ColumnHistogram

BINS = 20
FEW_NUMBERS = 10
"""Whole numbers that span less are values, no distribution."""
MOST_COLUMNS = 200
MOST_VALUES = 20
"""A text column with more distinct values is shown by length."""
MOST_VALUE_CHARACTERS = 200
"""Longer texts are no labels of a bar."""


def histograms(rows: Rows, progress: Progress) -> tuple[ColumnHistogram, ...]:
    """One for each column that has one, in column order; only numbers that JSON knows."""
    fields = list(rows.schema)
    if len(fields) > MOST_COLUMNS:
        progress.event(f"Histograms are drawn for the first {MOST_COLUMNS} of {len(fields):,} columns.")
    progress.phase("Drawing histograms", len(fields[:MOST_COLUMNS]), "columns")
    found = []
    for field in fields[:MOST_COLUMNS]:
        if _is_number(field.type):
            found.append(_numbers(rows, field.name, is_whole=pa.types.is_integer(field.type)))
        elif _is_text(field.type):
            found.append(_texts(rows, field.name, progress))
        progress.advance(1, field.name)
    return tuple(one for one in found if any(one.counts))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _batches(rows: Rows, column: str) -> Iterator[pa.Array]:
    for path in rows.paths:
        with pq.ParquetFile(path) as part:
            for batch in part.iter_batches(columns=[column]):
                yield batch.column(0)


def _numbers(rows: Rows, column: str, *, is_whole: bool) -> ColumnHistogram:
    low, high, nulls = np.inf, -np.inf, 0
    for batch in _batches(rows, column):
        values = _finite(batch)
        nulls += len(batch) - len(values)
        if len(values):
            low, high = min(low, values.min()), max(high, values.max())
    if low > high:
        return ColumnHistogram(column=column, kind="number", nulls=nulls)
    if is_whole and high - low < FEW_NUMBERS:
        return _whole_numbers(rows, column, int(low), int(high), nulls)
    edges = _edges(float(low), float(high))
    counts = sum(np.histogram(_finite(batch), edges)[0] for batch in _batches(rows, column))
    return _binned(column, "number", edges, counts, nulls)


def _whole_numbers(rows: Rows, column: str, low: int, high: int, nulls: int) -> ColumnHistogram:
    """Those that occur, by their size."""
    places = (_finite(batch).astype(np.int64) - low for batch in _batches(rows, column))
    counts = sum(np.bincount(place, minlength=high - low + 1) for place in places)
    found = np.nonzero(counts)[0]
    return ColumnHistogram(
        column=column,
        kind="value",
        values=tuple(str(low + place) for place in found.tolist()),
        counts=tuple(counts[found].tolist()),
        nulls=nulls,
    )


def _finite(batch: pa.Array) -> np.ndarray:
    """The batch's values as float64, without nulls, NaN and infinities."""
    values = batch.cast(pa.float64(), safe=False).drop_null().to_numpy(zero_copy_only=False)
    return values[np.isfinite(values)]


def _edges(low: float, high: float) -> np.ndarray:
    """20 bins of equal width, or a single one around a column of one value."""
    if low == high:
        return np.array([low, high])
    # Halves first: the span of two finite numbers may be infinite.
    edges = np.linspace(low / 2, high / 2, BINS + 1) * 2
    edges[0], edges[-1] = low, high
    return np.unique(edges)


def _length_edges(low: int, high: int) -> np.ndarray:
    """A bin for each length while there are few, its borders halfway to the next."""
    return _edges(float(low), float(high)) if high - low >= BINS else np.arange(low - 0.5, high + 1)


def _binned(column: str, kind: str, edges: np.ndarray, counts: np.ndarray, nulls: int) -> ColumnHistogram:
    return ColumnHistogram(
        column=column,
        kind=kind,
        edges=tuple(float(edge) for edge in edges),
        counts=tuple(int(count) for count in counts),
        nulls=nulls,
    )


def _texts(rows: Rows, column: str, progress: Progress) -> ColumnHistogram:
    """By value while there are few; by length from one pass over all, whose memory is one count per distinct length."""
    values: dict[str, int] | None = {}
    lengths: dict[int, int] = {}
    nulls = 0
    for batch in _batches(rows, column):
        nulls += batch.null_count
        texts = _as_texts(batch)
        for pair in pc.value_counts(pc.utf8_length(texts)).to_pylist():
            lengths[pair["values"]] = lengths.get(pair["values"], 0) + pair["counts"]
        values = _counted(values, texts)
        progress.advance(0)
    if values is not None:
        ordered = sorted(values, key=lambda value: (-values[value], value))
        return ColumnHistogram(
            column=column,
            kind="value",
            values=tuple(ordered),
            counts=tuple(values[value] for value in ordered),
            nulls=nulls,
        )
    edges = _length_edges(min(lengths), max(lengths))
    counts, _ = np.histogram(list(lengths), edges, weights=list(lengths.values()))
    return _binned(column, "length", edges, counts, nulls)


def _counted(values: dict[str, int] | None, texts: pa.Array) -> dict[str, int] | None:
    """Counts by value with a batch added; None from the moment there are too many values, or one is too long."""
    if values is None:
        return None
    longest = pc.max(pc.utf8_length(texts)).as_py() or 0
    pairs = pc.value_counts(texts) if longest <= MOST_VALUE_CHARACTERS else None
    if pairs is None or len(pairs) > MOST_VALUES:
        return None
    for pair in pairs.to_pylist():
        values[pair["values"]] = values.get(pair["values"], 0) + pair["counts"]
    return values if len(values) <= MOST_VALUES else None


def _as_texts(batch: pa.Array) -> pa.Array:
    """Values without nulls; text that is no UTF-8 is read as everywhere."""
    return pa.array([found.text for found in column_texts(batch.drop_null())], pa.large_string())
