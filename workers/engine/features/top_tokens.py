"""At which tokens a latent fires: count, mean and maximum of its firings for each token id, over all included positions.

Shapes: F latents of a range, N firings, L tokens listed, G groups (latent, token).
"""

from dataclasses import dataclass

import numpy as np

from workers.engine.features.firings import LatentFirings

NO_TOKEN = -1


@dataclass(frozen=True)
class TopTokens:
    """(F, L) each, most frequent first, of equally frequent ones the smaller id; ids are NO_TOKEN behind the last."""

    ids: np.ndarray
    counts: np.ndarray
    means: np.ndarray
    maxima: np.ndarray


def top_tokens(latents: LatentFirings, token_of_position: np.ndarray, listed: int) -> TopTokens:
    """The `listed` tokens at which each latent of the range fires most often. `token_of_position` is flat."""
    F, tokens_N = latents.stop - latents.start, token_of_position[latents.positions].astype(np.int64)
    size = int(tokens_N.max(initial=0)) + 1
    key_N = latents.owners * size + tokens_N
    order = np.argsort(key_N, kind="stable")
    sorted_N = key_N[order]
    first_G = np.flatnonzero(np.diff(sorted_N, prepend=-1))
    key_G, count_G = sorted_N[first_G], np.diff(first_G, append=len(sorted_N))
    values_N = latents.values[order].astype(np.float64)
    owner_G, token_G = key_G // size, key_G % size
    ranked = np.lexsort((token_G, -count_G, owner_G))
    rank = np.arange(len(ranked)) - np.searchsorted(owner_G[ranked], owner_G[ranked])
    kept, rank = ranked[rank < listed], rank[rank < listed]
    found = TopTokens(
        ids=np.full((F, listed), NO_TOKEN, np.int32),
        counts=np.zeros((F, listed), np.int32),
        means=np.zeros((F, listed), np.float32),
        maxima=np.zeros((F, listed), np.float32),
    )
    if len(kept):
        place = (owner_G[kept], rank)
        found.ids[place], found.counts[place] = token_G[kept], count_G[kept]
        found.means[place] = (np.add.reduceat(values_N, first_G) / count_G)[kept]
        found.maxima[place] = np.maximum.reduceat(values_N, first_G)[kept]
    return found
