"""All firings of a range of latents at hand, in the orders in which they are asked for.

Shapes: R latents of the range, N firings, Q questions, G borders for each latent.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workers.engine.features.ordering import stable_order

POSITION_BITS = 31
"""Positions and the bits of a positive float32 fit in."""
_LARGEST_BITS = (1 << POSITION_BITS) - 1


@dataclass(frozen=True)
class LatentFirings:
    """All firings of the latents [start, stop), ordered by latent, then position."""

    start: int
    stop: int
    rows: np.ndarray
    """(N,) int64: which of the included positions."""
    positions: np.ndarray
    """(N,) int64: flat positions."""
    values: np.ndarray
    """(N,) float32, above 0."""
    bounds: np.ndarray
    """(R + 1,): firings of latent start + r stand at bounds[r]:bounds[r + 1]."""

    def __len__(self) -> int:
        """R."""
        return self.stop - self.start

    def of(self, latent: int) -> tuple[np.ndarray, np.ndarray]:
        """Positions, ascending, and values of one latent."""
        place = slice(self.bounds[latent - self.start], self.bounds[latent - self.start + 1])
        return self.positions[place], self.values[place]

    def part(self, first: int, last: int) -> "LatentFirings":
        """The latents [first, last) of the range, without a copy."""
        bounds = self.bounds[first - self.start : last - self.start + 1]
        place = slice(bounds[0], bounds[-1])
        return LatentFirings(
            first, last, self.rows[place], self.positions[place], self.values[place], bounds - bounds[0]
        )

    @property
    def latents(self) -> np.ndarray:
        """(R,) the numbers of the latents."""
        return np.arange(self.start, self.stop)

    @property
    def counts(self) -> np.ndarray:
        """(R,) firings of each latent."""
        return np.diff(self.bounds)

    @cached_property
    def owners(self) -> np.ndarray:
        """(N,) int64: of each firing its latent, counted from `start`."""
        return np.repeat(np.arange(len(self)), self.counts)

    @property
    def by_strength(self) -> np.ndarray:
        """(N,) places that order each latent's firings from strong to weak; equal ones by position."""
        return self._strengths[1]

    @cached_property
    def maxima(self) -> np.ndarray:
        """(R,) float64: the largest value of each latent, 0 for one that never fired."""
        maxima, is_alive = np.zeros(len(self)), self.counts > 0
        maxima[is_alive] = self.values[self.by_strength[self.bounds[:-1][is_alive]]]
        return maxima

    def at_least(self, border_RG: np.ndarray) -> np.ndarray:
        """(R, G) how many firings of each latent reach the float64 borders, which are above 0."""
        single = border_RG.astype(np.float32)
        reached = np.where(single < border_RG, np.nextafter(single, np.float32(np.inf)), single)
        return self._stronger(reached, "right")

    def above(self, border_RG: np.ndarray) -> np.ndarray:
        """(R, G) how many firings of each latent are above the float32 borders, which are above 0."""
        return self._stronger(border_RG, "left")

    def first_from(self, owner_Q: np.ndarray, position_Q: np.ndarray) -> np.ndarray:
        """(Q,) place of the owner's first firing at a position or behind it, or of where it would be."""
        return np.searchsorted(self._search_keys, owner_Q << POSITION_BITS | position_Q)

    def fires_between(self, owner_Q: np.ndarray, first_Q: np.ndarray, last_Q: np.ndarray) -> np.ndarray:
        """(Q,) bool: the owner fires somewhere from `first_Q` to `last_Q`."""
        place_Q = self.first_from(owner_Q, first_Q)
        found_Q = np.append(self._search_keys, np.iinfo(np.int64).max)[place_Q]
        return found_Q <= owner_Q << POSITION_BITS | last_Q

    @cached_property
    def _search_keys(self) -> np.ndarray:
        return self.owners << POSITION_BITS | self.positions

    @cached_property
    def _strengths(self) -> tuple[np.ndarray, np.ndarray]:
        return stable_order(self.owners << POSITION_BITS | _weakness(self.values))

    def _stronger(self, border_RG: np.ndarray, side: str) -> np.ndarray:
        keys_RG = np.arange(len(self))[:, None] << POSITION_BITS | _weakness(border_RG)
        return np.searchsorted(self._strengths[0], keys_RG, side) - self.bounds[:-1, None]


def _weakness(values: np.ndarray) -> np.ndarray:
    """Integers that order positive float32 numbers from large to small."""
    return _LARGEST_BITS - np.ascontiguousarray(values).view(np.int32).astype(np.int64)
