"""The words of contexts, and where they stand: what naming.py reads at the peaks of a feature. No parser and no language:
Unicode classes and the tokenizer's own pieces alone.

A position's word is the whole word that its token lies in (text/words.py). A context is read when it is first asked for.

Shapes: N contexts, T tokens in a context, M positions, C codes of words.
"""

from collections.abc import Callable, Sequence
from enum import IntFlag

import numpy as np

from workers.engine.text.token_kinds import is_special
from workers.engine.text.tokens import TokenPiece
from workers.engine.text.words import words_of_pieces

NO_WORD = -1
"""A position that shows white space alone, or lies beyond the context's edge."""
OPENING, CLOSING, STRAIGHT = frozenset(("“", "«", "„", "``")), frozenset(("”", "»", "''")), '"'
SENTENCE_ENDS = tuple(".!?。！？…")


class Trait(IntFlag):
    """What can be seen of a word and its place."""

    MARK = 1
    """No letter, no digit: punctuation and symbols; and special tokens."""
    NUMBER = 2
    """Digits, no letters."""
    CAPITAL = 4
    """Begins with a capital, though no sentence or line begins with it."""
    LINE_START = 8
    SENTENCE_START = 16
    QUOTED = 32
    CONTEXT_START = 64
    """The second or third position of its context: the first two that features see."""
    PART = 128
    """The token is a part of its word: another token has letters or digits of it."""


class ContextWords:
    """Words and traits of positions, context after context."""

    def __init__(
        self, tokens_NT: np.ndarray, lengths_N: np.ndarray, pieces: Callable[[Sequence[int]], list[TokenPiece]]
    ) -> None:
        """`pieces` gives what each token of a context shows, from the ids of all."""
        self._tokens, self._lengths, self._pieces = tokens_NT, lengths_N, pieces
        self._is_read_N = np.zeros(len(tokens_NT), bool)
        self._word, self._before, self._after = (np.full(tokens_NT.shape, NO_WORD, np.int32) for _ in range(3))
        self._traits = np.zeros(tokens_NT.shape, np.uint8)
        self._codes: dict[str, int] = {}
        self.spellings: list[str] = []
        """(C,) words as they stand in the text, without the blanks around them."""
        self.counts: list[int] = []
        """(C,) how often each occurs in the contexts read so far."""

    def read(self, positions_M: np.ndarray) -> None:
        """Read the contexts of flat positions that were not read before."""
        contexts = np.unique(positions_M // self._tokens.shape[1])
        for context in contexts[~self._is_read_N[contexts]].tolist():
            self._fill(context)
            self._is_read_N[context] = True

    def word(self, positions_M: np.ndarray) -> np.ndarray:
        """(M,) codes of the words at flat positions of contexts that were read."""
        return self._word.reshape(-1)[positions_M]

    def before(self, positions_M: np.ndarray) -> np.ndarray:
        """(M,) codes of the words just before; NO_WORD at a context's start."""
        return self._before.reshape(-1)[positions_M]

    def after(self, positions_M: np.ndarray) -> np.ndarray:
        """(M,) codes of the words just after; NO_WORD at a context's end."""
        return self._after.reshape(-1)[positions_M]

    def traits(self, positions_M: np.ndarray) -> np.ndarray:
        """(M,) uint8 of Trait bits."""
        return self._traits.reshape(-1)[positions_M]

    def shares(self, codes_M: np.ndarray, share_M: np.ndarray) -> list[tuple[str, float]]:
        """Words folded by case with the sum of their shares, largest first, each in its most frequent spelling."""
        by_fold: dict[str, dict[str, float]] = {}
        for code, share in zip(codes_M.tolist(), share_M.tolist()):
            if code != NO_WORD:
                word = self.spellings[code]
                spellings = by_fold.setdefault(word.lower(), {})
                spellings[word] = spellings.get(word, 0.0) + share
        summed = [(max(each, key=each.__getitem__), sum(each.values())) for each in by_fold.values()]
        return sorted(summed, key=lambda pair: -pair[1])

    def _fill(self, context: int) -> None:
        pieces = self._pieces(self._tokens[context, : self._lengths[context]].tolist())
        earlier, code, quoted, blanks = None, NO_WORD, False, ""
        for word in words_of_pieces(pieces):
            core = word.text.strip()
            if not core:
                blanks += word.text
                continue
            span, before = slice(word.start, word.stop), code
            blanks += word.text[: len(word.text) - len(word.text.lstrip())]
            code = self._code(core)
            ends = core in CLOSING or (core == STRAIGHT and quoted)
            begins = not ends and (core in OPENING or core == STRAIGHT)
            quoted = quoted and not ends
            traits = _traits(core, blanks, self.spellings[before] if earlier else None)
            if sum(any(map(str.isalnum, piece.text)) for piece in pieces[span]) > 1:
                traits |= Trait.PART
            self._word[context, span], self._before[context, span] = code, before
            self._traits[context, span] = int(traits | (Trait.QUOTED if quoted else Trait(0)))
            if earlier:
                self._after[context, earlier.start : earlier.stop] = code
            earlier, quoted, blanks = word, quoted or begins, word.text[len(word.text.rstrip()) :]
        self._traits[context, 1:3] |= np.uint8(Trait.CONTEXT_START)

    def _code(self, word: str) -> int:
        code = self._codes.setdefault(word, len(self._codes))
        if code == len(self.spellings):
            self.spellings.append(word)
            self.counts.append(0)
        self.counts[code] += 1
        return code


def _traits(core: str, blanks: str, earlier: str | None) -> Trait:
    """Of a word, the white space before it and the word before that; None at a context's start, where nobody knows."""
    found = Trait(0)
    if is_special(core) or not any(map(str.isalnum, core)):
        found |= Trait.MARK
    elif not any(map(str.isalpha, core)):
        found |= Trait.NUMBER
    if "\n" in blanks:
        found |= Trait.LINE_START
    if earlier is not None and earlier.endswith(SENTENCE_ENDS):
        found |= Trait.SENTENCE_START
    if core[0].isupper() and earlier is not None and not found & (Trait.LINE_START | Trait.SENTENCE_START):
        found |= Trait.CAPITAL
    return found
