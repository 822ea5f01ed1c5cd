"""Tables of a Parquet file, cut by what they take in memory, not by what they take in the file.

A file of some hundred bytes may stand for gigabytes: a long text that is stored once and referred to by every row. So columns
of bytes are read as they are stored, each value once with a number for each row; batches are cut by the sum of what the
rows refer to, and only then written out in full. Files that cannot be read in bounded memory are refused from their metadata.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from workers.engine.datasets import source as limits
from workers.engine.datasets.column_names import columns_named
from workers.engine.datasets.source import BATCH_BYTES, BATCH_ROWS
from workers.engine.datasets.text_lines import row_too_large
from workers.engine.specs.errors import BadArtifact

WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 12, "FLOAT": 4, "DOUBLE": 8}
"""Bytes of a value by physical type; others are referred to by a number of 4."""
REPEATED_FROM = 2**20
"""A column chunk of bytes from this size on may repeat values that are too long to be written out for a whole batch."""
NESTED_SHARE = 16
SUSPECT_BYTES = 2**30
SUSPECT_RATIO = 1_000
"""No text is packed so densely: such a chunk is made to fill the memory, and its pages could not be read one by one."""


@dataclass(frozen=True)
class ParquetSource:
    """One file, its metadata looked through."""

    path: Path
    rows: int
    batch_rows: int
    repeated: tuple[str, ...]
    """Columns to be read as stored."""

    @classmethod
    def open(cls, path: Path) -> "ParquetSource":
        """Raises BadArtifact for what is no Parquet file, has columns that cannot be stored, or stands for too much."""
        with _errors(path), pq.ParquetFile(path) as file:
            columns_named(file.schema_arrow.names, path.name)
            footer = file.metadata
            leaves = [file.schema.column(place) for place in range(footer.num_columns)]
            chunks = [
                (leaf, footer.row_group(group).column(place))
                for group in range(footer.num_row_groups)
                for place, leaf in enumerate(leaves)
            ]
        for leaf, chunk in chunks:
            _check(path, leaf, chunk)
        expanded = sum(max(chunk.total_uncompressed_size, _values_bytes(chunk)) for _, chunk in chunks)
        batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES * max(footer.num_rows, 1) // max(expanded, 1)))
        repeated = {
            chunk.path_in_schema
            for _, chunk in chunks
            if chunk.physical_type == "BYTE_ARRAY" and chunk.total_uncompressed_size > REPEATED_FROM
        }
        return cls(path, footer.num_rows, batch_rows, tuple(sorted(repeated)))

    def tables(self) -> Iterator[pa.Table]:
        """All rows in order, BATCH_BYTES or one row at a time. Raises BadArtifact."""
        done = 0
        with _errors(self.path):
            try:
                for table in self._tables(self.repeated, self.batch_rows):
                    yield table
                    done += len(table)
            except pa.ArrowNotImplementedError:
                # A nested column whose writer stopped numbering its values on the way: few rows at a time, then.
                flat = tuple(name for name in self.repeated if "." not in name)
                yield from self._tables(flat, max(1, self.batch_rows // NESTED_SHARE), done)

    def _tables(self, repeated: Sequence[str], batch_rows: int, skipped: int = 0) -> Iterator[pa.Table]:
        """The rows behind the first `skipped`."""
        row = 0
        with pq.ParquetFile(self.path, read_dictionary=list(repeated)) as file:
            for batch in file.iter_batches(batch_rows):
                rest = batch.slice(min(max(skipped - row, 0), len(batch)))
                row += len(batch)
                for start, stop in _cuts(rest, self.path.name, row - len(rest)):
                    part = rest.slice(start, stop - start)
                    yield pa.table([written_out(column) for column in part.columns], names=part.schema.names)


class _errors:
    """What pyarrow says of a file, in words."""

    def __init__(self, path: Path) -> None:
        self.name = path.name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, MemoryError) or not isinstance(error, pa.ArrowException | OSError | UnicodeDecodeError):
            return
        raise BadArtifact(
            f"{self.name} is no Parquet file, is cut short or damaged: {str(error)[:200]}",
            "Copy or download it again; check its suffix.",
        ) from error


def _values_bytes(chunk: pq.ColumnChunkMetaData) -> int:
    return chunk.num_values * WIDTHS.get(chunk.physical_type, 4)


def _check(path: Path, leaf: pq.ColumnSchema, chunk: pq.ColumnChunkMetaData) -> None:
    """Refuse chunks that cannot be read a few rows at a time: a page is whole in memory, and so is a row of a list."""
    whole = chunk.total_uncompressed_size
    if leaf.max_repetition_level:
        whole = max(whole, _values_bytes(chunk))
    if whole > SUSPECT_BYTES and whole > SUSPECT_RATIO * chunk.total_compressed_size:
        raise BadArtifact(
            f"{path.name}: column {chunk.path_in_schema!r} takes {chunk.total_compressed_size:,} bytes and stands for "
            f"{whole:,}; that much is not unpacked at once.",
            "Write the file again in smaller row groups, or leave the column out.",
        )


def _cuts(batch: pa.RecordBatch, name: str, first: int) -> Iterator[tuple[int, int]]:
    """Spans of rows that take BATCH_BYTES at most, or are one row. Raises BadArtifact for a row beyond MOST_ROW_BYTES."""
    ends = np.cumsum(sum((row_bytes(column) for column in batch.columns), np.zeros(len(batch), np.int64)))
    start = before = 0
    while start < len(batch):
        stop = max(start + 1, int(np.searchsorted(ends, before + BATCH_BYTES, side="right")))
        if ends[stop - 1] - before > limits.MOST_ROW_BYTES:
            raise row_too_large(name, f"row {first + start:,}")
        yield start, stop
        start, before = stop, int(ends[stop - 1])


def row_bytes(column: pa.Array) -> np.ndarray:
    """(rows,) int64: what each row takes when it is written out in full."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        lengths = np.append(row_bytes(column.dictionary), 0)
        return lengths[column.indices.fill_null(len(column.dictionary)).to_numpy(zero_copy_only=False)]
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        offsets = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
        inner = (
            column.values
            if not pa.types.is_map(kind)
            else pa.StructArray.from_arrays([column.keys, column.items], ["key", "value"])
        )
        ends = np.append(0, np.cumsum(row_bytes(inner)))
        return ends[offsets[1:]] - ends[offsets[:-1]] + 8
    if pa.types.is_struct(kind):
        return sum(map(row_bytes, column.flatten()), np.zeros(len(column), np.int64))
    if _has_lengths(kind):
        return pa.compute.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64) + 4
    return np.full(len(column), -(-column.nbytes // max(len(column), 1)), np.int64)


def _has_lengths(kind: pa.DataType) -> bool:
    return kind in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())


def written_out(column: pa.Array) -> pa.Array:
    """The column with each value in its place."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return column.dictionary_decode()
    if pa.types.is_struct(kind):
        parts = [written_out(part) for part in column.flatten()]
        fields = [pa.field(part.name, values.type, part.nullable) for part, values in zip(kind, parts)]
        return pa.StructArray.from_arrays(parts, fields=fields, mask=column.is_null()) if fields else column
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        values = written_out(column.flatten())
        lengths = pa.compute.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False)
        offsets = np.append(0, np.cumsum(lengths))
        make = pa.ListArray if pa.types.is_list(kind) else pa.LargeListArray
        whole = pa.field(kind.value_field.name, values.type, kind.value_field.nullable)
        outer = (pa.list_ if pa.types.is_list(kind) else pa.large_list)(whole)
        return make.from_arrays(offsets, values, type=outer, mask=column.is_null())
    return column
