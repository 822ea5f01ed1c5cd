"""At which tokens a latent fires: count, mean and maximum of its firings for each token id, over all included positions.

Shapes: R latents of a range, N firings, L tokens listed, G groups (latent, token).
"""

from dataclasses import dataclass

import numpy as np

from workers.engine.features.latent_firings import LatentFirings
from workers.engine.features.ordering import ranks, stable_order

NO_TOKEN = -1


@dataclass(frozen=True)
class TopTokens:
    """(R, L) each, most frequent first, of equally frequent ones the smaller id; ids are NO_TOKEN behind the last."""

    ids: np.ndarray
    counts: np.ndarray
    means: np.ndarray
    maxima: np.ndarray


def top_tokens(latents: LatentFirings, token_of_position: np.ndarray, listed: int) -> TopTokens:
    """The `listed` tokens at which each latent of the range fires most often. `token_of_position` is flat."""
    R, token_N = len(latents), token_of_position[latents.positions].astype(np.int64)
    bits = int(token_N.max(initial=0)).bit_length()
    sorted_N, order = stable_order(latents.owners << bits | token_N)
    first_G = np.flatnonzero(np.diff(sorted_N, prepend=-1))
    count_G = np.diff(first_G, append=len(sorted_N))
    owner_G, token_G = sorted_N[first_G] >> bits, sorted_N[first_G] & ((1 << bits) - 1)
    count_bits = int(count_G.max(initial=0)).bit_length()
    _, ranked = stable_order(((owner_G + 1) << count_bits) - count_G)
    rank_G = ranks(owner_G[ranked])
    kept, rank = ranked[rank_G < listed], rank_G[rank_G < listed]
    found = TopTokens(
        ids=np.full((R, listed), NO_TOKEN, np.int32),
        counts=np.zeros((R, listed), np.int32),
        means=np.zeros((R, listed), np.float32),
        maxima=np.zeros((R, listed), np.float32),
    )
    if len(kept):
        place, value_N = (owner_G[kept], rank), latents.values[order]
        found.ids[place], found.counts[place] = token_G[kept], count_G[kept]
        found.means[place] = np.add.reduceat(value_N, first_G, dtype=np.float64)[kept] / count_G[kept]
        found.maxima[place] = np.maximum.reduceat(value_N, first_G)[kept]
    return found
