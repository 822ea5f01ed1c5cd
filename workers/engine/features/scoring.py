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

Shapes: V vocabulary, P included positions, R latents of a range, S slots, M windows, W tokens of a window, N tokens of all
windows, G groups (latent, token).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workers.engine.features.agreement import Agreement
from workers.engine.features.firings import Firings
from workers.engine.features.latent_firings import LatentFirings
from workers.engine.features.ordering import stable_order
from workers.engine.features.random_picks import NONE
from workers.engine.features.windows import WindowCutter

CONTEXT = 8
"""Tokens on each side of the peak that are compared."""
BASELINE_WINDOWS = 200


@dataclass(frozen=True)
class Readability:
    """(R,) each, from 0 to 1; 0 where there is too little to tell."""

    consistency: np.ndarray
    concentration: np.ndarray
    agreement: np.ndarray

    @property
    def score(self) -> np.ndarray:
        return self.agreement / 2 + (self.consistency + self.concentration) / 4


class Scorer:
    """What scores of all latents share: how rare tokens are, and what random windows have in common."""

    def __init__(self, cutter: WindowCutter, firings: Firings, token_texts: Sequence[str], pool: np.ndarray) -> None:
        """`pool` has included positions in random order."""
        tokens_P, V = cutter.tokens.reshape(-1)[firings.positions_P], len(token_texts)
        counts_V = np.bincount(tokens_P, minlength=V)[:V]
        self._idf_V = np.append(np.log(len(tokens_P) / np.maximum(counts_V, 1)).clip(min=0), 0.0)
        self._context = WindowCutter(cutter.tokens, cutter.lengths, CONTEXT, CONTEXT)
        self._baseline = self._mean_cosines(pool[None, :BASELINE_WINDOWS])[0]
        self._agreement = Agreement(cutter, firings, token_texts, counts_V, pool)

    def of(self, latents: LatentFirings, top_RS: np.ndarray, most_frequent_R: np.ndarray, seed: int) -> Readability:
        """Scores of a range of latents; the top examples of each lie around `top_RS` (NONE for an empty slot), and
        `most_frequent` of its firings are at one token."""
        cosine_R = self._mean_cosines(top_RS)
        return Readability(
            consistency=np.clip((cosine_R - self._baseline) / (1 - self._baseline), 0, 1),
            concentration=most_frequent_R / np.maximum(latents.counts, 1),
            agreement=self._agreement.of(latents, seed),
        )

    def _mean_cosines(self, centre_RS: np.ndarray) -> np.ndarray:
        """(R,) means over pairs of windows; 0 for fewer than two."""
        R, is_window_RS = len(centre_RS), centre_RS != NONE
        owner_M, _ = np.nonzero(is_window_RS)
        id_MW = np.sort(np.delete(self._context.token_ids(centre_RS[is_window_RS]), CONTEXT, axis=1), axis=1)
        weight_MW = self._idf_V[id_MW]
        weight_MW[:, 1:][id_MW[:, 1:] == id_MW[:, :-1]] = 0  # a bag has a token once
        norm_M = np.linalg.norm(weight_MW, axis=1)
        bag_MW = weight_MW / np.where(norm_M > 0, norm_M, 1)[:, None]
        # the squared sum of a latent's bags has every pair twice, and each bag with itself
        size = len(self._idf_V)
        sorted_N, order = stable_order((owner_M[:, None] * size + id_MW + 1).ravel())
        first_G = np.flatnonzero(np.diff(sorted_N, prepend=-1))
        sum_G = np.add.reduceat(bag_MW.ravel()[order], first_G) if len(first_G) else np.empty(0)
        both_R = np.bincount(sorted_N[first_G] // size, sum_G**2, R)
        own_R = np.bincount(owner_M, np.square(bag_MW).sum(1), R)
        count_R = is_window_RS.sum(1)
        return (both_R - own_R) / np.maximum(count_R * (count_R - 1), 1)
