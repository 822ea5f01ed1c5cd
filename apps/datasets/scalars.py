"""Arrow scalars as Python values and as text; no value fails."""

from typing import Any

import pyarrow as pa

from workers.engine.text.decoding import safe_text


def value_of(scalar: pa.Scalar) -> Any:
    """The Python value; what Python cannot hold (nanoseconds, far dates, broken strings inside structures) as text."""
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, KeyError, pa.ArrowException):
        return f"<{scalar.type}>"


def texts_of(column: pa.Array) -> pa.Array:
    """The column as strings of safe text, nulls kept; strings stay as they are."""
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        return column
    values = [value_of(scalar) for scalar in column]
    return pa.array([None if value is None else safe_text(value).text for value in values], pa.string())
