"""What an interrupted import keeps in `job_dir`/download, and how the next attempt goes on from it.

    rows/part-*.parquet   the rows so far (row_parts.py)
    files/                whole data files, when they are downloaded first (hub_files.py)
    state.json            {"wanted": what is imported, "revision", "rows", "parts", "place"}

state.json is replaced whenever a part is complete; `place` is what the source needs to go on behind the last row. Parts
that it does not count are of a later moment and are dropped: no row is doubled, none is lost.
"""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workers.engine.datasets.row_parts import RowParts
from workers.engine.specs.datasets import DatasetImportSpec

NAME = "download"
"""The folder's name below job_dir; the runner moves it to a retry."""


@dataclass
class KeptRows:
    """The kept folder of one import."""

    folder: Path
    wanted: dict[str, Any]
    revision: str = ""
    """Commit of the Hub that the kept rows are from; empty when there are none."""
    place: dict[str, Any] | None = None
    rows: int = 0
    parts: int = field(default=0, repr=False)

    @classmethod
    def open(cls, job_dir: str | Path, spec: DatasetImportSpec) -> "KeptRows":
        """What an earlier attempt at the same import kept; an empty folder when there is none."""
        wanted = {name: getattr(spec, name) for name in ("repo_id", "config", "split", "revision", "streaming")}
        kept = cls(Path(job_dir) / NAME, wanted)
        state = kept._state()
        if state is None or state["wanted"] != wanted:
            shutil.rmtree(kept.folder / "rows", ignore_errors=True)
        else:
            kept.revision, kept.place = state["revision"], state["place"]
            kept.rows, kept.parts = state["rows"], state["parts"]
        kept.folder.mkdir(parents=True, exist_ok=True)
        return kept

    def row_parts(self) -> RowParts:
        """The parts so far, to be written on."""
        return RowParts(self.folder / "rows", kept_parts=self.parts)

    def save(self, parts: RowParts, revision: str, place: dict[str, Any]) -> None:
        """Complete the part in the making and note that everything up to here is kept."""
        count = parts.complete()
        state = {"wanted": self.wanted, "revision": revision, "rows": parts.rows, "parts": count, "place": place}
        fresh = self.folder / "state.new"
        fresh.write_text(json.dumps(state))
        fresh.replace(self.folder / "state.json")
        self.rows = parts.rows

    def move_to(self, out_dir: str | Path) -> None:
        """The import succeeded: its rows go to `out_dir`/rows, all else goes away."""
        shutil.move(self.folder / "rows", Path(out_dir) / "rows")
        shutil.rmtree(self.folder)

    def _state(self) -> dict[str, Any] | None:
        try:
            return json.loads((self.folder / "state.json").read_text())
        except (OSError, ValueError):
            return None
