"""Agreement: does what a latent's strongest firings show tell its weaker ones from silence? scoring.py says what it is for.

Each place shows nine keys: the token there, its ending and its shape, and the same of the token before and of the one after.

Shapes: V vocabulary, R latents of a range, S places, C places compared, K keys of a token, Q places of the pool.
"""

from collections.abc import Sequence

import numpy as np

from workers.engine.features.firings import Firings
from workers.engine.features.latent_firings import LatentFirings
from workers.engine.features.ordering import stable_order
from workers.engine.features.random_picks import NONE, even_choices
from workers.engine.features.windows import WindowCutter

STRONGEST = 100
COMPARED = 200
"""Weaker firings, and silent places, that the strongest are tried on."""
LEAST_COMPARED = 5
PRIOR = 2.0
"""Firings' worth of the base rate mixed into the rates of the strongest."""
LONGEST_ENDING = 3
AROUND = (0, -1, 1)
"""Where the tokens stand whose keys a place shows."""
PICKS = 4
"""Sets these random numbers apart from others of the latent."""


class Agreement:
    """What all latents share: keys of tokens with their base rates, and which latents fire at the places of the pool."""

    def __init__(
        self, cutter: WindowCutter, firings: Firings, token_texts: Sequence[str], counts_V: np.ndarray, pool: np.ndarray
    ) -> None:
        """`pool` has included positions in random order; `counts_V` says how often each token stands at one."""
        self._tokens, self._lengths = cutter.tokens, cutter.lengths
        self._keys_KV, self._rates = token_keys(token_texts, counts_V)
        self._odds = np.zeros(len(AROUND) * len(self._rates), np.float32)
        """Of each key; zeros but for one latent at a time."""
        self._pool_keys = self._shown(pool)
        rows = np.searchsorted(firings.positions_P, pool.astype(firings.positions_P.dtype))
        latents, place = firings.latents_at(rows)
        self._fired_latents, order = stable_order(latents.astype(np.int64))
        self._fired_places = place[order]

    def of(self, latents: LatentFirings, seed: int) -> np.ndarray:
        """(R,) from 0 to 1."""
        # a latent with few firings still shows half of them to the other half
        shown_R = np.minimum(STRONGEST, -(-latents.counts // 2))
        number_C = np.arange(STRONGEST)
        strongest = self._ranked(latents, np.where(number_C < shown_R[:, None], number_C, NONE))
        weaker_RC = even_choices(latents.counts - shown_R, COMPARED, seed, latents.latents, PICKS)
        weaker = self._ranked(latents, np.where(weaker_RC != NONE, weaker_RC + shown_R[:, None], NONE))
        found = zip(self._learned(strongest), weaker, self._silent(latents))
        return np.array([self._one(*known, weaker_KS, silent_S) for known, weaker_KS, silent_S in found])

    def _one(self, known_G: np.ndarray, odds_G: np.ndarray, weaker_KS: np.ndarray, silent_S: np.ndarray) -> float:
        """Of one latent, from its odds, the keys at weaker firings and silent places of the pool: max(0, 2 AUC - 1)."""
        if min(weaker_KS.shape[1], len(silent_S)) < LEAST_COMPARED:
            return 0.0
        self._odds[known_G] = odds_G
        of_weaker = self._odds.take(weaker_KS).sum(0)
        of_silent = self._odds.take(self._pool_keys[:, : silent_S[-1] + 1]).sum(0)[silent_S]
        self._odds[known_G] = 0
        of_silent.sort()
        lower, not_higher = (np.searchsorted(of_silent, of_weaker, side).mean() for side in ("left", "right"))
        return max(0.0, float(lower + not_higher) / len(of_silent) - 1)

    def _learned(self, strongest: list[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each latent the keys (G,) that its strongest firings show, and their log-odds over those of a key that none of
        them shows; what all keys have in common decides no rank."""
        size, counts_R = len(self._odds), [keys_KS.size for keys_KS in strongest]
        owner_N = np.repeat(np.arange(len(strongest)), counts_R)
        sorted_N = np.sort(owner_N * size + np.concatenate([keys_KS.ravel() for keys_KS in strongest]))
        first_G = np.flatnonzero(np.diff(sorted_N, prepend=-1))
        owner_G, known_G = np.divmod(sorted_N[first_G], size)
        counts_G = np.diff(first_G, append=len(sorted_N))
        odds_G = np.log1p(counts_G / (PRIOR * self._rates[known_G % len(self._rates)]))
        ends = np.searchsorted(owner_G, np.arange(1, len(strongest)))
        return list(zip(np.split(known_G, ends), np.split(odds_G, ends)))

    def _ranked(self, latents: LatentFirings, rank_RC: np.ndarray) -> list[np.ndarray]:
        """For each latent (3 K, S) keys of its firings of these ranks from strong to weak; NONE is left out."""
        is_there_RC = rank_RC != NONE
        place = (latents.bounds[:-1, None] + rank_RC)[is_there_RC]
        keys = self._shown(latents.positions[latents.by_strength[place]])
        return np.split(keys, is_there_RC.sum(1).cumsum()[:-1], axis=1)

    def _silent(self, latents: LatentFirings) -> list[np.ndarray]:
        """For each latent the first COMPARED places of the pool at which it does not fire."""
        mine = slice(*np.searchsorted(self._fired_latents, [latents.start, latents.stop]))
        is_silent_RQ = np.ones((len(latents), self._pool_keys.shape[1]), bool)
        is_silent_RQ[self._fired_latents[mine] - latents.start, self._fired_places[mine]] = False
        return [np.flatnonzero(is_silent_Q)[:COMPARED] for is_silent_Q in is_silent_RQ]

    def _shown(self, centres_S: np.ndarray) -> np.ndarray:
        """(3 K, S): keys of the token there, of the one before and of the one after, in ranges of their own."""
        T, flat = self._tokens.shape[1], self._tokens.reshape(-1)
        none, (context_S, place_S) = self._keys_KV.shape[1] - 1, np.divmod(centres_S, T)
        length_S, parts = self._lengths[context_S], []
        for number, shift in enumerate(AROUND):
            is_there_S = (place_S + shift >= 0) & (place_S + shift < length_S)
            ids_S = np.where(is_there_S, flat[np.where(is_there_S, centres_S + shift, centres_S)], none)
            parts.append(self._keys_KV.take(ids_S, axis=1) + number * len(self._rates))
        return np.concatenate(parts)


def token_keys(token_texts: Sequence[str], counts_V: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keys (K, V + 1) of each token: itself, its ending, its shape; the last column stands for no token. And the base rate of
    each key."""
    weights, keys, rates = np.append(counts_V, 1.0), [], np.empty(0)
    for kind in (str, _ending, _shape):
        known: dict[str, int] = {}
        found = (known.setdefault(kind(text), len(known)) for text in token_texts)
        key_V = np.append(np.fromiter(found, np.int64, len(token_texts)), len(known))
        keys.append(len(rates) + key_V)
        rates = np.append(rates, np.bincount(key_V, weights))
    return np.stack(keys), np.maximum(rates, 0.5) / weights.sum()


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
