"""One schema for rows that do not agree on theirs: each column keeps the meaning that its first rows gave it.

Rows of JSON may leave out a column, begin one late or change its type; files of one folder may differ. Types are widened
where Arrow knows how (int64 → double, null → anything). Where two cannot be one, only the part of the column that differs
becomes text: a list of parts beside a plain content is joined as conversations are read, anything else is JSON. A column of
conversations stays one: a plain string in it is what a user says. Each such change is noted with its row (type_changes.py).
"""

import json
import math
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from workers.engine.datasets.column_names import columns_check
from workers.engine.datasets.json_values import Storable
from workers.engine.datasets.notices import Notices
from workers.engine.datasets.text_column import is_turn, is_turns
from workers.engine.datasets.type_changes import TypeChanges
from workers.engine.specs.errors import BadArtifact
from workers.engine.text.conversations import FIELDS, content_text, conversation_turns, parts_text

MOST_LEAVES = 2_000
"""Columns of values within one column; objects with more keys between them, such as counts by word, are kept as JSON."""
ARROW_ERRORS = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)

Row = dict[str, Any]


@dataclass
class RowTables:
    """Makes tables of Python's rows, one after the other, each with the types of those before it in mind."""

    changes: TypeChanges
    notices: Notices = field(default_factory=Notices)
    rows: int = 0
    types: dict[str, pa.DataType] = field(default_factory=dict)

    def table(self, rows: list[Row]) -> pa.Table:
        """The next rows as a table; columns in order of first appearance, missing values null."""
        names = list(dict.fromkeys(name for row in rows for name in row))
        columns_check(len({*self.types, *names}))
        table = pa.table({name: self._array(name, [row.get(name) for row in rows]) for name in names})
        self.rows += len(rows)
        return table

    def plain(self, table: pa.Table) -> pa.Table:
        """The next rows, a table, with columns of JSON text (Arrow's extension type, which Hugging Face's reader makes of
        fields that change their type) read as values."""
        for place, column in enumerate(table.schema):
            if _has_json(column.type):
                storable = Storable(f"rows from {self.rows:,} on", self.notices)
                values = [
                    storable.value(_json_read(value, column.type), 1) for value in table.column(place).to_pylist()
                ]
                table = table.set_column(place, column.name, self._array(column.name, values))
        self.rows += len(table)
        return table

    def _array(self, name: str, values: list[Any]) -> pa.Array:
        before = self.types.get(name, pa.null())
        try:
            found = pa.infer_type(values)
            kind, agrees = common_type(before, found)
            if agrees and kind != pa.null():
                array = pa.array(values, kind)
                self.types[name] = kind
                return array
        except ARROW_ERRORS:
            pass
        return self._array_of_different(name, values, before)

    def _array_of_different(self, name: str, values: list[Any], kind: pa.DataType) -> pa.Array:
        """Value by value: where the type changes, and what holds them all."""
        for place, value in enumerate(values):
            if value is None:
                continue
            before, (found, is_one) = kind, _type_of(value)
            agrees = found.equals(kind)
            if not agrees:
                kind, agrees = common_type(kind, found)
            if not (agrees and is_one):
                self.changes.note(name, self.rows + place, before, found, kind)
        try:
            array = pa.array([fitted(value, kind) for value in values], kind)
        except ARROW_ERRORS:
            self.changes.note(name, self.rows, kind, "values that do not fit", pa.string())
            kind, array = pa.string(), pa.array([_as_text(value) for value in values], pa.string())
        self.types[name] = kind
        return array


def _has_json(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_has_json(part.type) for part in kind)
    return _has_json(kind.value_type) if _is_list(kind) else isinstance(kind, pa.JsonType)


def _json_read(value: Any, kind: pa.DataType) -> Any:
    """A value with JSON text in it as Python has it; what is no JSON stays text."""
    if value is None or not _has_json(kind):
        return value
    if pa.types.is_struct(kind):
        return {part.name: _json_read(value[part.name], part.type) for part in kind}
    if _is_list(kind):
        return [_json_read(inner, kind.value_type) for inner in value]
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _type_of(value: Any) -> tuple[pa.DataType, bool]:
    """(the type that holds a value of JSON and all in it, whether none of that has to become text)."""
    kind: pa.DataType = pa.null()
    all_agree = True
    if isinstance(value, list):
        for inner in value:
            found, agrees = _type_of(inner)
            all_agree &= agrees
            if not found.equals(kind):
                kind, agrees = common_type(kind, found)
                all_agree &= agrees
        return pa.list_(kind), all_agree
    if isinstance(value, dict) and value:
        parts = {name: _type_of(inner) for name, inner in value.items()}
        kind = pa.struct([(name, found) for name, (found, _) in parts.items()])
        return kind, all(agrees for _, agrees in parts.values())
    return (pa.string() if isinstance(value, str) else _plain(pa.infer_type([value]))), True


def schemas_unify(first: pa.Schema, second: pa.Schema) -> pa.Schema:
    """A schema that holds the rows of both; columns keep the order of first appearance. Metadata is dropped."""
    types = {column.name: column.type for column in first}
    for column in second:
        types[column.name], _ = common_type(types.get(column.name, pa.null()), column.type)
    columns_check(len(types))
    return pa.schema(list(types.items()))


def schema_changes(first: pa.Schema, table: pa.Table, row: int, changes: TypeChanges) -> None:
    """Note which columns of `table`, whose first row is `row`, hold what `first` cannot."""
    types = {column.name: column.type for column in first}
    for column in table.schema:
        before = types.get(column.name, pa.null())
        kind, agrees = common_type(before, column.type)
        if not agrees:
            valid = table.column(column.name).is_valid().to_pylist()
            changes.note(column.name, row + (valid.index(True) if True in valid else 0), before, column.type, kind)


def table_conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The table with exactly the columns and types of `schema` (made by `schemas_unify`)."""
    found = dict(zip(table.column_names, table.columns))
    columns = [
        _cast(found[column.name], column) if column.name in found else pa.nulls(len(table), column.type)
        for column in schema
    ]
    return pa.table(columns, schema=schema)


def common_type(first: pa.DataType, second: pa.DataType) -> tuple[pa.DataType, bool]:
    """(the type that holds values of both, whether it does so without making text of what was none)."""
    kind, agrees = _common(first, second)
    if _leaves(kind) > MOST_LEAVES:
        return pa.string(), False
    return kind, agrees


def _common(first: pa.DataType, second: pa.DataType) -> tuple[pa.DataType, bool]:
    first, second = _plain(first), _plain(second)
    if first == second or pa.types.is_null(second):
        return first, True
    if pa.types.is_null(first):
        return second, True
    if pa.types.is_struct(first) and pa.types.is_struct(second):
        return _common_struct(first, second)
    if is_turns(second) and _is_list(first) and _is_text(first.value_type):
        return second, False  # unsure turns, then sure ones
    if is_turns(first) and not (is_turns(second) or (_is_list(second) and pa.types.is_null(second.value_type))):
        return first, False
    if _is_list(first) and _is_list(second):
        inner, agrees = _common(first.value_type, second.value_type)
        return (pa.large_list if pa.types.is_large_list(first) else pa.list_)(inner), agrees
    return _common_leaf(first, second)


def _common_struct(first: pa.StructType, second: pa.StructType) -> tuple[pa.DataType, bool]:
    kinds = {part.name: part.type for part in first}
    all_agree = True
    for part in second:
        kinds[part.name], agrees = _common(kinds.get(part.name, pa.null()), part.type)
        all_agree &= agrees
    return pa.struct(list(kinds.items())), all_agree


def _common_leaf(first: pa.DataType, second: pa.DataType) -> tuple[pa.DataType, bool]:
    pair = [pa.schema([("column", kind)]) for kind in (first, second)]
    try:
        return pa.unify_schemas(pair, promote_options="permissive").field(0).type, True
    except ARROW_ERRORS:
        return pa.string(), False


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type without what cannot be stored or compared: dictionaries, and objects without keys, which hold nothing."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_struct(kind):
        parts = [(part.name, _plain(part.type)) for part in kind]
        return pa.struct(parts) if parts else pa.null()
    if pa.types.is_large_list(kind):
        return pa.large_list(_plain(kind.value_type))
    return pa.list_(_plain(kind.value_type)) if _is_list(kind) else kind


def _is_list(kind: pa.DataType) -> bool:
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _leaves(kind: pa.DataType) -> int:
    if pa.types.is_struct(kind):
        return sum(_leaves(part.type) for part in kind)
    return _leaves(kind.value_type) if _is_list(kind) else 1


def _cast(column: pa.ChunkedArray, wanted: pa.Field) -> pa.ChunkedArray:
    kind = wanted.type
    if column.type.equals(kind):
        return column
    try:
        if not (_is_text(kind) and pa.types.is_nested(column.type)):
            return column.cast(kind, safe=not pa.types.is_floating(kind))
    except ARROW_ERRORS:
        pass
    try:
        return pa.chunked_array([pa.array([fitted(value, kind) for value in column.to_pylist()], kind)])
    except (*ARROW_ERRORS, UnicodeDecodeError) as error:
        raise BadArtifact(
            f"Column {wanted.name!r} holds {column.type} in some rows and {kind} in others, which cannot be one column.",
            "Give the column one type in all files.",
        ) from error


def fitted(value: Any, kind: pa.DataType) -> Any:
    """A value as a column of this type holds it; what has no place in it becomes text."""
    if value is None or pa.types.is_null(kind):
        return None
    if _is_text(kind):
        return _as_text(value)
    if is_turns(kind) and not _are_turns(value):
        value = _turns_of(value, kind)
    if _is_list(kind):
        return [fitted(inner, kind.value_type) for inner in value]
    if pa.types.is_struct(kind):
        said = {what for _, what in FIELDS} if is_turn(kind) else ()
        given = {part.name: _said(value, part) if part.name in said else value.get(part.name) for part in kind}
        return {part.name: fitted(given[part.name], part.type) for part in kind}
    return value


def _said(turn: Row, part: pa.Field) -> Any:
    return content_text(turn.get(part.name)) if _is_text(part.type) else turn.get(part.name)


def _are_turns(value: Any) -> bool:
    return isinstance(value, list) and all(turn is None or isinstance(turn, dict) for turn in value)


def _turns_of(value: Any, kind: pa.DataType) -> list[Row]:
    """What is no list of turns as one: lists of strings by turns, a single turn, anything else as a user's words."""
    names = {part.name for part in kind.value_type}
    who, what = next(pair for pair in FIELDS if set(pair) <= names)
    if isinstance(value, dict) and is_turn(pa.struct([(name, pa.null()) for name in value])):
        return [value]
    turns = conversation_turns(value if isinstance(value, list) else [_as_text(value)])
    if turns is None:
        turns = conversation_turns([_as_text(value)]) or ()
    return [{who: turn.role, what: turn.content} for turn in turns]


def _as_text(value: Any) -> str | None:
    """Text stays, parts of a content are joined, what is not a number is nothing; all else as JSON."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    joined = parts_text(value)
    return json.dumps(value, ensure_ascii=False, default=str) if joined is None else joined
