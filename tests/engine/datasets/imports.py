"""Imports of small files, with what the job's log says."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workers.engine.datasets.importing import dataset_import
from workers.engine.datasets.rows import Rows
from workers.engine.progress import Progress
from workers.engine.specs.datasets import DatasetImportInputs, DatasetImportResult, DatasetImportSpec


@dataclass(frozen=True)
class Imported:
    """What an import brought, and the warnings on the way."""

    result: DatasetImportResult
    texts: list[str]
    warnings: list[str]
    rows: Rows

    def column(self, name: str) -> list[Any]:
        """All values of one column."""
        return self.rows.slice(0, len(self.rows)).column(name).to_pylist()


def file_made(folder: Path, name: str, content: bytes | str) -> Path:
    """A file with this content."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def imported_with_log(path: Path, **wishes: Any) -> Imported:
    """Import a file or folder to out/ beside it."""
    out = path.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    progress = Progress()
    spec = DatasetImportSpec(source="file", path=str(path), **wishes)
    result = dataset_import(
        spec, DatasetImportInputs(job_dir=str(path.parent), out_dir=str(out), path=str(path)), progress
    )
    rows = Rows.open(out)
    texts = [found.text for _, batch in rows.text_batches(result.text_column) for found in batch]
    warnings = [line["text"] for line in progress.lines if line["t"] == "event" and line["level"] == "warning"]
    return Imported(result, texts, warnings, rows)
