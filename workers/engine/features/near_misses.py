"""Near misses: silent windows around a token at which the latent fires elsewhere. They show what the token alone does not
explain, and are the strongest evidence against a label that only names a token.

The latent's most frequent tokens take turns, so that one frequent token does not fill all places.

Shapes: R latents of a range, K tokens tried, C places looked at for each, X near misses.
"""

from functools import cached_property

import numpy as np

from workers.engine.features.latent_firings import LatentFirings
from workers.engine.features.random_picks import NONE, even_choices
from workers.engine.features.windows import WindowCutter

TOKENS_TRIED = 5
PLACES_TRIED = 64
"""Places looked at for each token, spread over the text where there are more."""
STRIDE = 37
"""Without a divisor that PLACES_TRIED has: taken by this stride, early and late places alternate."""
PICKS = 3
"""Sets these random numbers apart from others of the latent."""


class NearMisses:
    """Finds places (flat positions) among the included ones by their token."""

    def __init__(self, cutter: WindowCutter, included_P: np.ndarray) -> None:
        self._cutter, self._included_P = cutter, included_P

    def centres(self, latents: LatentFirings, top_ids_RK: np.ndarray, wanted: int, seed: int) -> np.ndarray:
        """(R, X) places whose token is one of the latent's `top_ids` (most frequent first, NONE behind the last) and whose
        window is silent; NONE behind the last."""
        place_RKC = self._places(latents, top_ids_RK[:, :TOKENS_TRIED], seed)
        is_tried_RKC = place_RKC != NONE
        owner_M, _, _ = np.nonzero(is_tried_RKC)
        is_found_RKC = np.zeros(place_RKC.shape, bool)
        is_found_RKC[is_tried_RKC] = self._cutter.is_silent(latents, owner_M, place_RKC[is_tried_RKC])
        return first_in_turn(place_RKC, is_found_RKC, wanted)

    def _places(self, latents: LatentFirings, token_RK: np.ndarray, seed: int) -> np.ndarray:
        """(R, K, C) places of each token, in the order in which they are looked at."""
        order, starts = self._by_token
        is_token_RK = token_RK != NONE
        known_RK = np.where(is_token_RK, token_RK, 0)
        count_RK = np.where(is_token_RK, starts[known_RK + 1] - starts[known_RK], 0)
        number_RKC = even_choices(
            count_RK, PLACES_TRIED, seed, latents.latents[:, None], PICKS, np.arange(token_RK.shape[1])
        )[..., np.arange(PLACES_TRIED) * STRIDE % PLACES_TRIED]
        place_RKC = np.full(number_RKC.shape, NONE, np.int64)
        is_there_RKC = number_RKC != NONE
        place_RKC[is_there_RKC] = self._included_P[order[(starts[known_RK][..., None] + number_RKC)[is_there_RKC]]]
        return place_RKC

    @cached_property
    def _by_token(self) -> tuple[np.ndarray, np.ndarray]:
        """The order that sorts included positions by token, and where each token begins in it."""
        tokens_P = self._cutter.tokens.reshape(-1)[self._included_P]
        return np.argsort(tokens_P, kind="stable"), np.concatenate([[0], np.cumsum(np.bincount(tokens_P))])


def first_in_turn(place_RKC: np.ndarray, is_found_RKC: np.ndarray, wanted: int) -> np.ndarray:
    """(R, X): of the places that were found the first of each token, then the second of each, and so on."""
    R, K, _ = place_RKC.shape
    turn_RKC = np.where(is_found_RKC, is_found_RKC.cumsum(-1) * K + np.arange(K)[:, None], np.iinfo(np.int64).max)
    order_RX = np.argsort(turn_RKC.reshape(R, -1), axis=1, kind="stable")[:, :wanted]
    found_RX = np.take_along_axis(place_RKC.reshape(R, -1), order_RX, 1)
    is_found_RX = np.take_along_axis(is_found_RKC.reshape(R, -1), order_RX, 1)
    chosen_RX = np.full((R, wanted), NONE, np.int64)
    chosen_RX[:, : order_RX.shape[1]] = np.where(is_found_RX, found_RX, NONE)
    return chosen_RX
