"""Brings rows of text into the studio: from the Hub (hub_source.py) or from local files (file_sources.py).

    1. Rows are streamed into Parquet parts, all columns kept, in their order (row_parts.py).
    2. The text column is chosen (text_column.py).
    3. One pass over that column alone counts and hashes what later readers will see.

The dataset's identity is `content_sha256`: SHA-256 over the texts in row order, each preceded by its length in UTF-8
bytes as 8 little-endian bytes, so that no two different lists of texts can hash alike.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from workers.engine.datasets.file_sources import file_source
from workers.engine.datasets.hub_source import hub_source
from workers.engine.datasets.row_parts import RowParts
from workers.engine.datasets.rows import Rows
from workers.engine.datasets.source import RowSource
from workers.engine.datasets.text_column import text_column_choose, text_column_notes
from workers.engine.disk import disk_require
from workers.engine.progress import Progress
from workers.engine.specs.datasets import DatasetImportInputs, DatasetImportResult, DatasetImportSpec
from workers.engine.specs.errors import EngineError
from workers.engine.specs.hub_ids import hub_id

MEBIBYTE = 2**20


@dataclass(frozen=True)
class TextCounts:
    """What one pass over the text column found."""

    text_bytes: int
    undecodable_rows: int
    nul_rows: int
    content_sha256: str


def dataset_import(spec: DatasetImportSpec, inputs: DatasetImportInputs, progress: Progress) -> DatasetImportResult:
    """Fill `inputs.out_dir`/rows. Raises EngineError (codes in the sources), BadArtifact, DiskFull, Transient."""
    source = _source_open(spec, inputs)
    disk_require(inputs.out_dir, source.total_bytes or 0)
    parts = RowParts(Path(inputs.out_dir) / "rows")
    _rows_copy(source, parts, spec, progress)
    if not parts.rows:
        raise EngineError("The source has no rows.", "Choose another file or split.", code="empty_dataset")
    column = text_column_choose(parts.schema, spec.text_column)
    for note in text_column_notes(parts.schema, column):
        progress.event(note, level="warning")
    rows = Rows.open(inputs.out_dir)
    counts = _texts_count(rows, column, progress)
    return DatasetImportResult(
        rows=parts.rows,
        bytes=parts.size_on_disk(),
        columns=tuple(parts.schema.names),
        column_types=tuple(str(kind) for kind in parts.schema.types),
        text_column=column,
        text_bytes=counts.text_bytes,
        undecodable_rows=counts.undecodable_rows + source.latin1_rows,
        nul_rows=counts.nul_rows,
        licence=source.licence,
        revision=source.revision,
        content_sha256=counts.content_sha256,
    )


def _source_open(spec: DatasetImportSpec, inputs: DatasetImportInputs) -> RowSource:
    if spec.source == "hub":
        return hub_source(hub_id(spec.repo_id), spec.config, spec.split, spec.row_cap)
    return file_source(inputs.path)


def _rows_copy(source: RowSource, parts: RowParts, spec: DatasetImportSpec, progress: Progress) -> None:
    """Stream up to the row cap into `parts`; a text column that cannot be is found at the first rows, not the last."""
    total = source.total_rows
    if total is not None and spec.row_cap is not None:
        total = min(total, spec.row_cap)
    progress.phase("Reading rows", total, "rows")
    copied, copied_bytes = 0, 0
    for table in source.tables:
        if not copied:
            text_column_choose(table.schema, spec.text_column)
        if spec.row_cap is not None:
            table = table.slice(0, spec.row_cap - copied)
        parts.write(table)
        copied, copied_bytes = copied + len(table), copied_bytes + table.nbytes
        progress.advance(len(table), f"{copied_bytes / MEBIBYTE:,.1f} MiB read")
        if copied == spec.row_cap:
            break
    parts.close()


def _texts_count(rows: Rows, column: str, progress: Progress) -> TextCounts:
    """Sizes, oddities and hash of the texts as later readers see them."""
    progress.phase("Checking text", len(rows), "rows")
    digest = hashlib.sha256()
    text_bytes = undecodable = nul = 0
    for _, texts in rows.text_batches(column):
        for found in texts:
            raw = found.text.encode("utf-8")
            digest.update(len(raw).to_bytes(8, "little"))
            digest.update(raw)
            text_bytes += len(raw)
            undecodable += found.was_latin1
            nul += found.had_nul
        progress.advance(len(texts), f"{text_bytes / MEBIBYTE:,.1f} MiB of text")
    return TextCounts(text_bytes, undecodable, nul, digest.hexdigest())
