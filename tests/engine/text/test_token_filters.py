"""Token filters: what each mode takes out, that stronger ones take out no less, and that characters stay whole."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.engine.text.token_filters import MODES, TokenFilter
from workers.engine.text.tokens import TokenPiece

TAKEN_BY = {
    "\x07": "minimal",
    "\u200b": "minimal",
    "  \n": "conservative",
    " !": "standard",
    "...": "standard",
    "€": "standard",
    "a": None,
    " 7": None,
    "'s": "strict",
    "x.": "strict",
    "don't": "strict",
    " C++": None,
    "F#": None,
    ".NET": None,
    " naïve": None,
    "東京": None,
}


@pytest.mark.parametrize("text", TAKEN_BY)
def test_the_weakest_mode_that_takes_a_token_out(text):
    takers = [mode for mode in MODES if TokenFilter(mode).takes_out(text)]
    assert (takers[0] if takers else None) == TAKEN_BY[text]


@given(text=st.text(min_size=1, max_size=4))
def test_a_stronger_mode_takes_out_no_less(text):
    taken = [TokenFilter(mode).takes_out(text) for mode in MODES]
    assert taken == sorted(taken)


def test_the_extra_wishes_work_without_a_mode():
    assert TokenFilter(remove_punctuation=True).takes_out(" ;")
    assert not TokenFilter(remove_punctuation=True).takes_out("a;")
    assert TokenFilter(remove_stop_words=True).takes_out(" The")
    assert not TokenFilter(remove_stop_words=True).takes_out(" cat")
    assert TokenFilter(custom_characters="@_").takes_out("a_b")
    assert TokenFilter().does_nothing and not TokenFilter(custom_characters="@").does_nothing


def test_a_token_that_continues_a_character_shares_its_fate():
    pieces = [TokenPiece("€"), TokenPiece("", joins_previous=True), TokenPiece("word"), TokenPiece("", True)]
    assert TokenFilter("standard").is_kept_each(pieces) == [False, False, True, True]
