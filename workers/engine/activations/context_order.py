"""In which order the contexts of one or several tokenizations are read: round after round, mixed and shuffled.

    sequential   one text after the other
    interleaved  spread through each other in proportion to their sizes
    weighted     spread through each other in the proportion of the weights

A round of the first two holds every context once. A weighted round ends where the text that its weight uses up first does;
larger ones go on from there in the next round. Whatever the mixing, no context of a text is read twice before all of that
text were. The order is a function of (seed, round), so nothing has to be remembered to go on.

Shapes: N contexts of a round.
"""

from collections.abc import Sequence

import numpy as np


class ContextOrder:
    """`sizes` are numbers of contexts. Without a seed the contexts of a text come as they lie."""

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        mixing: str = "interleaved",
        weights: Sequence[float] = (),
        seed: int | None = None,
    ) -> None:
        self.sizes, self._mixing, self._seed = tuple(sizes), mixing, seed
        self.quotas = self.sizes
        """Contexts of each text in a round."""
        if mixing == "weighted":
            rounds = min(size / weight for size, weight in zip(sizes, weights, strict=True))
            # a little more than exact: 3 × (10 / 3) must count as 10
            self.quotas = tuple(max(1, int(weight * rounds * (1 + 1e-9))) for weight in weights)

    @property
    def is_whole(self) -> bool:
        """True when every round holds all contexts."""
        return self.quotas == self.sizes

    def round(self, number: int) -> np.ndarray:
        """(N, 2) int64: text and context within it."""
        pieces = [self._of_text(text, number) for text in range(len(self.sizes))]
        order = np.concatenate(pieces)
        if self._mixing == "sequential":
            return order
        # each text spread evenly over the round
        places = np.concatenate([(np.arange(len(piece)) + 0.5) / max(len(piece), 1) for piece in pieces])
        return order[np.argsort(places, kind="stable")]

    def _of_text(self, text: int, number: int) -> np.ndarray:
        """The quota of one text: a piece of its own endless sequence of permutations."""
        size, quota = self.sizes[text], self.quotas[text]
        if not quota:
            return np.empty((0, 2), np.int64)
        places = np.arange(number * quota, (number + 1) * quota)
        epochs = places // size
        contexts = [self._permutation(text, epoch)[places[epochs == epoch] % size] for epoch in np.unique(epochs)]
        return np.stack([np.full(quota, text), np.concatenate(contexts)], axis=1)

    def _permutation(self, text: int, epoch: int) -> np.ndarray:
        if self._seed is None:
            return np.arange(self.sizes[text])
        return np.random.default_rng((self._seed, text, epoch)).permutation(self.sizes[text])
