"""Numbers about each latent, over all included positions of the stream.

For a latent with activations f over n included positions:

    density        share of positions with f > 0
    mean           Σ f / firings: the mean of the positive activations
    second_moment  Σ f² / n
    maximum        largest f
    histogram      counts of the firings in equal-width bins between 0 and maximum, as numpy.histogram has them
    log_histogram  counts in bins of equal width in log10, from maximum / 10^LOG_DECADES to maximum; what is smaller counts
                   in the first

Shapes: R latents of a range, N firings, H histogram bins, L logarithmic bins.
"""

from dataclasses import dataclass

import numpy as np

from workers.engine.features.latent_firings import LatentFirings
from workers.engine.specs.features import HISTOGRAM_BINS, LOG_BINS, LOG_DECADES


@dataclass(frozen=True)
class LatentStatistics:
    """Arrays over the latents of a range, in their order; sums in float64."""

    count: np.ndarray
    density: np.ndarray
    mean: np.ndarray
    second_moment: np.ndarray
    maximum: np.ndarray
    histogram: np.ndarray
    """(R, H) int64."""
    log_histogram: np.ndarray
    """(R, L) int64."""


def latent_statistics(firings: LatentFirings, positions: int) -> LatentStatistics:
    """Statistics over `positions` included positions; a dead latent has zeros everywhere."""
    count, maximum_R = firings.counts, firings.maxima
    value_N = firings.values.astype(np.float64)
    linear = np.arange(1, HISTOGRAM_BINS) / HISTOGRAM_BINS
    logarithmic = 10.0 ** (LOG_DECADES * (np.arange(1, LOG_BINS) / LOG_BINS - 1))
    return LatentStatistics(
        count=count,
        density=count / positions,
        mean=np.bincount(firings.owners, value_N, len(firings)) / np.maximum(count, 1),
        second_moment=np.bincount(firings.owners, value_N**2, len(firings)) / positions,
        maximum=maximum_R,
        histogram=_histogram(firings, np.outer(maximum_R, linear)),
        log_histogram=_histogram(firings, np.outer(maximum_R, logarithmic)),
    )


def _histogram(firings: LatentFirings, border_RG: np.ndarray) -> np.ndarray:
    """(R, G + 1) counts between ascending borders; a value on a border belongs above it."""
    count_R = firings.counts[:, None]
    reached = np.concatenate([count_R, firings.at_least(border_RG), np.zeros_like(count_R)], axis=1)
    return -np.diff(reached, axis=1)
