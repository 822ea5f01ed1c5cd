"""What kind of token a token is, for filters that act when examples are read. Standard library only.

Nothing is thrown away by kind: a feature for commas is a feature. A page may hide what it is told to hide, and says so.
No script counts as junk: a lone Chinese character is a word, a lone "q" a single letter.
"""

import re
from enum import StrEnum

from workers.engine.text.stop_words import STOP_WORDS
from workers.engine.text.token_filters import is_punctuation, is_white_space
from workers.engine.text.tokens import BYTE_FALLBACK

_SPECIAL = re.compile(r"<\|.+\|>|</?\w+>|\[[A-Z]+\]")
_SEPARATORS = str.maketrans("", "", ".,:/-")


class TokenKind(StrEnum):
    """Kinds that a reader may want out of sight; a token can be of several."""

    SPECIAL = "special"
    PUNCTUATION = "punctuation"
    NUMBER = "number"
    FRAGMENT = "fragment"
    SINGLE_LETTER = "single_letter"
    STOP_WORD = "stop_word"


TOKEN_KIND_WORDS = {
    TokenKind.SPECIAL: "special tokens",
    TokenKind.PUNCTUATION: "punctuation and blanks",
    TokenKind.NUMBER: "numbers",
    TokenKind.FRAGMENT: "parts of words",
    TokenKind.SINGLE_LETTER: "single letters",
    TokenKind.STOP_WORD: "stop words",
}


def token_kinds(raw: str, text: str, *, before: str, after: str) -> frozenset[TokenKind]:
    """The kinds of a token that the vocabulary spells `raw` and that shows `text` between the texts `before` and `after`.

    special: <|…|>, <s>, </s>, [CLS] and the like. punctuation: nothing but marks, symbols or blanks. number: digits, with
    separators. fragment: letters that go on a word before them or that the next token goes on. single_letter: one letter
    of a script with capitals. stop_word: one of STOP_WORDS, whole.
    """
    if _SPECIAL.fullmatch(raw) and not BYTE_FALLBACK.fullmatch(raw):
        return frozenset({TokenKind.SPECIAL})
    core = text.strip()
    is_part = _goes_on(before, text) or _goes_on(text, after)
    judged = {
        TokenKind.PUNCTUATION: is_punctuation(text) or is_white_space(text),
        TokenKind.NUMBER: core.translate(_SEPARATORS).isnumeric(),
        TokenKind.FRAGMENT: is_part,
        TokenKind.SINGLE_LETTER: len(core) == 1 and core.lower() != core.upper(),
        TokenKind.STOP_WORD: core.lower() in STOP_WORDS and not is_part,
    }
    return frozenset(kind for kind, holds in judged.items() if holds)


def _goes_on(left: str, right: str) -> bool:
    """Whether a word runs over the border between two texts."""
    return left[-1:].isalpha() and right[:1].isalpha()
