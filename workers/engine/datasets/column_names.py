"""Names of columns as rows, pages and databases can hold them."""

from collections.abc import Sequence

import pyarrow as pa

from workers.engine.datasets import source as limits
from workers.engine.specs.errors import BadArtifact
from workers.engine.text.decoding import safe_text

UNNAMED = "unnamed"
"""What a column without a name is called; the next is "unnamed 2"."""
LISTED_CHARACTERS = 300


def columns_named(names: Sequence[str], where: str) -> list[str]:
    """The names without NUL characters and halves of surrogate pairs, never empty. Raises BadArtifact for a name that is
    there twice, and for too many."""
    columns_check(len(names), where)
    clean = [safe_text(name).text for name in names]
    taken = {name for name in clean if name.strip()}
    for place, name in enumerate(clean):
        if not name.strip():
            clean[place] = _free(taken)
            taken.add(clean[place])
    twice = [name for name in dict.fromkeys(clean) if clean.count(name) > 1] if len(set(clean)) < len(clean) else []
    if twice:
        raise BadArtifact(
            f"{where} names a column twice: {', '.join(twice)[:LISTED_CHARACTERS]}.", "Rename one of them."
        )
    return clean


def table_named(table: pa.Table, where: str) -> pa.Table:
    """The table under such names."""
    try:
        names = table.column_names
    except UnicodeDecodeError as error:
        raise BadArtifact(f"{where} names a column in bytes that are no UTF-8.", "Rename the column.") from error
    clean = columns_named(names, where)
    return table if clean == names else table.rename_columns(clean)


def columns_check(count: int, where: str = "The source") -> None:
    """Refuse more columns than pages, histograms and files can hold."""
    if count > limits.MOST_COLUMNS:
        raise BadArtifact(
            f"{where} has {count:,} columns; at most {limits.MOST_COLUMNS:,} are taken.",
            "Keep the columns that you need; the text is one of them.",
        )


def _free(taken: set[str]) -> str:
    name, number = UNNAMED, 2
    while name in taken:
        name, number = f"{UNNAMED} {number}", number + 1
    return name
