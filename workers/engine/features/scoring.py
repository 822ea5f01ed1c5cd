"""How well a feature can be read, from its own examples: three numbers from 0 to 1, and one that sums them up.

    consistency    do the strongest examples stand in like contexts? Mean cosine between their windows, as bags of tokens
                   weighted by rarity (idf), the peak itself left out; less that of random windows: (c - c₀) / (1 - c₀)
    concentration  the share of its firings at its most frequent token
    agreement      does what the strongest firings show tell weaker ones from silence? From the STRONGEST firings, log-odds of
                   the token itself, its ending, its shape, and of the tokens beside it; they rank a random sample of the
                   other firings, of every strength, against places where the latent is silent: max(0, 2 AUC - 1)
    score          agreement / 2 + (consistency + concentration) / 4

A latent that fires on one part of speech has many tokens and many contexts, so agreement counts most: endings and
neighbours of verbs tell other verbs. A latent that fires at random scores near 0 in all three.

Shapes: V vocabulary, P included positions, N firings of a latent, S windows, W tokens of a window, K keys of a token.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workers.engine.features.firings import strongest_first
from workers.engine.features.windows import OUTSIDE, WindowCutter

CONTEXT = 8
"""Tokens on each side of the peak that are compared."""
BASELINE_WINDOWS = 200
STRONGEST = 100
COMPARED = 200
"""Weaker firings, and silent places, that the strongest are tried on."""
LEAST_COMPARED = 5
PRIOR = 2.0
"""Firings' worth of the base rate mixed into the rates of the strongest."""
LONGEST_ENDING = 3


@dataclass(frozen=True)
class Readability:
    """All from 0 to 1; 0 where there is too little to tell."""

    consistency: float
    concentration: float
    agreement: float

    @property
    def score(self) -> float:
        return self.agreement / 2 + (self.consistency + self.concentration) / 4


class Scorer:
    """What scores of all latents share: base rates of tokens, their endings and shapes."""

    def __init__(
        self, cutter: WindowCutter, included_P: np.ndarray, token_texts: Sequence[str], pool: np.ndarray
    ) -> None:
        """`pool` has included positions in random order."""
        self._tokens, self._lengths = cutter.tokens, cutter.lengths
        counts_V = np.bincount(cutter.tokens.reshape(-1)[included_P], minlength=len(token_texts))[: len(token_texts)]
        self._idf_V = np.log(len(included_P) / np.maximum(counts_V, 1)).clip(min=0)
        self._keys_VK, self._rates = _keys(token_texts, counts_V)
        self._context = WindowCutter(cutter.tokens, cutter.lengths, CONTEXT, CONTEXT)
        self._baseline = self._mean_cosine(pool[:BASELINE_WINDOWS]) or 0.0
        self._pool, self._included_P = pool.astype(included_P.dtype), included_P
        self._pool_keys = self._window_keys(pool.astype(np.int64))

    def of(
        self,
        positions_N: np.ndarray,
        values_N: np.ndarray,
        top: np.ndarray,
        most_frequent: int,
        generator: np.random.Generator,
    ) -> Readability:
        """Scores of a latent that fires at the flat `positions_N` (ascending); its top examples lie around `top`, and
        `most_frequent` of its firings are at one token."""
        if not len(positions_N):
            return Readability(0.0, 0.0, 0.0)
        cosine = self._mean_cosine(top)
        consistency = 0.0 if cosine is None else (cosine - self._baseline) / (1 - self._baseline)
        return Readability(
            consistency=float(np.clip(consistency, 0, 1)),
            concentration=most_frequent / len(positions_N),
            agreement=self._agreement(positions_N, values_N, generator),
        )

    def _mean_cosine(self, centres_S: np.ndarray) -> float | None:
        """Mean over pairs of windows; None for fewer than two."""
        if len(centres_S) < 2:
            return None
        ids_SW = np.delete(self._context.token_ids(centres_S), CONTEXT, axis=1)
        known, column_SW = np.unique(ids_SW, return_inverse=True)
        bags = np.zeros((len(ids_SW), len(known)))
        np.put_along_axis(bags, column_SW.reshape(ids_SW.shape), 1.0, axis=1)
        bags *= np.where(known == OUTSIDE, 0, self._idf_V[known])
        norms = np.linalg.norm(bags, axis=1)
        bags /= np.where(norms > 0, norms, 1)[:, None]
        pairs = len(bags) * (len(bags) - 1)
        return float((np.square(bags.sum(0)).sum() - np.square(bags).sum()) / pairs)

    def _agreement(self, positions_N: np.ndarray, values_N: np.ndarray, generator: np.random.Generator) -> float:
        # a latent with few firings still shows half of them to the other half
        shown = min(STRONGEST, -(-len(values_N) // 2))
        strongest = strongest_first(values_N, shown)[:shown]
        weaker = np.delete(positions_N, strongest)
        weaker = generator.choice(weaker, min(COMPARED, len(weaker)), replace=False, shuffle=False).astype(np.int64)
        silent = self._silent(positions_N)
        if min(len(weaker), len(silent)) < LEAST_COMPARED:
            return 0.0
        top = positions_N[strongest].astype(np.int64)
        known, counts = np.unique(self._window_keys(top), return_counts=True)
        rates = self._rates[known]
        odds = np.log((counts + PRIOR * rates) / (len(top) + PRIOR) / rates)
        unseen = np.log(PRIOR / (len(top) + PRIOR))

        def told(keys_SK: np.ndarray) -> np.ndarray:
            place_SK = np.searchsorted(known, keys_SK).clip(max=len(known) - 1)
            return np.where(known[place_SK] == keys_SK, odds[place_SK], unseen).sum(1)

        of_weaker, of_silent = told(self._window_keys(weaker)), np.sort(told(self._pool_keys[silent]))
        lower, not_higher = (np.searchsorted(of_silent, of_weaker, side).mean() for side in ("left", "right"))
        auc = (lower + not_higher) / 2 / len(of_silent)
        return float(max(0.0, 2 * auc - 1))

    def _silent(self, positions_N: np.ndarray) -> np.ndarray:
        """Where in the pool its first COMPARED places lie at which nothing fires."""
        pool = self._pool[: 4 * COMPARED] if len(positions_N) < len(self._included_P) // 2 else self._pool
        place = np.searchsorted(positions_N, pool).clip(max=len(positions_N) - 1)
        return np.flatnonzero(positions_N[place] != pool)[:COMPARED]

    def _window_keys(self, centres_S: np.ndarray) -> np.ndarray:
        """(S, 3 K): keys of the token at the peak, of the one before and of the one after, in ranges of their own."""
        T, flat = self._tokens.shape[1], self._tokens.reshape(-1)
        none = len(self._keys_VK) - 1
        parts = []
        for number, shift in enumerate((0, -1, 1)):
            places = centres_S % T + shift
            is_there = (places >= 0) & (places < self._lengths[centres_S // T])
            ids = np.where(is_there, flat[np.where(is_there, centres_S + shift, centres_S)], none)
            parts.append(self._keys_VK[ids] + number * (len(self._rates) // 3))
        return np.concatenate(parts, axis=1)


def _keys(token_texts: Sequence[str], counts_V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keys (V + 1, K) of each token: itself, its ending, its shape; the last row stands for no token. And the base rate of
    each key, three times over: for the peak, the token before, the token after."""
    known: dict[tuple[str, str], int] = {}
    rows = [
        [
            known.setdefault(key, len(known))
            for key in (("token", text), ("ending", _ending(text)), ("shape", _shape(text)))
        ]
        for text in [*token_texts, "\0none"]
    ]
    keys_VK = np.array(rows)
    weights = np.append(counts_V, 1.0)
    rates = sum(np.bincount(keys_VK[:, column], weights, len(known)) for column in range(keys_VK.shape[1]))
    rates = np.maximum(rates, 0.5) / weights.sum()
    return keys_VK, np.tile(rates, 3)


def _ending(text: str) -> str:
    """The last letters in lower case: what English and its kin put grammar into."""
    word = text.strip().lower()
    return word[-min(LONGEST_ENDING, max(1, len(word) - 2)) :]


def _shape(text: str) -> str:
    """Space before, capital, letters, digits or marks."""
    word = text.strip()
    if not word:
        return "blank"
    kind = (
        "digits"
        if word.isdigit()
        else "letters"
        if word.isalpha()
        else "mixed"
        if any(map(str.isalnum, word))
        else "marks"
    )
    return f"{'·' if text[:1].isspace() else ''}{'A' if word[:1].isupper() else 'a'}{kind}"
