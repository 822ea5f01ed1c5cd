"""Rows from local files: .txt, .jsonl, .json, .csv, .tsv, .parquet, or a folder of files of one of these kinds.

    .txt          one document per paragraph (blank lines between), column `text`
    .jsonl .json  json_rows.py
    .csv .tsv     csv_rows.py
    .parquet      as it is (parquet_tables.py)

A line or CSV row that is not UTF-8 is read as Latin-1 and counted. Nothing is ever skipped silently: what cannot be
read is an error that names file and line, what is only odd is counted.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from workers.engine.datasets import source as limits
from workers.engine.datasets.csv_rows import csv_rows
from workers.engine.datasets.json_rows import json_rows, jsonl_rows
from workers.engine.datasets.parquet_tables import ParquetSource
from workers.engine.datasets.schemas import RowTables
from workers.engine.datasets.source import BATCH_BYTES, BATCH_ROWS, RowSource, SizedRow
from workers.engine.datasets.text_lines import decoded, lines, row_too_large
from workers.engine.specs.datasets import FILE_FORMATS
from workers.engine.specs.errors import BadArtifact, EngineError

SIGNATURES = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"GIF8": "a GIF image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x28\xb5\x2f\xfd": "a Zstandard archive",
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"SQLite format 3": "a SQLite database",
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
}


def file_source(path: str | Path) -> RowSource:
    """Rows of a file or folder. Raises EngineError (missing, unsupported) and BadArtifact (not what its name says)."""
    paths = _paths_of(Path(path))
    source = RowSource(tables=iter(()), total_bytes=sum(p.stat().st_size for p in paths))
    if paths[0].suffix.lower() == ".parquet":
        files = [ParquetSource.open(p) for p in paths]
        source.total_rows = sum(file.rows for file in files)
        source.tables = (table for file in files for table in file.tables())
        return source
    for p in paths:
        _check_signature(p)
    source.tables = _tables((row for p in paths for row in READERS[p.suffix.lower()](p, source)), source)
    return source


def _paths_of(path: Path) -> list[Path]:
    if not path.exists():
        raise EngineError(f"There is no file {path}.", "Check the path on the studio's machine.", code="path_missing")
    if path.is_file():
        if path.suffix.lower() not in FILE_FORMATS:
            raise EngineError(
                f"Files ending in {path.suffix or 'nothing'} cannot be imported.",
                f"Supported: {', '.join(FILE_FORMATS)}.",
                code="unsupported_format",
            )
        return [path]
    if not path.is_dir():
        raise EngineError(
            f"{path} is neither a file nor a folder, but a device, pipe or socket.",
            "Give the path of an ordinary file.",
            code="path_no_file",
        )
    paths = sorted(p for p in path.iterdir() if p.is_file() and p.suffix.lower() in FILE_FORMATS)
    suffixes = sorted({p.suffix.lower() for p in paths})
    if len(suffixes) != 1:
        found = f"files of several kinds ({', '.join(suffixes)})" if suffixes else "no file that can be imported"
        raise EngineError(
            f"The folder {path.name} holds {found}.",
            f"Put files of one kind into it: {', '.join(FILE_FORMATS)}.",
            code="unsupported_format",
        )
    return paths


def _check_signature(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(16)
    for signature, words in SIGNATURES.items():
        if start.startswith(signature):
            hint = "Save it as UTF-8." if "UTF-16" in words else "Choose a text file, or give the file its true suffix."
            raise BadArtifact(f"{path.name} is {words}, not {path.suffix.lower()} text.", hint)


def _tables(rows: Iterator[SizedRow], source: RowSource) -> Iterator[pa.Table]:
    tables = RowTables(source.changes, source.notices)
    batch, taken = [], 0
    for size, row in rows:
        batch.append(row)
        taken += size
        if len(batch) >= BATCH_ROWS or taken >= BATCH_BYTES:
            yield tables.table(batch)
            batch, taken = [], 0
    if batch:
        yield tables.table(batch)


def _txt_rows(path: Path, source: RowSource) -> Iterator[SizedRow]:
    paragraph: list[str] = []
    size = 0
    for number, raw in enumerate(lines(path), 1):
        line = raw.rstrip("\r\n")
        if line.strip():
            paragraph.append(line)
            size += len(line)
            if size > limits.MOST_ROW_BYTES:
                raise row_too_large(path.name, f"line {number:,}")
        elif paragraph:
            yield size, {"text": decoded("\n".join(paragraph), source)}
            paragraph, size = [], 0
    if paragraph:
        yield size, {"text": decoded("\n".join(paragraph), source)}


READERS: dict[str, Callable[[Path, RowSource], Iterator[SizedRow]]] = {
    ".txt": _txt_rows,
    ".jsonl": jsonl_rows,
    ".json": json_rows,
    ".csv": csv_rows,
    ".tsv": csv_rows,
}
