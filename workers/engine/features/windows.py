"""Windows: contiguous slices of contexts around a place, with one latent's activation for each of their tokens.

Tokens and activations always come from the same places, so they cannot shift against each other. A window is never
moved: where it would leave the context its token ids are -1 and its activations 0.

Shapes: N contexts, T tokens in a context, S windows, W = before + 1 + after, M firings inside windows.
"""

from dataclasses import dataclass

import numpy as np

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

    def activations(self, centres_S: np.ndarray, positions_N: np.ndarray, values_N: np.ndarray) -> np.ndarray:
        """(S, W) float32 of a latent that fires at `positions_N` (ascending) with `values_N`."""
        found_SW = np.zeros((len(centres_S), self.width), np.float32)
        begin_S, end_S = self._firings_inside(centres_S, positions_N)
        counts_S = end_S - begin_S
        window_M = np.repeat(np.arange(len(centres_S)), counts_S)
        firing_M = np.arange(len(window_M)) + np.repeat(end_S - counts_S.cumsum(), counts_S)
        place_M = positions_N[firing_M] - centres_S[window_M] + self.before
        found_SW[window_M, place_M] = values_N[firing_M]
        return found_SW

    def is_silent(self, centres_S: np.ndarray, positions_N: np.ndarray) -> np.ndarray:
        """(S,) bool: nothing of `positions_N` (ascending) lies in the window."""
        begin_S, end_S = self._firings_inside(centres_S, positions_N)
        return begin_S == end_S

    def _firings_inside(self, centres_S: np.ndarray, positions_N: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(S,) each: positions_N[begin:end] lie in the window."""
        first_S, last_S = (ends.astype(positions_N.dtype) for ends in self._ends(centres_S))  # else all would be cast
        return np.searchsorted(positions_N, first_S), np.searchsorted(positions_N, last_S, side="right")

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
