"""Cleaning of text: what each level takes away, and what none of them does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engine.specs.tokenization import CLEANINGS
from workers.engine.text.cleaning import LEAST_CHARACTERS, text_clean

LEVELS = [level for level, _ in CLEANINGS]


@pytest.mark.parametrize(
    ("level", "text", "cleaned"),
    [
        ("none", " as \x07 it  is ", " as \x07 it  is "),
        ("minimal", "a\x07b \t\n c  <b>d</b>", "ab c <b>d</b>"),
        ("standard", "<p>Fish &amp; chips</p><!-- no -->", "Fish & chips"),
        ("standard", "see https://a.example/x?y=1 and www.b.example now", "see and now"),
        ("standard", "what?!?!?! ﬁne", "what?!? fine"),
        ("standard", "1 < 2 and 3 > 2 stays", "1 < 2 and 3 > 2 stays"),
        ("aggressive", "mail me@a.example... nooooooo!!! really good", "mail . noo! really good"),
    ],
)
def test_each_level_by_example(level, text, cleaned):
    assert text_clean(text, level) == cleaned


@pytest.mark.parametrize("level", LEVELS)
def test_short_texts_are_dropped_by_their_cleaned_length(level):
    least = LEAST_CHARACTERS[level]
    assert text_clean("ab" * 20, level) is not None
    assert text_clean(("abc" * 9)[:least], level) == ("abc" * 9)[:least]
    if least:
        assert text_clean(("abc" * 9)[: least - 1] + " " * 30, level) is None


@given(text=st.text(), level=st.sampled_from(LEVELS))
def test_what_is_left_is_long_enough_and_has_no_control_characters(text, level):
    cleaned = text_clean(text, level)
    if cleaned is not None and level != "none":
        assert len(cleaned) >= LEAST_CHARACTERS[level]
        assert cleaned == cleaned.strip() and "  " not in cleaned
        assert not any(ord(character) < 32 for character in cleaned)
