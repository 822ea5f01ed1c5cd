"""Which column of a dataset is its text.

In this order: the researcher's choice; a column of conversations that is sure to be one (by name and form); `text`;
`content`; the first column of strings, one named like an identifier last; a column that only looks like conversations. A
conversation is recognised by its type: lists of turns with role and content (OpenAI) or from and value (ShareGPT), or lists
of strings (unsure). A column without a name of its own, such as the row numbers that table programs write, is never chosen.
"""

import re
from collections.abc import Iterable

import pyarrow as pa

from workers.engine.specs.datasets import is_named_like_an_id
from workers.engine.specs.errors import EngineError
from workers.engine.text.conversations import FIELDS

USUAL_NAMES = ("text", "content")
CONVERSATION_NAMES = ("conversation", "conversations", "messages", "chat", "dialog", "dialogue")
NAMELESS = re.compile(r"|unnamed( \d+)?|Unnamed: \d+(_level_\d+)?|__index_level_\d+__")
"""Names of columns that have none: ours (columns_named) and those of pandas."""
MOST_LISTED = 30
"""Columns that an error lists."""
SURE = 0.7
"""From this confidence on, a column of conversations comes before columns of plain text."""


def text_column_choose(schema: pa.Schema, wanted: str) -> str:
    """Name of the text column. Raises EngineError when `wanted` is missing or holds no text, or when nothing fits."""
    listed = _listed(schema)
    if wanted:
        if wanted not in schema.names:
            raise EngineError(f"There is no column {wanted!r}.", f"The columns are {listed}.", code="column_not_found")
        kind = schema.field(wanted).type
        if not (_may_be_text(kind) or is_conversation(kind)):
            raise EngineError(
                f"Column {wanted!r} holds {kind}, neither text nor conversations.",
                f"The columns are {listed}.",
                code="column_not_text",
            )
        return wanted
    found = [*_conversations(schema, sure=True), *_texts(schema), *_conversations(schema, sure=False)]
    if not found:
        raise EngineError(
            f"No column holds text. The columns are {listed}.",
            "Choose another dataset, or name a column of bytes as the text column.",
            code="no_text_column",
        )
    return found[0]


def _listed(schema: pa.Schema) -> str:
    shown = [f"{field.name} ({field.type})"[:200] for field in list(schema)[:MOST_LISTED]]
    more = len(schema) - len(shown)
    return ", ".join([*shown, f"{more:,} more"] if more else shown) or "none"


def is_conversation(kind: pa.DataType) -> bool:
    """Whether a column of this type holds conversations."""
    return _form_confidence(kind) > 0


def text_column_notes(schema: pa.Schema, chosen: str) -> list[str]:
    """Sentences for the job's log about a choice that may not be what was meant."""
    notes = []
    if is_named_like_an_id(chosen):
        notes.append(f"The text column {chosen!r} is named like an identifier; choose another if that is not text.")
    talks = [field.name for field in schema if is_conversation(field.type) and field.name != chosen]
    if talks:
        notes.append(f"Conversations in {', '.join(talks)} are kept but not used as text; the text is {chosen!r}.")
    return notes


def _texts(schema: pa.Schema) -> Iterable[str]:
    yield from (name for name in USUAL_NAMES if name in schema.names and _may_be_text(schema.field(name).type))
    strings = [field.name for field in schema if _is_string(field.type) and not NAMELESS.fullmatch(field.name)]
    yield from sorted(strings, key=is_named_like_an_id)


def _conversations(schema: pa.Schema, *, sure: bool) -> list[str]:
    """Columns of conversations, the likeliest first."""
    confidence = {field.name: _confidence(field) for field in schema if not NAMELESS.fullmatch(field.name)}
    chosen = [name for name, share in confidence.items() if (share >= SURE if sure else 0 < share < SURE)]
    return sorted(chosen, key=lambda name: -confidence[name])


def _confidence(field: pa.Field) -> float:
    """The form's confidence, higher under a usual name; without such a name, lists of strings are no conversations."""
    form, is_named = _form_confidence(field.type), field.name.lower() in CONVERSATION_NAMES
    return form + 0.3 * is_named if form >= SURE or (form and is_named) else 0.0


def _form_confidence(kind: pa.DataType) -> float:
    """0.7 for turns with their fields, 0.3 for lists of strings, 0 for anything else."""
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return 0.0
    turn = kind.value_type
    if pa.types.is_struct(turn):
        return 0.7 if is_turn(turn) else 0.0
    return 0.3 if _is_string(turn) else 0.0


def is_turn(kind: pa.DataType) -> bool:
    """Whether objects of this type have who speaks and what is said."""
    return pa.types.is_struct(kind) and any(set(pair) <= {part.name for part in kind} for pair in FIELDS)


def is_turns(kind: pa.DataType) -> bool:
    """Whether a column of this type is sure to hold conversations."""
    return _form_confidence(kind) >= SURE


def _is_string(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _may_be_text(kind: pa.DataType) -> bool:
    bytes_like = pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind)
    return _is_string(kind) or bytes_like or pa.types.is_null(kind)
