"""Chooses the examples of one latent from all of its firings.

    top        the strongest firing of each context, strongest first; windows of the same tokens are shown once
    groups     the range (0, maximum] in equal-width intervals, from strong to weak; from each a random sample of firings,
               without regard to context, as SAEDashboard does
    zero       random windows, around included positions, in which the latent is silent from end to end
    near       silent windows around a token at which it fires elsewhere (near_misses.py)

Random picks depend on the seed and the latent's index alone. A latent that never fired has no examples.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from workers.engine.features.firings import strongest_first
from workers.engine.features.near_misses import NearMisses
from workers.engine.features.windows import WindowCutter
from workers.engine.specs.features import NEAR_GROUP, TOP_GROUP, ZERO_GROUP, FeatureRunSpec

EMPTY = -1
CANDIDATES = 64
"""Windows looked at together."""
CANDIDATES_PER_EXAMPLE = 8
"""Firings tried at first for each top example; when they lie in too few contexts, more are."""
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
        for sample in self._of_groups(positions_N, values_N, generator):
            _fill(chosen_S, slot, sample)
            slot += spec.quantile_examples
        _fill(chosen_S, slot, self._zero(positions_N, generator))
        slot += spec.zero_examples
        _fill(chosen_S, slot, self.near.centres(top_ids, positions_N, spec.near_misses, generator))
        return chosen_S

    def _top(self, positions_N: np.ndarray, values_N: np.ndarray) -> np.ndarray:
        """The strongest firing of each context, windows of the same tokens once."""
        wanted, tried = self.spec.top_examples, CANDIDATES_PER_EXAMPLE * self.spec.top_examples
        while True:
            ranked = positions_N[strongest_first(values_N, tried)].astype(np.int64)
            chosen = self._unlike(ranked)
            if len(chosen) == wanted or tried >= len(values_N):
                return chosen
            tried *= 8

    def _unlike(self, ranked: np.ndarray) -> np.ndarray:
        """Of places in order the first `top_examples` that lie in different contexts and whose windows differ."""
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

    def _of_groups(
        self, positions_N: np.ndarray, values_N: np.ndarray, generator: np.random.Generator
    ) -> Iterator[np.ndarray]:
        """A sample of the firings in each group's interval, strongest first; group 1 has the strongest."""
        groups = self.spec.quantile_groups
        borders = float(values_N.max()) / max(1, groups) * np.arange(1, groups)
        interval_N = np.searchsorted(borders.astype(np.float32), values_N)
        for interval in reversed(range(groups)):
            places = np.flatnonzero(interval_N == interval)
            sample = generator.choice(
                places, min(self.spec.quantile_examples, len(places)), replace=False, shuffle=False
            )
            yield positions_N[sample[np.lexsort((positions_N[sample], -values_N[sample]))]]

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
