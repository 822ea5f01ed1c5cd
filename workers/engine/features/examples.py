"""Chooses the examples of one latent from all of its firings.

    top        the strongest firing of each context, strongest first; windows of the same tokens are shown once
    groups     the range (0, maximum] in equal-width intervals, from strong to weak; from each a random sample of firings,
               without regard to context, as SAEDashboard does
    zero       random windows, around included positions, in which the latent is silent from end to end
    near       silent windows around a token at which it fires elsewhere (near_misses.py)

Random picks depend on the seed and the latent's index alone. A latent that never fired has no examples.
"""

from dataclasses import dataclass

import numpy as np

from workers.engine.features.near_misses import NearMisses
from workers.engine.features.windows import WindowCutter
from workers.engine.specs.features import NEAR_GROUP, TOP_GROUP, ZERO_GROUP, FeatureRunSpec

EMPTY = -1
CANDIDATES = 64
"""Windows looked at together."""
ZERO_POOL = 4096
"""Places in random order shared by all latents; each takes those where it is silent, from a random one on."""


def slot_groups(spec: FeatureRunSpec) -> np.ndarray:
    """(S,) int8: the group of each example slot: top, quantile groups 1…, zero examples, near misses."""
    groups = np.repeat(np.arange(1, spec.quantile_groups + 1), spec.quantile_examples)
    top, zero = np.full(spec.top_examples, TOP_GROUP), np.full(spec.zero_examples, ZERO_GROUP)
    return np.concatenate([top, groups, zero, np.full(spec.near_misses, NEAR_GROUP)]).astype(np.int8)


def zero_pool(included_positions: np.ndarray, seed: int) -> np.ndarray:
    """Places around which silent windows are sought: a random choice of the included positions."""
    generator = np.random.default_rng(seed)
    return generator.permutation(included_positions)[:ZERO_POOL]


@dataclass(frozen=True)
class ExampleChooser:
    """Chooses examples under one Spec; `pool` comes from `zero_pool`."""

    spec: FeatureRunSpec
    cutter: WindowCutter
    pool: np.ndarray
    near: NearMisses

    def centres(self, latent: int, positions_N: np.ndarray, values_N: np.ndarray, top_ids: np.ndarray) -> np.ndarray:
        """(S,) int64: flat position around which each slot's window lies, -1 for an empty slot. `top_ids` are the tokens at
        which the latent fires most often."""
        spec = self.spec
        chosen_S = np.full(len(slot_groups(spec)), EMPTY, np.int64)
        if not len(positions_N):
            return chosen_S
        generator = np.random.default_rng([spec.seed, latent])
        _fill(chosen_S, 0, self._top(positions_N, values_N))
        slot = spec.top_examples
        for group in range(1, spec.quantile_groups + 1):
            _fill(chosen_S, slot, self._of_group(group, positions_N, values_N, generator))
            slot += spec.quantile_examples
        _fill(chosen_S, slot, self._zero(positions_N, generator))
        slot += spec.zero_examples
        _fill(chosen_S, slot, self.near.centres(top_ids, positions_N, spec.near_misses, generator))
        return chosen_S

    def _top(self, positions_N: np.ndarray, values_N: np.ndarray) -> np.ndarray:
        strongest_first = np.lexsort((positions_N, -values_N))
        ranked = positions_N[strongest_first].astype(np.int64)
        _, first_of_context = np.unique(ranked // self.cutter.tokens.shape[1], return_index=True)
        ranked = ranked[np.sort(first_of_context)]
        seen: set[bytes] = set()
        chosen: list[int] = []
        for start in range(0, len(ranked), CANDIDATES):
            candidates = ranked[start : start + CANDIDATES]
            for centre, window in zip(candidates, self.cutter.token_ids(candidates)):
                if (tokens := window.tobytes()) not in seen:
                    seen.add(tokens)
                    chosen.append(centre)
            if len(chosen) >= self.spec.top_examples:
                break
        return np.array(chosen[: self.spec.top_examples])

    def _of_group(
        self, group: int, positions_N: np.ndarray, values_N: np.ndarray, generator: np.random.Generator
    ) -> np.ndarray:
        """A sample of the firings in the group's interval, strongest first."""
        groups = self.spec.quantile_groups
        width = float(values_N.max()) / groups
        low, high = width * (groups - group), width * (groups - group + 1)
        is_inside = (values_N > low) & ((values_N <= high) | (group == 1))
        places = np.flatnonzero(is_inside)
        sample = generator.permutation(places)[: self.spec.quantile_examples]
        return positions_N[sample[np.lexsort((positions_N[sample], -values_N[sample]))]]

    def _zero(self, positions_N: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        if not self.spec.zero_examples:
            return self.pool[:0]
        first = generator.integers(len(self.pool))
        found = self.pool[:0]
        for start in range(0, len(self.pool), CANDIDATES):
            places = np.take(self.pool, np.arange(start, min(start + CANDIDATES, len(self.pool))) + first, mode="wrap")
            found = np.concatenate([found, places[self.cutter.is_silent(places, positions_N)]])
            if len(found) >= self.spec.zero_examples:
                break
        return found[: self.spec.zero_examples]


def _fill(chosen_S: np.ndarray, slot: int, centres: np.ndarray) -> None:
    chosen_S[slot : slot + len(centres)] = centres
