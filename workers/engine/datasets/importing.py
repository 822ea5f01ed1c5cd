"""Brings rows of text into the studio: from the Hub (hub_source.py) or from local files (file_sources.py).

    1. Rows are copied into Parquet parts, all columns kept, in their order (row_parts.py). Those from the Hub gather
       in a folder that outlives the attempt (kept_rows.py).
    2. The text column is chosen (text_column.py).
    3. One pass over that column alone counts and hashes what later readers will see; one over each column draws its
       histogram (histograms.py).

The dataset's identity is `content_sha256`: SHA-256 over the texts in row order, each preceded by its length in UTF-8
bytes as 8 little-endian bytes, so that no two different lists of texts can hash alike.
"""

import errno
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.engine.datasets.column_names import table_named
from workers.engine.datasets.file_sources import file_source
from workers.engine.datasets.histograms import histograms
from workers.engine.datasets.hub_source import hub_source
from workers.engine.datasets.kept_rows import KeptRows
from workers.engine.datasets.row_parts import RowParts
from workers.engine.datasets.rows import Rows
from workers.engine.datasets.schemas import RowTables
from workers.engine.datasets.source import RowSource
from workers.engine.datasets.text_column import is_conversation, text_column_choose, text_column_notes
from workers.engine.disk import disk_require
from workers.engine.progress import Progress, Stopped
from workers.engine.specs.datasets import DatasetImportInputs, DatasetImportResult, DatasetImportSpec
from workers.engine.specs.errors import DiskFull, EngineError

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
    if spec.source != "hub":
        return _looked_over(*_file_rows(spec, inputs, progress), spec, progress)
    kept = KeptRows.open(inputs.job_dir, spec)
    result = _looked_over(*_hub_rows(spec, kept, progress), spec, progress)
    kept.move_to(inputs.out_dir)
    return result


def _looked_over(
    source: RowSource, parts: RowParts, spec: DatasetImportSpec, progress: Progress
) -> DatasetImportResult:
    """What the written rows are, by passes over them."""
    column = text_column_choose(parts.first_schema, spec.text_column)
    odd = [*source.notices.sentences(), *source.changes.sentences(), *text_column_notes(parts.schema, column)]
    for note in odd:
        progress.event(note, level="warning")
    rows = Rows.open(parts.folder.parent)
    counts = _texts_count(rows, column, progress)
    return DatasetImportResult(
        rows=parts.rows,
        bytes=sum(path.stat().st_size for path in rows.paths),
        columns=tuple(parts.schema.names),
        column_types=tuple(str(kind) for kind in parts.schema.types),
        text_column=column,
        text_bytes=counts.text_bytes,
        undecodable_rows=counts.undecodable_rows + source.latin1_rows,
        nul_rows=counts.nul_rows,
        licence=source.licence,
        revision=source.revision,
        content_sha256=counts.content_sha256,
        is_conversation=is_conversation(parts.schema.field(column).type),
        histograms=histograms(rows, progress),
    )


def _file_rows(spec: DatasetImportSpec, inputs: DatasetImportInputs, progress: Progress) -> tuple[RowSource, RowParts]:
    source = file_source(inputs.path)
    disk_require(inputs.out_dir, source.total_bytes or 0)
    parts = RowParts(Path(inputs.out_dir) / "rows")
    _rows_copy(source, parts, spec, progress)
    return source, parts


def _hub_rows(spec: DatasetImportSpec, kept: KeptRows, progress: Progress) -> tuple[RowSource, RowParts]:
    """Rows gather in the kept folder, so that an attempt that ends early is gone on with."""
    source, parts = hub_source(spec, kept, progress), kept.row_parts()
    if kept.rows:
        progress.event(f"{kept.rows:,} rows of an earlier attempt are kept.")
    _rows_copy(source, parts, spec, progress, kept)
    return source, parts


def _rows_copy(
    source: RowSource, parts: RowParts, spec: DatasetImportSpec, progress: Progress, kept: KeptRows | None = None
) -> None:
    """Copy up to the row cap; with `kept`, what has arrived when it ends early is noted there."""
    place: dict[str, Any] | None = None
    parts.changes = source.changes

    def keep() -> None:
        if kept is not None and place is not None:
            kept.save(parts, source.revision, place)

    try:
        for _ in _tables_write(source, parts, spec, progress):
            place = source.place() if source.place else None
            if parts.is_part_full:
                keep()
        parts.close()
        keep()
    except DiskFull:
        raise  # up to the newest complete part everything is kept; there is no room for more
    except (Stopped, EngineError):
        keep()
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise DiskFull("The data disk is full.", "Make room, then try again.") from error
    if not parts.rows:
        raise EngineError("The source has no rows.", "Choose another file or split.", code="empty_dataset")


def _tables_write(source: RowSource, parts: RowParts, spec: DatasetImportSpec, progress: Progress) -> Iterator[None]:
    """Yield after each table; a text column that cannot be is found at the first rows, not the last."""
    total, cap = source.total_rows, spec.row_cap
    if cap is not None:
        total = min(total, cap) if total is not None else None
    progress.phase("Reading rows", total, "rows")
    copied, copied_bytes = parts.rows, 0
    plain = RowTables(source.changes, source.notices, rows=copied)
    progress.reach(copied)
    if copied == cap:
        return
    for table in source.tables:
        table = plain.plain(table_named(table, "The source"))
        if not copied_bytes:
            text_column_choose(table.schema, spec.text_column)
        if cap is not None:
            table = table.slice(0, cap - copied)
        parts.write(table)
        copied, copied_bytes = copied + len(table), copied_bytes + table.nbytes
        yield
        progress.reach(copied, f"{copied_bytes / MEBIBYTE:,.1f} MiB read")
        if copied == cap:
            return


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
