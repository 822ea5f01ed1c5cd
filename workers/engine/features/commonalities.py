"""What the peaks of a latent have in common besides their words, as one sentence: the gloss.

Said is what holds for at least COMMON of the peaks' activation and LIFT times as often as at places drawn at random: kind of
word, shared ending or beginning, place in the text, the word before or after.

Shapes: S peaks, M places drawn at random.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from workers.engine.features.context_words import NO_WORD, ContextWords, Trait
from workers.engine.specs.features import FEWEST_FIRINGS, Peculiarity

COMMON = 0.6
ALWAYS = 0.95
LIFT = 3.0
NAMED = 4
"""Peak words that the sentence quotes."""
HARDLY_A_WORD = 0.1
"""Where no word has more of the activation, the peaks have no word in common."""
LEAST_DISTINCT = 4
"""Distinct words that must share an ending for it to be one."""
ENDINGS, BEGINNINGS = (4, 3, 2), (5, 4, 3)
"""Characters, the longest tried first."""
LEAST_STEM = 2
KINDS = {Trait.NUMBER: "numbers", Trait.MARK: "punctuation", Trait.CAPITAL: "capitalised words"}
PLACES = {
    Trait.LINE_START: "at the start of a line",
    Trait.SENTENCE_START: "at the start of a sentence",
    Trait.QUOTED: "inside quotation marks",
}


class Commonalities:
    """Glosses for one latent after another; what is common anyway is measured once."""

    def __init__(self, words: ContextWords, base_M: np.ndarray) -> None:
        """`base` are flat positions drawn at random, in contexts that were read."""
        self._words = words
        traits_M = words.traits(base_M)
        self._traits = {trait: float(((traits_M & trait) > 0).mean()) if len(base_M) else 0.0 for trait in Trait}
        self._before, self._after = (self._rates(codes) for codes in (words.before(base_M), words.after(base_M)))
        distinct = {word.lower() for word in words.spellings}
        self._affixes = Counter(affix for word in distinct for affix in _affixes(word))
        self._distinct = max(len(distinct), 1)

    def gloss(
        self,
        peculiarity: Peculiarity,
        firings: int,
        density: float,
        peak_words: Sequence[tuple[str, float]],
        distinct: int,
        centre_S: np.ndarray,
        share_S: np.ndarray,
    ) -> str:
        """The sentence. `distinct` is how many different words the peaks lie on, `peak_words` those with their shares."""
        match peculiarity:
            case Peculiarity.DEAD:
                return "Never fired in this text."
            case Peculiarity.RARE:
                times = "once" if firings == 1 else f"{firings} times"
                return f"Fired only {times}: too seldom to say on what (from {FEWEST_FIRINGS} firings on)."
            case Peculiarity.POSITION:
                return "Peaks at the first positions of contexts, whatever the word: an artefact of position."
        clauses = self._clauses(centre_S, share_S, bool(peak_words) and peak_words[0][1] >= COMMON)
        begin = self._peaks_on(peak_words, distinct, centre_S, bool(clauses))
        if peculiarity is Peculiarity.DENSE:
            begin = f"Fires on {share_words(density)} of all tokens. {begin}"
        return f"{', '.join([begin, *clauses])}."

    def _peaks_on(
        self, peak_words: Sequence[tuple[str, float]], distinct: int, centre_S: np.ndarray, has_clauses: bool
    ) -> str:
        if not distinct:
            return "Peaks on line breaks and blanks"
        quoted = [f"“{word}” ({share_words(share)})" for word, share in peak_words[:NAMED]]
        if peak_words and peak_words[0][1] > HARDLY_A_WORD:
            return f"Peaks on {listed(quoted)}"
        if has_clauses:
            return f"Peaks on many different words, such as {listed([f'“{word}”' for word, _ in peak_words[:NAMED]])}"
        return f"Its strongest peaks share nothing that can be told by words alone: {distinct} words at {len(centre_S)} peaks"

    def _clauses(self, centre_S: np.ndarray, share_S: np.ndarray, is_one_word: bool) -> list[str]:
        """What is common; of one word nobody wants to hear what kind of word it is."""
        code_S = self._words.word(centre_S)
        kinds = [] if is_one_word else self._kinds(centre_S, share_S)
        place = self._place(centre_S, share_S)
        before, after = self._words.before(centre_S), self._words.after(centre_S)
        return [
            *(kinds or self._affix(code_S)),
            *(place or self._beside("after", before, share_S, self._before)),
            *self._beside("before", after, share_S, self._after),
        ]

    def _kinds(self, centre_S: np.ndarray, share_S: np.ndarray) -> list[str]:
        return [f"{_how(share)} {words}" for words, share in self._told(KINDS, centre_S, share_S)][:1]

    def _place(self, centre_S: np.ndarray, share_S: np.ndarray) -> list[str]:
        """The narrowest place: a line's start is mostly a sentence's too."""
        return [f"{_how(share)} {words}" for words, share in self._told(PLACES, centre_S, share_S)][:1]

    def _told(self, words: dict[Trait, str], centre_S: np.ndarray, share_S: np.ndarray) -> Iterable[tuple[str, float]]:
        traits_S = self._words.traits(centre_S)
        for trait, name in words.items():
            share = float(share_S[(traits_S & trait) > 0].sum())
            if self._is_told(share, self._traits[trait]):
                yield name, share

    def _beside(self, name: str, codes_S: np.ndarray, share_S: np.ndarray, rates: dict[str, float]) -> list[str]:
        for word, share in self._words.shares(codes_S, share_S)[:1]:
            if self._is_told(share, rates.get(word.lower(), 0.0)):
                return [f"{_how(share)} {name} “{word}”"]
        return []

    def _affix(self, code_S: np.ndarray) -> list[str]:
        """The longest ending or beginning that most of several distinct words share."""
        distinct = {self._words.spellings[code].lower() for code in code_S.tolist() if code != NO_WORD}
        if len(distinct) < LEAST_DISTINCT:
            return []
        counts = Counter(affix for word in distinct for affix in _affixes(word))
        told = [
            (affix, count / len(distinct))
            for affix, count in counts.items()
            if self._is_told(count / len(distinct), self._affixes[affix] / self._distinct)
        ]
        if not told:
            return []
        affix, share = max(told, key=lambda pair: (len(pair[0]), pair[1]))
        words = f"beginning with “{affix}”" if affix.endswith("-") else f"ending in “{affix}”"
        return [f"{_how(share)} {words}"]

    def _is_told(self, share: float, base: float) -> bool:
        return share >= COMMON and share >= LIFT * base

    def _rates(self, codes_M: np.ndarray) -> dict[str, float]:
        counts = Counter(self._words.spellings[code].lower() for code in codes_M.tolist() if code != NO_WORD)
        return {word: count / len(codes_M) for word, count in counts.items()}


def _affixes(word: str) -> Iterable[str]:
    """Endings "-ing" and beginnings "un-" of a word of letters that leave something of it."""
    if not word.isalpha():
        return
    for length in ENDINGS:
        if len(word) >= length + LEAST_STEM:
            yield f"-{word[-length:]}"
    for length in BEGINNINGS:
        if len(word) >= length + LEAST_STEM:
            yield f"{word[:length]}-"


def share_words(share: float) -> str:
    """A share as a whole percentage."""
    return f"{share * 100:.0f} %"


def _how(share: float) -> str:
    return "always" if share >= ALWAYS else "mostly"


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
