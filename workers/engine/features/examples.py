"""Chooses the examples of a range of latents from all of their firings.

    top        the strongest firing of each context, strongest first; windows of the same tokens are shown once
    groups     the range (0, maximum] in equal-width intervals, from strong to weak; from each a random sample of firings,
               without regard to context, as SAEDashboard does
    zero       random windows, around included positions, in which the latent is silent from end to end
    near       silent windows around a token at which it fires elsewhere (near_misses.py)

Random picks depend on the seed and the latent's number alone. A latent that never fired has no examples.

Shapes: R latents of a range, S slots, G groups, K examples of a group, M candidates in the order of latents.
"""

from dataclasses import dataclass

import numpy as np

from workers.engine.features.latent_firings import LatentFirings
from workers.engine.features.near_misses import NearMisses
from workers.engine.features.ordering import first_of_each, ranks, slices
from workers.engine.features.random_picks import NONE, random_below, random_choices
from workers.engine.features.windows import WindowCutter
from workers.engine.specs.features import NEAR_GROUP, TOP_GROUP, ZERO_GROUP, FeatureRunSpec

EMPTY = NONE
CANDIDATES_PER_EXAMPLE = 2
"""Firings tried at first for each top example; when they lie in too few contexts, more are."""
MORE = 4
"""Times as many candidates are tried when those before were too few."""
ZERO_CANDIDATES = 32
"""Places tried at first for silent windows."""
ZERO_POOL = 4096
"""Places in random order shared by all latents; each takes those where it is silent, from a random one on."""
GROUP_PICKS, ZERO_PICKS = 1, 2
"""Set the random numbers of one use apart from those of another."""


def slot_groups(spec: FeatureRunSpec) -> np.ndarray:
    """(S,) int8: the group of each example slot: top, quantile groups 1…, zero examples, near misses."""
    groups = np.repeat(np.arange(1, spec.quantile_groups + 1), spec.quantile_examples)
    top, zero = np.full(spec.top_examples, TOP_GROUP), np.full(spec.zero_examples, ZERO_GROUP)
    return np.concatenate([top, groups, zero, np.full(spec.near_misses, NEAR_GROUP)]).astype(np.int8)


def zero_pool(included_positions: np.ndarray, seed: int) -> np.ndarray:
    """Places around which silent windows are sought: a random choice of the included positions."""
    generator = np.random.default_rng(seed)
    return generator.choice(included_positions, min(ZERO_POOL, len(included_positions)), replace=False).astype(np.int64)


@dataclass(frozen=True)
class ExampleChooser:
    """Chooses examples under one Spec; `pool` comes from `zero_pool`."""

    spec: FeatureRunSpec
    cutter: WindowCutter
    pool: np.ndarray
    near: NearMisses

    def centres(self, latents: LatentFirings, top_ids_RK: np.ndarray) -> np.ndarray:
        """(R, S) int64: flat position around which each slot's window lies, EMPTY for an empty slot. `top_ids` are the tokens
        at which each latent fires most often."""
        near_RX = self.near.centres(latents, top_ids_RK, self.spec.near_misses, self.spec.seed)
        chosen_RS = np.concatenate([self._top(latents), self._of_groups(latents), self._zero(latents), near_RX], axis=1)
        chosen_RS[latents.counts == 0] = EMPTY
        return chosen_RS

    def _top(self, latents: LatentFirings) -> np.ndarray:
        """(R, top): the strongest firing of each context, windows of the same tokens once."""
        wanted = self.spec.top_examples
        chosen_R = np.full((len(latents), wanted), EMPTY, np.int64)
        tried, open_O = CANDIDATES_PER_EXAMPLE * wanted, np.flatnonzero(latents.counts)
        while len(open_O):
            owner_M, rank_M = slices(latents.bounds[open_O], np.minimum(latents.counts[open_O], tried))
            owner_M, centre_M = self._unlike(open_O[owner_M], latents.positions[latents.by_strength[rank_M]])
            rank_M = ranks(owner_M)
            is_kept = rank_M < wanted
            chosen_R[owner_M[is_kept], rank_M[is_kept]] = centre_M[is_kept]
            is_short = (chosen_R[open_O, -1] == EMPTY) & (latents.counts[open_O] > tried)
            tried, open_O = tried * MORE, open_O[is_short]
        return chosen_R

    def _unlike(self, owner_M: np.ndarray, centre_M: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each latent's candidates those that lie in another context, and show other tokens, than all before them."""
        N, T = self.cutter.tokens.shape
        first = first_of_each(owner_M * N + centre_M // T)
        owner_M, centre_M = owner_M[first], centre_M[first]
        first = first_of_each(self.cutter.fingerprints(centre_M) + owner_M.astype(np.uint64))
        return owner_M[first], centre_M[first]

    def _of_groups(self, latents: LatentFirings) -> np.ndarray:
        """(R, G · K): a sample of the firings in each group's interval, strongest first; group 1 has the strongest."""
        groups, picks = self.spec.quantile_groups, self.spec.quantile_examples
        if not groups:
            return np.empty((len(latents), 0), np.int64)
        border_RG = latents.maxima[:, None] / groups * np.arange(groups - 1, 0, -1)
        count_R = latents.counts[:, None]
        end_RG = np.concatenate([latents.above(border_RG.astype(np.float32)), count_R], axis=1)
        begin_RG = np.concatenate([np.zeros_like(count_R), end_RG[:, :-1]], axis=1)
        rank_RGK = random_choices(
            end_RG - begin_RG, picks, self.spec.seed, latents.latents[:, None], GROUP_PICKS, np.arange(groups)
        )
        is_filled = rank_RGK != NONE
        place = (latents.bounds[:-1, None, None] + begin_RG[..., None] + rank_RGK)[is_filled]
        chosen_RGK = np.full(rank_RGK.shape, EMPTY, np.int64)
        chosen_RGK[is_filled] = latents.positions[latents.by_strength[place]]
        return chosen_RGK.reshape(len(latents), -1)

    def _zero(self, latents: LatentFirings) -> np.ndarray:
        """(R, zero): silent windows around places of the pool, from a random one on."""
        wanted, pool = self.spec.zero_examples, self.pool
        chosen_R = np.full((len(latents), wanted), EMPTY, np.int64)
        first_R = random_below(len(pool), self.spec.seed, latents.latents, ZERO_PICKS)
        found_R = np.zeros(len(latents), np.int64)
        begin, end, open_O = 0, ZERO_CANDIDATES, np.flatnonzero(latents.counts)
        while wanted and len(open_O) and begin < len(pool):
            place_OC = pool[(first_R[open_O, None] + np.arange(begin, min(end, len(pool)))) % len(pool)]
            owner_OC = np.broadcast_to(open_O[:, None], place_OC.shape)
            is_silent_OC = self.cutter.is_silent(latents, owner_OC.ravel(), place_OC.ravel()).reshape(place_OC.shape)
            slot_OC = found_R[open_O, None] + is_silent_OC.cumsum(1) - 1
            is_taken_OC = is_silent_OC & (slot_OC < wanted)
            chosen_R[owner_OC[is_taken_OC], slot_OC[is_taken_OC]] = place_OC[is_taken_OC]
            found_R[open_O] += is_silent_OC.sum(1)
            begin, end, open_O = end, end * MORE, open_O[found_R[open_O] < wanted]
        return chosen_R
