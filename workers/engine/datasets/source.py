"""What an import reads from, whatever it is: tables in row order, and what is known about them beforehand."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

BATCH_ROWS = 1_000
BATCH_BYTES = 16 * 2**20


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
    place: Callable[[], dict[str, Any]] | None = None
    """Where reading stands after the newest table, as JSON; None for sources that are always read from the start."""
