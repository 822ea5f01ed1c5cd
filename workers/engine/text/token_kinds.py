"""What kind of token a token is, for filters that act when examples are read. Standard library only.

Nothing is thrown away by kind: a feature for commas is a feature. A page may hide what it is told to hide, and says so.
No script counts as junk: a lone Chinese character is a word, a lone "q" a single letter.
"""

import re
from enum import StrEnum

from workers.engine.text.stop_words import STOP_WORDS
from workers.engine.text.token_filters import is_punctuation, is_white_space

_SPECIAL = re.compile(
    r"<[|｜].*[|｜]>|</?(s|pad|unk|bos|eos|sos|mask|cls|sep|start_of_turn|end_of_turn|unused\d+|extra_id_\d+)>"
    r"|\[(CLS|SEP|PAD|UNK|MASK)\]"
)
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


def is_special(raw: str) -> bool:
    """Whether a raw token is no text but marks the ends and turns of documents: <|…|>, <s>, </s>, [CLS] and the like."""
    return bool(_SPECIAL.fullmatch(raw.strip()))


def token_kinds(raw: str, text: str, *, is_part: bool = False) -> frozenset[TokenKind]:
    """The kinds of a token that the vocabulary spells `raw` and that shows `text`; `is_part`: other tokens belong to its word
    (text/words.py).

    special: `is_special`, and nothing else then. punctuation: nothing but marks, symbols or blanks. number: digits, with
    separators. fragment: letters that are only a part of their word. single_letter: one letter of a script with capitals.
    stop_word: one of STOP_WORDS, whole.
    """
    if is_special(raw):
        return frozenset({TokenKind.SPECIAL})
    core = text.strip()
    judged = {
        TokenKind.PUNCTUATION: is_punctuation(text) or is_white_space(text),
        TokenKind.NUMBER: core.translate(_SEPARATORS).isnumeric(),
        TokenKind.FRAGMENT: is_part and any(map(str.isalpha, core)),
        TokenKind.SINGLE_LETTER: len(core) == 1 and core.lower() != core.upper(),
        TokenKind.STOP_WORD: core.lower() in STOP_WORDS and not is_part,
    }
    return frozenset(kind for kind, holds in judged.items() if holds)
