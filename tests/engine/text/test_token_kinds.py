"""Kinds of tokens, judged by spelling and by what stands beside them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engine.text.token_kinds import TokenKind, token_kinds


def kinds(raw: str, text: str | None = None, before: str = "", after: str = "") -> set[str]:
    return {kind.value for kind in token_kinds(raw, raw if text is None else text, before=before, after=after)}


@pytest.mark.parametrize("raw", ["<|endoftext|>", "<s>", "</s>", "<bos>", "[CLS]", "<|im_start|>"])
def test_special_tokens_are_known_by_their_spelling_and_are_nothing_else(raw):
    assert kinds(raw) == {"special"}


@pytest.mark.parametrize("raw", ["<0x0A>", "<", "[1]", "x<y", "<b> "])
def test_bytes_and_markup_in_parts_are_not_special(raw):
    assert "special" not in kinds(raw)


@pytest.mark.parametrize("text", [".", " ,", "\n\n", "---", "“", "。", " "])
def test_marks_and_blanks_are_punctuation(text):
    assert "punctuation" in kinds("x", text)


@pytest.mark.parametrize("text", ["1987", " 3,000", "2.5", "1/2", "٣"])
def test_numbers_may_have_separators(text):
    assert kinds("x", text) == {"number"}


def test_a_part_of_a_word_is_known_by_its_neighbours():
    assert kinds("ing", before="n", after=" ") == {"fragment"}
    assert kinds("Ġrun", " run", before="I", after="n") == {"fragment"}
    assert kinds("Ġrun", " run", before="I", after=" ") == set()
    assert kinds("Hello", before="\n", after=",") == set()


def test_a_stop_word_is_whole():
    assert kinds("Ġthe", " the", before="n", after=" ") == {"stop_word"}
    assert kinds("the", before="o", after="r") == {"fragment"}


def test_a_lone_letter_counts_only_where_letters_make_words():
    assert kinds("q", " q") == {"single_letter"}
    assert kinds("猫") == set()
    assert kinds("ب") == set()


@given(st.text(max_size=6), st.text(max_size=2), st.text(max_size=2))
def test_any_text_has_kinds_and_none_is_number_and_punctuation_at_once(text, before, after):
    found = token_kinds("x", text, before=before, after=after)
    assert not {TokenKind.NUMBER, TokenKind.PUNCTUATION} <= found
