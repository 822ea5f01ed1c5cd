"""Which column of a dataset is its text.

The researcher's choice first; else `text`, `content`, the first column of strings. Columns of conversations are named in
a note but never chosen by themselves: they need a chat template to become text.
"""

import pyarrow as pa

from workers.engine.specs.errors import EngineError

USUAL_NAMES = ("text", "content")
CONVERSATION_NAMES = ("conversation", "conversations", "messages", "chat", "dialog", "dialogue")


def text_column_choose(schema: pa.Schema, wanted: str) -> str:
    """Name of the text column. Raises EngineError when `wanted` is missing or holds no text, or when nothing fits."""
    listed = ", ".join(f"{field.name} ({field.type})" for field in schema) or "none"
    if wanted:
        if wanted not in schema.names:
            raise EngineError(f"There is no column {wanted!r}.", f"The columns are {listed}.", code="column_not_found")
        if not _may_be_text(schema.field(wanted).type):
            raise EngineError(
                f"Column {wanted!r} holds {schema.field(wanted).type}, not text.",
                f"The columns are {listed}.",
                code="column_not_text",
            )
        return wanted
    usual = [name for name in USUAL_NAMES if name in schema.names and _may_be_text(schema.field(name).type)]
    strings = [field.name for field in schema if _is_string(field.type)]
    if not usual + strings:
        raise EngineError(
            f"No column holds text. The columns are {listed}.",
            "Choose another dataset, or name a column of bytes as the text column.",
            code="no_text_column",
        )
    return (usual + strings)[0]


def text_column_notes(schema: pa.Schema, chosen: str) -> list[str]:
    """Sentences for the job's log about a choice that may not be what was meant."""
    notes = []
    if chosen.lower() == "id" or chosen.lower().endswith(("_id", "id_", "hash", "url")):
        notes.append(f"The text column {chosen!r} is named like an identifier; choose another if that is not text.")
    talks = [name for name in schema.names if name.lower() in CONVERSATION_NAMES and name != chosen]
    if talks:
        notes.append(f"Conversations in {', '.join(talks)} are kept but not used as text; the text is {chosen!r}.")
    return notes


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _may_be_text(kind: pa.DataType) -> bool:
    bytes_like = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return _is_string(kind) or bytes_like or pa.types.is_null(kind)
