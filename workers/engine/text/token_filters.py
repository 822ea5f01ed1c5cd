"""Which tokens a filter takes out, judged by the text that a token shows. Standard library only.

    minimal       control characters alone
    conservative  also white space alone
    standard      also a single character that is no letter or digit, and pure punctuation
    aggressive    also at most two characters of which less than half are letters or digits
    strict        also every token with a punctuation mark in it

Names of programming languages that end in marks (KEPT) stay, whatever the mode. A token that shows nothing, because its
bytes belong to a character begun earlier, goes with that token: see `is_kept_each`.
"""

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from workers.engine.text.stop_words import STOP_WORDS
from workers.engine.text.tokens import TokenPiece

KEPT = frozenset({"c++", "f#", "c#", ".net"})


def is_control(text: str) -> bool:
    """Nothing but control characters, of which tab and line ends do not count."""
    return bool(text) and all(unicodedata.category(c) in ("Cc", "Cf") and not c.isspace() for c in text)


def is_white_space(text: str) -> bool:
    return bool(text) and text.isspace()


def is_punctuation(text: str) -> bool:
    """Nothing but punctuation marks and symbols around white space."""
    core = text.strip()
    return bool(core) and all(_is_mark(c) for c in core)


def _is_single_mark(text: str) -> bool:
    core = text.strip()
    return len(core) == 1 and not core.isalnum()


def _is_short_junk(text: str) -> bool:
    core = text.strip()
    return 0 < len(core) <= 2 and sum(c.isalnum() for c in core) / len(core) < 0.5


def _has_mark(text: str) -> bool:
    return any(unicodedata.category(c)[0] == "P" for c in text)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"


_RULES: tuple[tuple[str, tuple[Callable[[str], bool], ...]], ...] = (
    ("minimal", (is_control,)),
    ("conservative", (is_white_space,)),
    ("standard", (_is_single_mark, is_punctuation)),
    ("aggressive", (_is_short_junk,)),
    ("strict", (_has_mark,)),
)
"""Each mode with the rules that it adds to those before it."""
MODES = ("none", *(mode for mode, _ in _RULES))


@dataclass(frozen=True)
class TokenFilter:
    """What is taken out of a text: a mode of TOKEN_FILTERS and the three extra wishes of a TokenizeSpec."""

    mode: str = "none"
    remove_punctuation: bool = False
    remove_stop_words: bool = False
    custom_characters: str = ""

    @property
    def does_nothing(self) -> bool:
        return self == TokenFilter()

    def takes_out(self, text: str) -> bool:
        """Whether a token that shows `text` is taken out."""
        word = text.strip().lower()
        if word in KEPT:
            return False
        if any(rule(text) for rule in self._rules()):
            return True
        if self.remove_punctuation and is_punctuation(text):
            return True
        if self.remove_stop_words and word in STOP_WORDS:
            return True
        return any(character in text for character in self.custom_characters)

    def is_kept_each(self, pieces: Sequence[TokenPiece]) -> list[bool]:
        """For each token of a text whether it stays. Tokens that continue a character share the fate of its first."""
        kept: list[bool] = []
        for piece in pieces:
            follows = piece.joins_previous and not piece.text and bool(kept)
            kept.append(kept[-1] if follows else not (piece.text and self.takes_out(piece.text)))
        return kept

    def _rules(self) -> tuple[Callable[[str], bool], ...]:
        upto = MODES.index(self.mode)
        return tuple(rule for _, rules in _RULES[:upto] for rule in rules)
