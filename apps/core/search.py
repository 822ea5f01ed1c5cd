"""What the search boxes of all lists look for: words anywhere in some fields of a row, compared as folding.py says.

Databases differ in what they fold (SQLite ASCII alone, PostgreSQL by its locale, neither ß nor composed characters), so the
rows' words are compared here, and both find the same. Names are short and lists have thousands of rows, not millions;
features, which have, are found by an index of terms instead (apps/features/search).
"""

import json
from collections.abc import Iterable
from typing import TypeVar

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.expressions import RawSQL

from workers.engine.text.folding import folded

Row = TypeVar("Row", bound=Model)
MOST_PARAMETERS = 500
ROWS_AT_ONCE = 2_000
IDS_OF = {
    "sqlite": "SELECT value FROM json_each(%s)",
    "postgresql": "SELECT value::bigint FROM json_array_elements_text(%s::json)",
}
"""A list of ids as one parameter, of which a database takes only so many."""


def found_by(rows: QuerySet[Row], query: str, *fields: str) -> QuerySet[Row]:
    """Those of `rows` with `query` in one of `fields`, which may lead over relations; all of them when it is blank."""
    wanted = folded(query)
    if not wanted.strip():
        return rows
    told = rows.order_by().values_list("pk", *fields).iterator(chunk_size=ROWS_AT_ONCE)
    return with_ids(rows, {pk for pk, *texts in told if any(text and wanted in folded(text) for text in texts)})


def with_ids(rows: QuerySet[Row], ids: Iterable[int]) -> QuerySet[Row]:
    """Those of `rows` with one of these ids, however many there are."""
    ids = sorted(ids)
    if len(ids) <= MOST_PARAMETERS:
        return rows.filter(pk__in=ids)
    return rows.filter(pk__in=RawSQL(IDS_OF[connection.vendor], [json.dumps(ids)]))
