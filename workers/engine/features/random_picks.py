"""Random numbers by counting instead of from a stream: each is a function of the seed and of what it is for.

So a latent's random picks are the same whatever latents are worked on together, and all of them are drawn in one go.

Shapes: G groups that are picked from, K picks.
"""

import numpy as np

NONE = -1
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def uniform_bits(seed: int, *counters: int | np.ndarray) -> np.ndarray:
    """32 random bits (uint64) for each combination of the counters, which are broadcast: SplitMix64, once a counter."""
    state = np.asarray(seed, np.uint64)
    with np.errstate(over="ignore"):
        for counter in counters:
            state = _mixed((state ^ np.asarray(counter).astype(np.uint64)) * _GOLDEN + _GOLDEN)
    return state >> np.uint64(32)


def random_below(limit: int | np.ndarray, seed: int, *counters: int | np.ndarray) -> np.ndarray:
    """Random integers (int64) from 0 to limit - 1, limits below 2³²; 0 where the limit is 0."""
    return ((uniform_bits(seed, *counters) * np.asarray(limit).astype(np.uint64)) >> np.uint64(32)).astype(np.int64)


def random_choices(size_G: np.ndarray, picks: int, seed: int, *counters: int | np.ndarray) -> np.ndarray:
    """(…, K) ascending: K different numbers below each size, all where there are fewer, NONE behind them.

    Every choice is equally likely (Floyd's algorithm). The counters have a value for each size.
    """
    chosen = np.full((*size_G.shape, picks), NONE, np.int64)
    for pick in range(picks):
        last_G = size_G - np.minimum(size_G, picks) + pick
        drawn_G = random_below(last_G + 1, seed, *counters, pick)
        is_taken_G = (chosen == drawn_G[..., None]).any(-1)
        chosen[..., pick] = np.where(pick < size_G, np.where(is_taken_G, last_G, drawn_G), NONE)
    chosen[chosen == NONE] = np.iinfo(np.int64).max
    chosen.sort(axis=-1)
    chosen[chosen == np.iinfo(np.int64).max] = NONE
    return chosen


def even_choices(size_G: np.ndarray, picks: int, seed: int, *counters: int | np.ndarray) -> np.ndarray:
    """(…, K) ascending: K numbers spread evenly below each size, from a random start, so that each number is equally likely to
    be among them; all where there are fewer, NONE behind them."""
    kept_G = np.minimum(size_G, picks)
    start_G = uniform_bits(seed, *counters) / 2.0**32
    number_K = np.arange(picks)
    spread = (number_K + start_G[..., None]) * size_G[..., None] / np.maximum(kept_G, 1)[..., None]
    chosen = np.where((size_G > picks)[..., None], spread.astype(np.int64), number_K)
    return np.where(number_K < kept_G[..., None], np.minimum(chosen, size_G[..., None] - 1), NONE)


def _mixed(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
