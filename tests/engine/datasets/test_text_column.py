"""Which column is the text: the researcher's choice, sure conversations, usual names, strings, unsure conversations."""

import pyarrow as pa
import pytest

from workers.engine.datasets.text_column import is_conversation, text_column_choose, text_column_notes
from workers.engine.specs.errors import EngineError

OPENAI = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
SHAREGPT = pa.list_(pa.struct([("from", pa.string()), ("value", pa.string()), ("weight", pa.int64())]))
LINES = pa.list_(pa.string())
NUMBERS = pa.list_(pa.int64())


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        ({"id": pa.string(), "text": pa.string(), "messages": OPENAI}, "messages"),
        ({"text": pa.string(), "conversations": SHAREGPT}, "conversations"),
        ({"log": OPENAI, "messages": OPENAI}, "messages"),
        ({"text": pa.string(), "log": OPENAI}, "log"),
        ({"content": pa.string(), "text": pa.string()}, "text"),
        ({"title": pa.string(), "content": pa.large_string()}, "content"),
        ({"n": pa.int64(), "title": pa.string(), "dialog": LINES}, "title"),
        ({"n": pa.int64(), "dialog": LINES}, "dialog"),
        ({"tags": LINES, "body": pa.string()}, "body"),
    ],
)
def test_the_order_of_choice(columns, chosen):
    assert text_column_choose(pa.schema(list(columns.items())), "") == chosen


def test_the_researchers_choice_wins_and_must_hold_text():
    schema = pa.schema([("text", pa.string()), ("messages", OPENAI), ("n", NUMBERS)])
    assert text_column_choose(schema, "text") == "text"
    for wanted, code in (("n", "column_not_text"), ("gone", "column_not_found")):
        with pytest.raises(EngineError) as caught:
            text_column_choose(schema, wanted)
        assert caught.value.code == code
    with pytest.raises(EngineError) as caught:
        text_column_choose(pa.schema([("n", NUMBERS), ("tags", LINES)]), "")
    assert caught.value.code == "no_text_column"


def test_conversations_are_known_by_their_type_and_noted_when_not_chosen():
    assert [is_conversation(kind) for kind in (OPENAI, SHAREGPT, LINES, NUMBERS, pa.string())] == [True] * 3 + [
        False
    ] * 2
    schema = pa.schema([("page_url", pa.string()), ("messages", OPENAI)])
    assert len(text_column_notes(schema, "page_url")) == 2
    assert text_column_notes(schema, "messages") == []
