"""Near misses: silent windows around a token at which the latent fires elsewhere. They show what the token alone does not
explain, and are the strongest evidence against a label that only names a token.

The latent's most frequent tokens take turns, so that one frequent token does not fill all places.
"""

from functools import cached_property
from itertools import zip_longest

import numpy as np

from workers.engine.features.windows import WindowCutter

TOKENS_TRIED = 5
PLACES_TRIED = 64
"""Places looked at for each token, chosen at random."""


class NearMisses:
    """Finds places (flat positions) among the included ones by their token."""

    def __init__(self, cutter: WindowCutter, included_P: np.ndarray) -> None:
        self._cutter, self._included_P = cutter, included_P

    def centres(
        self, top_ids: np.ndarray, positions_N: np.ndarray, wanted: int, generator: np.random.Generator
    ) -> np.ndarray:
        """Up to `wanted` places whose token is one of `top_ids` (most frequent first) and whose window is silent, for a
        latent that fires at `positions_N` (ascending)."""
        tried = [self._places(int(token), generator) for token in top_ids[:TOKENS_TRIED]]
        if not tried:
            return np.empty(0, np.int64)
        is_silent = self._cutter.is_silent(np.concatenate(tried), positions_N)
        by_token = np.split(is_silent, np.cumsum([len(places) for places in tried])[:-1])
        found = [dict.fromkeys(places[silent]) for places, silent in zip(tried, by_token)]
        in_turn = [place for turn in zip_longest(*found) for place in turn if place is not None]
        return np.array(in_turn[:wanted], np.int64)

    def _places(self, token: int, generator: np.random.Generator) -> np.ndarray:
        """Up to PLACES_TRIED places of a token, at random where there are more."""
        order, starts = self._by_token
        tried = np.arange(starts[token], starts[token + 1])
        if len(tried) > PLACES_TRIED:
            tried = generator.integers(starts[token], starts[token + 1], PLACES_TRIED)
        return self._included_P[order[tried]].astype(np.int64)

    @cached_property
    def _by_token(self) -> tuple[np.ndarray, np.ndarray]:
        """The order that sorts included positions by token, and where each token begins in it."""
        tokens_P = self._cutter.tokens.reshape(-1)[self._included_P]
        return np.argsort(tokens_P, kind="stable"), np.concatenate([[0], np.cumsum(np.bincount(tokens_P))])
