"""Statistics against NumPy on the dense activations."""

import numpy as np

from tests.engine.features.worlds import firings_of, random_activations
from workers.engine.features.statistics import latent_statistics
from workers.engine.specs.features import LOG_BINS, LOG_DECADES


def _statistics(dense, positions, folder):
    found = [latent_statistics(latents, positions) for latents in firings_of(dense, folder).by_latents()]
    return {name: np.concatenate([getattr(part, name) for part in found]) for name in vars(found[0])}


def test_moments_are_over_all_included_positions(tmp_path):
    dense = random_activations(8, 16, 7)
    included = dense.reshape(8, 16, 7)[:, 1:].reshape(-1, 7).astype(np.float64)
    found = _statistics(dense, len(included), tmp_path / "f")
    np.testing.assert_array_equal(found["count"], (included > 0).sum(0))
    np.testing.assert_allclose(found["density"], (included > 0).mean(0))
    np.testing.assert_allclose(found["mean"], included.sum(0) / np.maximum((included > 0).sum(0), 1))
    np.testing.assert_allclose(found["second_moment"], (included**2).mean(0))
    np.testing.assert_array_equal(found["maximum"], included.max(0))


def test_histograms_are_those_of_numpy(tmp_path):
    dense = random_activations(8, 16, 7)
    dense[3, 4], dense[4, 4] = 10.0, 5.0  # values on edges of bins
    found = _statistics(dense, len(dense), tmp_path / "f")
    for latent in range(7):
        fired = dense[dense[:, latent] > 0, latent].astype(np.float64)
        expected = np.histogram(fired, 50, (0, fired.max()))[0] if len(fired) else np.zeros(50)
        np.testing.assert_array_equal(found["histogram"][latent], expected)


def test_logarithmic_histograms_are_those_of_numpy_with_the_faintest_in_the_first_bin(tmp_path):
    dense = random_activations(8, 16, 7)
    dense[3, 4], dense[5, 4] = 1e-7, 90.0
    found = _statistics(dense, len(dense), tmp_path / "f")["log_histogram"]
    for latent in (0, 2, 4):
        fired = dense[dense[:, latent] > 0, latent].astype(np.float64)
        edges = np.linspace(-LOG_DECADES, 0, LOG_BINS + 1)
        shares = np.log10(fired / fired.max()).clip(min=-LOG_DECADES)
        np.testing.assert_array_equal(found[latent], np.histogram(shares, edges)[0])
    assert found[4, 0] >= 1


def test_a_dead_latent_has_zeros(tmp_path):
    found = _statistics(random_activations(3, 8, 4), 21, tmp_path / "f")
    assert all(not values[1].any() for values in found.values())
