"""Windows: contiguous slices of contexts around a place, with one latent's activation for each of their tokens.

Tokens and activations always come from the same places, so they cannot shift against each other. A window is never
moved: where it would leave the context its token ids are -1 and its activations 0.

Shapes: N contexts, T tokens in a context, S windows, W = before + 1 + after, M firings inside windows.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workers.engine.features.latent_firings import LatentFirings
from workers.engine.features.ordering import slices

OUTSIDE = -1


@dataclass(frozen=True)
class WindowCutter:
    """Cuts windows out of `tokens` (N, T), of which `lengths` (N,) places in each context are tokens."""

    tokens: np.ndarray
    lengths: np.ndarray
    before: int
    after: int

    @property
    def width(self) -> int:
        return self.before + 1 + self.after

    def token_ids(self, centres_S: np.ndarray) -> np.ndarray:
        """(S, W) int32 around flat positions."""
        positions_SW, is_inside_SW = self._positions(centres_S)
        return np.where(is_inside_SW, self.tokens.reshape(-1)[positions_SW], OUTSIDE).astype(np.int32)

    def fingerprints(self, centres_S: np.ndarray) -> np.ndarray:
        """(S,) uint64 that differ where token ids differ, but for one pair of windows in about 10^14."""
        return self.token_ids(centres_S).astype(np.uint64) @ self._multipliers

    def activations(self, latents: LatentFirings, owner_S: np.ndarray, centre_S: np.ndarray) -> np.ndarray:
        """(S, W) float32 of each window's own latent; `owner_S` counts from the first of `latents`."""
        found_SW = np.zeros((len(centre_S), self.width), np.float32)
        first_S, last_S = self._ends(centre_S)
        begin_S, end_S = latents.first_from(owner_S, first_S), latents.first_from(owner_S, last_S + 1)
        window_M, firing_M = slices(begin_S, end_S - begin_S)
        place_M = latents.positions[firing_M] - centre_S[window_M] + self.before
        found_SW[window_M, place_M] = latents.values[firing_M]
        return found_SW

    def is_silent(self, latents: LatentFirings, owner_S: np.ndarray, centre_S: np.ndarray) -> np.ndarray:
        """(S,) bool: the window's own latent fires nowhere in it."""
        return ~latents.fires_between(owner_S, *self._ends(centre_S))

    @cached_property
    def _multipliers(self) -> np.ndarray:
        """(W,) random odd numbers: sums of products with them, modulo 2^64, are a universal hash."""
        generator = np.random.default_rng(0)
        return generator.integers(2**63, size=self.width, dtype=np.uint64) * np.uint64(2) + np.uint64(1)

    def _ends(self, centres_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """First and last flat position of each window that lie in its context."""
        start_S = centres_S - centres_S % self.tokens.shape[1]
        end_S = start_S + self.lengths[centres_S // self.tokens.shape[1]] - 1
        return np.maximum(centres_S - self.before, start_S), np.minimum(centres_S + self.after, end_S)

    def _positions(self, centres_S: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Flat positions (S, W), clipped to the context, and which of them were not clipped."""
        first_S, last_S = self._ends(centres_S)
        wanted_SW = centres_S[:, None] + np.arange(-self.before, self.after + 1)
        positions_SW = wanted_SW.clip(first_S[:, None], last_S[:, None])
        return positions_SW, positions_SW == wanted_SW
