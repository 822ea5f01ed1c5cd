"""Conversations: the forms that chat datasets use become the same turns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engine.text.conversations import Turn, conversation_text, conversation_turns

TURNS = (Turn("user", "Hello?"), Turn("assistant", "Hello!"))


@pytest.mark.parametrize(
    "value",
    [
        [{"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello!", "name": None}],
        [{"from": "human", "value": "Hello?"}, {"from": "gpt", "value": "Hello!"}],
        [{"from": "Human", "value": "Hello?"}, {"from": "bot", "value": "Hello!"}],
        ["Hello?", "Hello!"],
        [{"role": "user", "content": [{"type": "text", "text": "Hello?"}]}, {"role": "model", "content": "Hello!"}],
        [{"role": "user", "content": "Hello?"}, {"role": "tool", "content": None}, {"role": "ai", "content": "Hello!"}],
    ],
)
def test_known_forms_become_turns(value):
    assert conversation_turns(value) == TURNS


@pytest.mark.parametrize("value", [None, "Hello", [], [1, 2], [{"role": "user"}], {"role": "user", "content": "x"}])
def test_what_is_no_conversation_is_none(value):
    assert conversation_turns(value) is None


def test_turns_are_written_as_role_tagged_blocks():
    assert conversation_text(TURNS) == "<|user|>\nHello?\n<|assistant|>\nHello!\n"


@given(contents=st.lists(st.text(min_size=1), min_size=1, max_size=5))
def test_no_word_of_a_turn_is_lost(contents):
    value = [{"role": "user", "content": content} for content in contents]
    said = [turn.content for turn in conversation_turns(value)]
    assert said == [content.replace("\0", "") for content in contents if content.replace("\0", "").strip()]
