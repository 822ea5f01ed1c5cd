"""Arrow scalars as Python values and as text; no value fails."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from workers.engine.text.conversations import conversation_text, conversation_turns
from workers.engine.text.decoding import safe_text


def value_of(scalar: pa.Scalar) -> Any:
    """The Python value; what Python cannot hold (nanoseconds, far dates, broken strings inside structures) as text."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, KeyError, pa.ArrowException):
        return f"<{scalar.type}>"


def texts_of(column: pa.Array) -> pa.Array:
    """The column as strings of safe text, nulls kept; a conversation is its turns, each after its role."""
    if _is_sound(column):
        return column
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        column = column.cast(pa.large_binary())
    return pa.array([_text(value_of(scalar)) for scalar in column], pa.large_string())


def _is_sound(column: pa.Array) -> bool:
    """Strings of valid UTF-8, which need no second look."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return False
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return False
    return not pc.any(pc.match_substring(column, "\0")).as_py()


def _text(value: Any) -> str | None:
    if value is None:
        return None
    turns = conversation_turns(value)
    return safe_text(value).text if turns is None else conversation_text(turns)
