"""One schema for rows that do not agree on theirs.

Rows of JSON may leave out a column, begin one late or change its type. Types are widened where Arrow knows how
(int64 → double, null → anything); a column of irreconcilable types becomes JSON text, so that no row is lost.
"""

import json
from typing import Any

import pyarrow as pa


def table_of_rows(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table; columns in order of first appearance, missing values null."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _array([row.get(name) for row in rows]) for name in names})


def schemas_unify(first: pa.Schema, second: pa.Schema) -> pa.Schema:
    """A schema that holds the rows of both; columns keep the order of first appearance. Metadata is dropped."""
    types = {field.name: field.type for field in first}
    for field in second:
        types[field.name] = _common_type(types.get(field.name, pa.null()), field.type)
    return pa.schema(list(types.items()))


def table_conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the columns and types of `schema` (made by `schemas_unify`)."""
    columns = []
    for field in schema:
        if field.name not in table.column_names:
            columns.append(pa.nulls(len(table), field.type))
        else:
            columns.append(_cast(table.column(field.name), field.type))
    return pa.table(columns, schema=schema)


def _array(values: list[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([_as_text(value) for value in values], pa.string())


def _common_type(first: pa.DataType, second: pa.DataType) -> pa.DataType:
    if first.equals(second):
        return first
    pair = [pa.schema([("column", kind)]) for kind in (first, second)]
    try:
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.string()


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    if column.type.equals(kind):
        return column
    try:
        return column.cast(kind)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
        return pa.chunked_array([pa.array([_as_text(value) for value in column.to_pylist()], kind)])


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
