"""What an import reads from, whatever it is: tables in row order, what is known about them, what was odd in them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from workers.engine.datasets.notices import Notices
from workers.engine.datasets.type_changes import TypeChanges

BATCH_ROWS = 1_000
BATCH_BYTES = 16 * 2**20
MOST_ROW_BYTES = 256 * 2**20
"""A larger row is refused: it would be held in memory several times over."""
MOST_COLUMNS = 2_000

SizedRow = tuple[int, dict[str, Any]]
"""Bytes of the file that a row takes, and the row."""


@dataclass
class RowSource:
    """Tables of a few rows each, made as they are asked for, so that memory stays bounded."""

    tables: Iterator[pa.Table]
    total_rows: int | None = None
    """None when it is not known before reading."""
    total_bytes: int | None = None
    """Size of the source's files."""
    licence: str = ""
    revision: str = ""
    latin1_rows: int = 0
    """Rows so far that were no UTF-8 and were read as Latin-1."""
    notices: Notices = field(default_factory=Notices)
    changes: TypeChanges = field(default_factory=TypeChanges)
    place: Callable[[], dict[str, Any]] | None = None
    """Where reading stands after the newest table, as JSON; None for sources that are always read from the start."""
