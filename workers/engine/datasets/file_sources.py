"""Rows from local files: .txt, .jsonl, .json, .csv, .parquet, or a folder of files of one of these kinds.

    .txt      one document per paragraph (blank lines between), column `text`
    .jsonl    one JSON value per line: an object is a row, a string is a row with the column `text`
    .json     one array of such values, or the same as .jsonl
    .csv      the first line names the columns; comma, semicolon or tab; every value stays text
    .parquet  as it is

A line or CSV row that is not UTF-8 is read as Latin-1 and counted. Nothing is ever skipped silently: what cannot be
read is an error that names file and line.
"""

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from workers.engine.datasets.json_array import json_array_rows
from workers.engine.datasets.schemas import table_of_rows
from workers.engine.datasets.source import BATCH_BYTES, BATCH_ROWS, RowSource
from workers.engine.specs.datasets import FILE_FORMATS
from workers.engine.specs.errors import BadArtifact, EngineError
from workers.engine.text.decoding import safe_text

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
BOM = b"\xef\xbb\xbf"
ESCAPED_BYTE = re.compile("[\udc80-\udcff]")
"""How Python marks a byte that is not UTF-8 (surrogateescape)."""

Row = dict[str, Any]


def file_source(path: str | Path) -> RowSource:
    """Rows of a file or folder. Raises EngineError (missing, unsupported) and BadArtifact (not what its name says)."""
    paths = _paths_of(Path(path))
    source = RowSource(tables=iter(()), total_bytes=sum(p.stat().st_size for p in paths))
    if paths[0].suffix.lower() == ".parquet":
        files = [_parquet_open(p) for p in paths]
        source.total_rows = sum(file.metadata.num_rows for file in files)
        source.tables = (table for file in files for table in _parquet_tables(file))
        return source
    for p in paths:
        _check_signature(p)
    source.tables = _tables(row for p in paths for row in READERS[p.suffix.lower()](p, source))
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


def _tables(rows: Iterator[Row]) -> Iterator[pa.Table]:
    while batch := list(islice(rows, BATCH_ROWS)):
        yield table_of_rows(batch)


def _lines(path: Path, source: RowSource) -> Iterator[tuple[int, str]]:
    """(line number from 1, line without its end); counts lines that are not UTF-8."""
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = _decoded(raw.removeprefix(BOM) if number == 1 else raw, source)
            yield number, line.rstrip("\r\n")


def _decoded(raw: bytes, source: RowSource) -> str:
    """Bytes as UTF-8, else as Latin-1 and counted; NUL characters stay (readers of the text take them out)."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        source.latin1_rows += 1
        return raw.decode("latin-1")


def _txt_rows(path: Path, source: RowSource) -> Iterator[Row]:
    paragraph: list[bytes] = []
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            line = raw.removeprefix(BOM) if number == 1 else raw
            if line.strip():
                paragraph.append(line.rstrip(b"\r\n"))
            elif paragraph:
                yield {"text": _decoded(b"\n".join(paragraph), source)}
                paragraph = []
    if paragraph:
        yield {"text": _decoded(b"\n".join(paragraph), source)}


def _jsonl_rows(path: Path, source: RowSource) -> Iterator[Row]:
    for number, line in _lines(path, source):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            raise BadArtifact(
                f"{path.name}: line {number} is not JSON ({error.msg}, column {error.colno}).",
                "Correct the line. Each line holds one JSON object.",
            ) from error
        yield _json_row(value, path, number)


def _json_rows(path: Path, source: RowSource) -> Iterator[Row]:
    with path.open("rb") as file:
        is_array = file.read(4096).removeprefix(BOM).lstrip().startswith(b"[")
    if not is_array:
        yield from _jsonl_rows(path, source)
        return
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for number, value in json_array_rows(file, path.name):
            text = json.dumps(value, ensure_ascii=False)
            if ESCAPED_BYTE.search(text):
                value = json.loads(_latin1(text, source))
            yield _json_row(value, path, number)


def _json_row(value: Any, path: Path, number: int) -> Row:
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        raise BadArtifact(
            f"{path.name}: line {number} holds {type(value).__name__}, not an object.",
            'Each row is an object such as {"text": "…"}, or a string.',
        )
    return {name: _encodable(inner) for name, inner in value.items()}


def _encodable(value: Any) -> Any:
    """JSON may spell half of a surrogate pair, which no file can hold: it becomes U+FFFD."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_encodable(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _encodable(inner) for name, inner in value.items()}
    return value


def _csv_rows(path: Path, source: RowSource) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)  # a document is longer than the library's 128 kB
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        first_line = file.readline()
        file.seek(0)
        reader = csv.reader(file, delimiter=max(",;\t", key=first_line.count))
        names = [_latin1_if_needed(name, source) for name in next(reader, [])]
        if len(set(names)) < len(names):
            raise BadArtifact(f"{path.name} names a column twice: {', '.join(names)}.", "Rename one of them.")
        for values in reader:
            if not values:
                continue
            if len(values) > len(names):
                raise BadArtifact(
                    f"{path.name}: the row ending in line {reader.line_num} has {len(values)} values; "
                    f"the first line names {len(names)} columns.",
                    "Put values that contain the separator in double quotes.",
                )
            if any(ESCAPED_BYTE.search(value) for value in values):
                source.latin1_rows += 1
                values = [_as_latin1(value) for value in values]
            yield dict.fromkeys(names) | dict(zip(names, values))


def _latin1_if_needed(text: str, source: RowSource) -> str:
    return _latin1(text, source) if ESCAPED_BYTE.search(text) else text


def _latin1(text: str, source: RowSource) -> str:
    source.latin1_rows += 1
    return _as_latin1(text)


def _as_latin1(text: str) -> str:
    """The text whose bytes were not UTF-8, read as Latin-1."""
    return safe_text(text.encode("utf-8", "surrogateescape")).text


def _parquet_open(path: Path) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadArtifact(
            f"{path.name} is no Parquet file, or is cut short.", "Copy or download it again; check its suffix."
        ) from error
    names = file.schema_arrow.names
    if len(set(names)) < len(names):
        raise BadArtifact(f"{path.name} has two columns of the same name.", "Rename one of them.")
    return file


def _parquet_tables(file: pq.ParquetFile) -> Iterator[pa.Table]:
    rows = max(file.metadata.num_rows, 1)
    stored = sum(file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups))
    batch_rows = max(1, min(BATCH_ROWS, BATCH_BYTES * rows // max(stored, 1)))
    try:
        for batch in file.iter_batches(batch_rows):
            yield pa.Table.from_batches([batch])
    except (pa.ArrowInvalid, OSError) as error:
        raise BadArtifact(f"The Parquet file is damaged: {error}", "Copy or download it again.") from error


READERS: dict[str, Callable[[Path, RowSource], Iterator[Row]]] = {
    ".txt": _txt_rows,
    ".jsonl": _jsonl_rows,
    ".json": _json_rows,
    ".csv": _csv_rows,
}
