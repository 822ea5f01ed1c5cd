"""Where a column's type changes on the way through its rows: noted once for each column and type it is stored as."""

from dataclasses import dataclass

import pyarrow as pa

from workers.engine.text.decoding import safe_text

MOST_TOLD = 20
"""Events of one import about changes; the rest is counted."""
MOST_CHARACTERS = 160
"""Of a type's spelling: that of nested columns is long."""


@dataclass(frozen=True)
class TypeChange:
    """`row` counts from 0, as pages do; `before` and `then` are types in words."""

    column: str
    row: int
    before: str
    then: str
    kept: str

    def sentence(self) -> str:
        """For the job's log."""
        before = f"where rows before hold {self.before}" if self.before else "which differs within the row"
        return (
            f"Column {self.column!r} holds {self.then} in row {self.row:,}, {before}; "
            f"the column is stored as {self.kept}."
        )


class TypeChanges:
    """The changes of one import, in order."""

    def __init__(self) -> None:
        self._found: dict[tuple[str, str], TypeChange] = {}

    def note(
        self, column: str, row: int, before: pa.DataType | str | None, then: pa.DataType | str, kept: pa.DataType
    ) -> None:
        """A value of type `then` came in `row` of a column of type `before`, which is stored as `kept` from now on.

        Only the first of its kind is kept.
        """
        words = (_words(kind) for kind in (before, then, kept))
        change = TypeChange(safe_text(column).text[:MOST_CHARACTERS], row, *words)
        self._found.setdefault((column, str(kept)), change)

    def sentences(self) -> list[str]:
        """One for each of the first changes, and how many more there are."""
        told = [change.sentence() for change in self._found.values()][:MOST_TOLD]
        more = len(self._found) - len(told)
        return told + ([f"{more:,} more columns change their type."] if more else [])


def _words(kind: pa.DataType | str | None) -> str:
    words = "" if kind is None or kind == pa.null() else str(kind).replace("list<item: ", "list<")
    return words if len(words) <= MOST_CHARACTERS else words[:MOST_CHARACTERS] + "…"
