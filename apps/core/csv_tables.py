"""The one writer of CSV: for pages, the JSON API and commands alike, piece by piece while it is sent.

For programs (the default) UTF-8 without a byte order mark, cells as they are: csv.reader and pyarrow read back what was
written. For spreadsheets (?for=spreadsheet, --spreadsheet) a byte order mark, without which Excel takes the file for
another encoding, and a leading ' before text that a spreadsheet would run as a formula (OWASP, CSV injection).
"""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from django.core.management.base import CommandParser
from django.http import QueryDict

from apps.core.errors import AppError

MEDIA_TYPE = "text/csv; charset=utf-8"
BYTE_ORDER_MARK = "\ufeff"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
PIECE_CHARACTERS = 2**15


def csv_pieces(
    columns: Sequence[str], rows: Iterable[Sequence[Any]], *, for_spreadsheet: bool = False
) -> Iterator[str]:
    """A table with a line of names; None is an empty cell, numbers stand as Python writes them."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)  # ends lines in \r\n, and so quotes cells with either of them
    cells = _harmless if for_spreadsheet else list
    if for_spreadsheet:
        text.write(BYTE_ORDER_MARK)
    writer.writerow(cells(columns))
    for row in rows:
        if text.tell() >= PIECE_CHARACTERS:
            yield _taken(text)
        writer.writerow(cells(row))
    yield _taken(text)


def is_for_spreadsheet(query: QueryDict) -> bool:
    """Whether ?for=spreadsheet asks for it. AppError "bad_for" for anything else."""
    asked = query.get("for", "")
    if asked not in ("", "spreadsheet"):
        raise AppError("bad_for", f"for={asked!r} is not known.", "Send for=spreadsheet, or nothing.", field="for")
    return bool(asked)


def add_spreadsheet_argument(parser: CommandParser) -> None:
    """--spreadsheet of a command that writes CSV."""
    words = "write CSV for spreadsheets: a byte order mark, and ' before text that would be run as a formula"
    parser.add_argument("--spreadsheet", action="store_true", help=words)


def _harmless(row: Sequence[Any]) -> list[Any]:
    return [f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell for cell in row]


def _taken(text: io.StringIO) -> str:
    piece = text.getvalue()
    text.seek(0)
    text.truncate()
    return piece
