"""Writes rows as numbered Parquet files: rows/part-00000.parquet, part-00001.parquet, …

A part has up to 10,000 rows or about 64 MB; a row group up to 1,000 rows or 16 MB, so that a page of rows is read without
its neighbours and no more than a row group waits in memory. When late rows widen the schema, a new part begins and the
earlier ones are brought to the final schema at the end: all parts agree.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from workers.engine.datasets.schemas import schema_changes, schemas_unify, table_conform
from workers.engine.datasets.type_changes import TypeChanges
from workers.engine.disk import disk_require

PART_ROWS, PART_BYTES = 10_000, 64 * 2**20
GROUP_ROWS, GROUP_BYTES = 1_000, 16 * 2**20


class RowParts:
    """A folder of rows in the making: `write` tables in order, then `close`."""

    def __init__(self, folder: str | Path, kept_parts: int = 0) -> None:
        """Go on after the first `kept_parts` parts in the folder; later ones are deleted."""
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.schema = pa.schema([])
        self.changes = TypeChanges()
        """Where columns changed their type; a source that notes such changes too shares it."""
        self.rows = 0
        self.bytes = 0
        """In memory form, of everything written so far."""
        self._paths: list[Path] = []
        self._schemas: list[pa.Schema] = []
        self._writer: pq.ParquetWriter | None = None
        self._part_rows = self._part_bytes = 0
        self._waiting: list[pa.Table] = []
        self._waiting_rows = self._waiting_bytes = 0
        self._keep(kept_parts)

    @property
    def is_part_full(self) -> bool:
        """Whether the part in the making has all it should: a good moment to `complete` it."""
        return self._part_rows >= PART_ROWS or self._part_bytes >= PART_BYTES

    @property
    def first_schema(self) -> pa.Schema:
        """What the first rows had, before later ones widened it."""
        return self._schemas[0]

    def complete(self) -> int:
        """Bring everything written so far to the disk as complete parts; returns how many there are."""
        self._flush()
        self._part_close()
        return len(self._paths)

    def write(self, table: pa.Table) -> None:
        """Append rows; they reach the disk with their row group. Raises DiskFull."""
        while len(table):
            room = GROUP_ROWS - self._waiting_rows
            head, table = table.slice(0, room), table.slice(room)
            self._waiting.append(head)
            self._waiting_rows += len(head)
            self._waiting_bytes += head.nbytes
            if self._waiting_rows >= GROUP_ROWS or self._waiting_bytes >= GROUP_BYTES:
                self._flush()

    def close(self) -> None:
        """Write what waits and bring every part to the final schema."""
        self.complete()
        for path, schema in zip(self._paths, self._schemas):
            if not schema.equals(self.schema):
                _rewrite(path, self.schema)

    def size_on_disk(self) -> int:
        """Bytes of all parts."""
        return sum(path.stat().st_size for path in self._paths)

    def _flush(self) -> None:
        if not self._waiting:
            return
        first = self.rows
        for table in self._waiting:
            if not table.schema.equals(self.schema):
                schema_changes(self.schema, table, first, self.changes)
                self.schema = schemas_unify(self.schema, table.schema)
            first += len(table)
        group = pa.concat_tables([table_conform(table, self.schema) for table in self._waiting])
        self.rows += self._waiting_rows
        self.bytes += self._waiting_bytes
        if self._writer is None or self.is_part_full or not self._schemas[-1].equals(self.schema):
            self._part_open()
        self._writer.write_table(group, row_group_size=GROUP_ROWS)
        self._part_rows += self._waiting_rows
        self._part_bytes += self._waiting_bytes
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0

    def _part_open(self) -> None:
        self._part_close()
        disk_require(self.folder, 2 * PART_BYTES)
        path = self.folder / f"part-{len(self._paths):05d}.parquet"
        self._paths.append(path)
        self._schemas.append(self.schema)
        self._writer = pq.ParquetWriter(path, self.schema, compression="zstd")

    def _part_close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._part_rows = self._part_bytes = 0

    def _keep(self, parts: int) -> None:
        for number, path in enumerate(sorted(self.folder.glob("part-*.parquet"))):
            if number >= parts:
                path.unlink()
                continue
            with pq.ParquetFile(path) as part:
                self._paths.append(path)
                self._schemas.append(part.schema_arrow.remove_metadata())
                self.rows += part.metadata.num_rows
            self.schema = schemas_unify(self.schema, self._schemas[-1])


def _rewrite(path: Path, schema: pa.Schema) -> None:
    """The same rows under another schema, row group by row group."""
    fresh = path.with_suffix(".new")
    with pq.ParquetFile(path) as old, pq.ParquetWriter(fresh, schema, compression="zstd") as new:
        for group in range(old.num_row_groups):
            new.write_table(table_conform(old.read_row_group(group), schema))
    fresh.replace(path)
