"""Rows that made no document, read from a tokenization's dropped.parquet: which, why, and how each begins."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from apps.core.errors import AppError
from apps.datasets.models import Tokenization
from apps.datasets.rows import rows_between
from apps.datasets.tokenization_selectors import tokenization_folder
from workers.engine.specs.tokenization import DROP_REASONS

DROPPED_PAGE = 25
CLIP = 160


@dataclass(frozen=True)
class DroppedRow:
    """One row: its place in the dataset, a key of DROP_REASONS with its words, the beginning of its text."""

    row: int
    reason: str
    words: str
    text: str


def dropped_table(tokenization: Tokenization, reason: str = "") -> pa.Table:
    """Columns row and reason in dataset order, of one reason or all; empty for tokenizations made without the file.

    AppError for an unknown reason or a broken file.
    """
    if reason and reason not in DROP_REASONS:
        raise AppError(
            "bad_reason",
            f"There is no reason {reason!r}.",
            f"Known: {', '.join(DROP_REASONS)}.",
            field="reason",
        )
    path = tokenization_folder(tokenization.pk) / "dropped.parquet"
    if not path.exists():
        return pa.table({"row": pa.array([], pa.int64()), "reason": pa.array([], pa.string())})
    try:
        table = pq.read_table(path, columns=["row", "reason"])
    except (OSError, pa.ArrowException):
        raise AppError(
            "bad_artifact", f"The dropped rows of {tokenization} cannot be read.", "Tokenize again.", status=409
        ) from None
    return table.filter(pc.equal(table["reason"], reason)) if reason else table


def dropped_rows(tokenization: Tokenization, table: pa.Table) -> list[DroppedRow]:
    """The rows of a page's slice of `dropped_table`, each with the beginning of its text."""
    return [
        DroppedRow(line["row"], line["reason"], DROP_REASONS[line["reason"]], _beginning(tokenization, line["row"]))
        for line in table.to_pylist()
    ]


def _beginning(tokenization: Tokenization, row: int) -> str:
    found = rows_between(tokenization.dataset, row, row + 1, clip=CLIP)
    return found.rows[0].cells[0].text if found.rows else ""


def dropped_json(row: DroppedRow) -> dict[str, Any]:
    """The row as the API shows it."""
    return {"row": row.row, "reason": row.reason, "words": row.words, "text": row.text}
