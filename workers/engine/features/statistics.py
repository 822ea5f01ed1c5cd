"""Numbers about each latent, over all included positions of the stream.

For a latent with activations f over n included positions:

    density        share of positions with f > 0
    mean           Σ f / firings: the mean of the positive activations
    second_moment  Σ f² / n
    maximum        largest f
    histogram      counts of the firings in equal-width bins between 0 and maximum, as numpy.histogram has them
    log_histogram  counts in bins of equal width in log10, from maximum / 10^LOG_DECADES to maximum; what is smaller counts
                   in the first

Shapes: F latents of a range, N firings, H histogram bins, L logarithmic bins.
"""

from dataclasses import dataclass

import numpy as np

from workers.engine.features.firings import LatentFirings
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
    """(F, H) int64."""
    log_histogram: np.ndarray
    """(F, L) int64."""


def latent_statistics(firings: LatentFirings, positions: int) -> LatentStatistics:
    """Statistics over `positions` included positions; a dead latent has zeros everywhere."""
    latents = firings.stop - firings.start
    count = np.diff(firings.bounds)
    owner_N = firings.owners
    value_N = firings.values.astype(np.float64)
    maximum = np.zeros(latents)
    np.maximum.at(maximum, owner_N, value_N)
    return LatentStatistics(
        count=count,
        density=count / positions,
        mean=np.bincount(owner_N, value_N, latents) / np.maximum(count, 1),
        second_moment=np.bincount(owner_N, value_N**2, latents) / positions,
        maximum=maximum,
        histogram=_histogram(owner_N, value_N, maximum),
        log_histogram=_log_histogram(owner_N, value_N, maximum),
    )


def _histogram(owner_N: np.ndarray, value_N: np.ndarray, maximum_F: np.ndarray) -> np.ndarray:
    """(F, H) counts; bins include their left edge, the last one its right edge too."""
    width_N = maximum_F[owner_N] / HISTOGRAM_BINS
    bin_N = np.minimum((value_N / maximum_F[owner_N] * HISTOGRAM_BINS).astype(np.int64), HISTOGRAM_BINS - 1)
    # Rounding may put a value that lies on an edge on its wrong side.
    bin_N -= value_N < bin_N * width_N
    bin_N += (value_N >= (bin_N + 1) * width_N) & (bin_N < HISTOGRAM_BINS - 1)
    flat = np.bincount(owner_N * HISTOGRAM_BINS + bin_N, minlength=len(maximum_F) * HISTOGRAM_BINS)
    return flat.reshape(len(maximum_F), HISTOGRAM_BINS)


def _log_histogram(owner_N: np.ndarray, value_N: np.ndarray, maximum_F: np.ndarray) -> np.ndarray:
    """(F, L) counts."""
    decades_N = np.log10(value_N / maximum_F[owner_N]) + LOG_DECADES
    bin_N = np.clip(decades_N * LOG_BINS / LOG_DECADES, 0, LOG_BINS - 1).astype(np.int64)
    flat = np.bincount(owner_N * LOG_BINS + bin_N, minlength=len(maximum_F) * LOG_BINS)
    return flat.reshape(len(maximum_F), LOG_BINS)
