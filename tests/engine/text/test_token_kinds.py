"""Kinds of tokens, judged by spelling and by whether they are whole words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engine.text.token_kinds import TokenKind, token_kinds


def kinds(raw: str, text: str | None = None, *, is_part: bool = False) -> set[str]:
    return {kind.value for kind in token_kinds(raw, raw if text is None else text, is_part=is_part)}


@pytest.mark.parametrize(
    "raw", ["<|endoftext|>", "<s>", "</s>", "<bos>", "[CLS]", "<｜end▁of▁sentence｜>", "<extra_id_7>"]
)
def test_special_tokens_are_known_by_their_spelling_and_are_nothing_else(raw):
    assert kinds(raw) == {"special"}


@pytest.mark.parametrize("raw", ["<0x0A>", "<", "[1]", "x<y", "<b>", "[A]"])
def test_bytes_and_markup_in_parts_are_not_special(raw):
    assert "special" not in kinds(raw)


@pytest.mark.parametrize("text", [".", " ,", "\n\n", "---", "“", "。", " "])
def test_marks_and_blanks_are_punctuation(text):
    assert "punctuation" in kinds("x", text)


@pytest.mark.parametrize("text", ["1987", " 3,000", "2.5", "1/2", "٣"])
def test_numbers_may_have_separators(text):
    assert kinds("x", text) == {"number"}


def test_letters_that_are_part_of_a_word_are_a_fragment_and_marks_in_it_are_not():
    assert kinds("ing", is_part=True) == {"fragment"}
    assert kinds("'t", is_part=True) == {"fragment"}
    assert kinds("-", is_part=True) == {"punctuation"}
    assert kinds("Ġrun", " run") == set()


def test_a_stop_word_is_whole():
    assert kinds("Ġthe", " the") == {"stop_word"}
    assert kinds("the", is_part=True) == {"fragment"}


def test_a_lone_letter_counts_only_where_letters_make_words():
    assert kinds("q", " q") == {"single_letter"}
    assert kinds("猫") == set()
    assert kinds("ب") == set()


@given(st.text(max_size=6), st.booleans())
def test_no_text_is_number_and_punctuation_at_once(text, is_part):
    assert not {TokenKind.NUMBER, TokenKind.PUNCTUATION} <= token_kinds("x", text, is_part=is_part)
