"""A name for every latent before anybody labelled it: peak words, a gloss, a peculiar cause, and how interesting it is.

    peak words   the words at the peaks of its strongest distinct examples, folded by case, each with its share of their
                 activation; shares below LEAST_SHARE are left out
    gloss        one sentence: the peak words and what the peaks have in common (commonalities.py)
    peculiarity  a cause that explains it without its meaning, the first that holds: dead, rare, dense, position, layout, one
                 token
    interest     agreement × share of the peaks on content words × log(1 + maximum) × room

A peak on a part of a word counts by its word's share of all peaks: pieces of many names are no concept, those of one name
are. A word's content is 0 for marks and English stop words, NUMBER_CONTENT for numbers; else it grows as the word gets rarer,
from 0 for words that make up FREQUENT of the text to 1 for RARE, which needs no list of words in any language. Room is 1 up to
MOST_WORDS distinct peak words and falls to FREE_ROOM when every example peaks on another word: what has no word in common is
hard to name. Interest is 0 below FEWEST_FIRINGS firings and for artefacts of position.

Nothing here is a label: names are made anew with every run.

Shapes: R latents of a range, S top examples, C codes of words.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from workers.engine.features.commonalities import Commonalities
from workers.engine.features.context_words import NO_WORD, ContextWords, Trait
from workers.engine.features.random_picks import NONE
from workers.engine.specs.features import DENSE, FEWEST_FIRINGS, Peculiarity
from workers.engine.text.stop_words import STOP_WORDS
from workers.engine.text.token_kinds import is_special
from workers.engine.text.tokens import TokenPiece

LEAST_SHARE = 0.05
MOST_NAMED = 8
"""Peak words kept."""
MOSTLY = 0.5
"""Share of the peaks' activation that makes a latent one of position or layout."""
ONE_TOKEN = 0.9
"""Share of all firings at one token."""
NUMBER_CONTENT = 0.5
FREQUENT, RARE = 5e-3, 5e-4
MOST_WORDS = 16
FREE_ROOM = 0.25
BASE_CONTEXTS = 512
"""Contexts whose words say how frequent words, and what they have in common, are anyway."""


@dataclass(frozen=True)
class Names:
    """What the latents of a range are called, in their order."""

    peak_words: list[tuple[tuple[str, float], ...]]
    """(word, share), largest share first."""
    gloss: list[str]
    peculiarity: np.ndarray
    """(R,) int8: a Peculiarity's number."""
    interest: np.ndarray
    """(R,) float64."""


@dataclass(frozen=True)
class Measured:
    """What is known of the latents of a range before they are named, (R,) each."""

    firings: np.ndarray
    density: np.ndarray
    maximum: np.ndarray
    agreement: np.ndarray
    concentration: np.ndarray


class Namer:
    """Names the latents of one range after another."""

    def __init__(
        self,
        tokens_NT: np.ndarray,
        lengths_N: np.ndarray,
        pieces: Callable[[Sequence[int]], list[TokenPiece]],
        pool: np.ndarray,
    ) -> None:
        """`pool` has included positions in random order; `pieces` gives what each token of a context shows."""
        self._words = ContextWords(tokens_NT, lengths_N, pieces)
        base = pool[:BASE_CONTEXTS]
        self._words.read(base)
        self._common = Commonalities(self._words, base)
        counts_C = np.asarray(self._words.counts, np.float64)
        folded: dict[str, float] = {}
        for spelling, count in zip(self._words.spellings, counts_C):
            folded[spelling.lower()] = folded.get(spelling.lower(), 0.0) + count / counts_C.sum()
        self._rates = folded
        self._contents: list[float] = []

    def of(self, measured: Measured, centre_RS: np.ndarray, value_RS: np.ndarray) -> Names:
        """Names from the places of the top examples (NONE for an empty slot) and the activations there."""
        self._words.read(centre_RS[centre_RS != NONE])
        self._contents += [self._content(word) for word in self._words.spellings[len(self._contents) :]]
        found = [
            self._one(row, measured, centre_S[centre_S != NONE], value_S[centre_S != NONE])
            for row, (centre_S, value_S) in enumerate(zip(centre_RS, value_RS))
        ]
        peak_words, gloss, peculiarity, interest = zip(*found) if found else ((), (), (), ())
        return Names(list(peak_words), list(gloss), np.array(peculiarity, np.int8), np.array(interest, np.float64))

    def _one(
        self, row: int, measured: Measured, centre_S: np.ndarray, value_S: np.ndarray
    ) -> tuple[tuple[tuple[str, float], ...], str, int, float]:
        share_S = value_S / max(float(value_S.sum()), 1e-30)
        code_S = self._words.word(centre_S)
        named = self._words.shares(code_S, share_S)
        peculiarity = self._peculiarity(row, measured, centre_S, code_S, share_S)
        words = tuple((word, share) for word, share in named[:MOST_NAMED] if share >= LEAST_SHARE)
        gloss = self._common.gloss(
            peculiarity, int(measured.firings[row]), float(measured.density[row]), words, len(named), centre_S, share_S
        )
        interest = 0.0
        if peculiarity not in (Peculiarity.DEAD, Peculiarity.RARE, Peculiarity.POSITION):
            room = _room(len(named), len(centre_S))
            content = self._content_share(code_S, share_S, self._words.traits(centre_S), dict(named))
            interest = float(measured.agreement[row]) * content * float(np.log1p(measured.maximum[row])) * room
        return words, gloss, int(peculiarity), interest

    def _peculiarity(
        self, row: int, measured: Measured, centre_S: np.ndarray, code_S: np.ndarray, share_S: np.ndarray
    ) -> Peculiarity:
        if not measured.firings[row]:
            return Peculiarity.DEAD
        if measured.firings[row] < FEWEST_FIRINGS:
            return Peculiarity.RARE
        if measured.density[row] > DENSE:
            return Peculiarity.DENSE
        traits_S = self._words.traits(centre_S)
        if share_S[(traits_S & Trait.CONTEXT_START) > 0].sum() >= MOSTLY:
            return Peculiarity.POSITION
        if share_S[((traits_S & Trait.MARK) > 0) | (code_S == NO_WORD)].sum() >= MOSTLY:
            return Peculiarity.LAYOUT
        if measured.concentration[row] >= ONE_TOKEN:
            return Peculiarity.ONE_TOKEN
        return Peculiarity.NONE

    def _content_share(
        self, code_S: np.ndarray, share_S: np.ndarray, traits_S: np.ndarray, shares: dict[str, float]
    ) -> float:
        """The share of the peaks on content words; `shares` are those of the folded words."""
        of_word = {word.lower(): share for word, share in shares.items()}
        return sum(
            self._contents[code] * share * (of_word[self._words.spellings[code].lower()] if is_part else 1.0)
            for code, share, is_part in zip(code_S.tolist(), share_S.tolist(), ((traits_S & Trait.PART) > 0).tolist())
            if code != NO_WORD
        )

    def _content(self, word: str) -> float:
        """0 for what carries no meaning by itself, up to 1."""
        folded = word.lower()
        if folded in STOP_WORDS or is_special(word) or not any(map(str.isalnum, word)):
            return 0.0
        if not any(map(str.isalpha, word)):
            return NUMBER_CONTENT
        if len(word) == 1 and word.lower() != word.upper():
            return 0.0
        rarity = np.log(FREQUENT / max(self._rates.get(folded, 0.0), 1e-12)) / np.log(FREQUENT / RARE)
        return float(np.clip(rarity, 0.0, 1.0))


def _room(distinct: int, examples: int) -> float:
    """1 up to MOST_WORDS distinct words (or four fifths of few examples), then down to FREE_ROOM when each peak has its own."""
    most = min(MOST_WORDS, 0.8 * examples)
    if distinct <= most:
        return 1.0
    return 1.0 - (1.0 - FREE_ROOM) * (distinct - most) / max(examples - most, 1e-9)
