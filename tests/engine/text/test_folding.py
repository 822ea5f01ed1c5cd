"""What searches take for the same text."""

import random
import unicodedata

import pytest

from workers.engine.text.folding import folded, spellings


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("НАБЛЮДЕНИЯ", "наблюдения"),
        ("École", "école"),
        ("École", unicodedata.normalize("NFD", "école")),
        ("STRASSE", "straße"),
        ("STRAẞE", "straße"),
        ("ΣΊΣΥΦΟΣ", "Σίσυφος"),
        ("ﬁne", "fine"),
        ("ＷＩＤＥ", "wide"),
        ("한국", unicodedata.normalize("NFD", "한국")),
        ("İstanbul", "istanbul"),
        ("ISPARTA", "ısparta"),
        ("İzmir", unicodedata.normalize("NFD", "izmİr")),
    ],
)
def test_the_same_word_in_other_letters_is_the_same(one, other):
    assert folded(one) == folded(other)


def test_accents_and_words_that_differ_stay_apart():
    assert len({folded(word) for word in ("ecole", "école", "ecolé", "и", "й", "o", "ö", "l", "ł")}) == 9


def test_folding_twice_changes_nothing():
    chance = random.Random(0)
    marks = "\u0307\u0301\u0345ıİiIßéſ"
    letters = [chr(code) for code in range(0x30000) if not 0xD800 <= code < 0xE000]
    texts = [*letters, *("".join(chance.choices(marks, k=4) + chance.choices(letters, k=2)) for _ in range(20_000))]
    assert [text for text in texts if folded(folded(text)) != folded(text)] == []


def test_a_text_has_few_spellings():
    assert spellings("rain") == ("rain",)
    assert set(spellings("é")) == {"é", "e\u0301"}
