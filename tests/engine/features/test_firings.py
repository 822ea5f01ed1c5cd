"""Firings on disk come back whole, by latent, whatever the sizes."""

import numpy as np
import pytest

from tests.engine.features.worlds import firings_of, random_activations
from workers.engine.features import firings as module


@pytest.mark.parametrize("held_at_once", [1, 37, 10**6])
@pytest.mark.parametrize("files", [1, 4, 64])
def test_every_firing_of_a_latent_comes_back_in_order(tmp_path, monkeypatch, files, held_at_once):
    monkeypatch.setattr(module, "FILES", files)
    monkeypatch.setattr(module, "READ_FIRINGS", held_at_once)
    dense = random_activations(6, 20, 9)
    firings = firings_of(dense, tmp_path / "f")
    seen = []
    for latents in firings.by_latents():
        for latent in range(latents.start, latents.stop):
            positions, values = latents.of(latent)
            np.testing.assert_array_equal(positions, np.flatnonzero(dense[:, latent]))
            np.testing.assert_array_equal(values, dense[positions, latent])
            seen.append(latent)
    assert seen == list(range(9))
    np.testing.assert_array_equal(firings.counts, (dense > 0).sum(0))


def test_nothing_stays_on_disk(tmp_path):
    firings = firings_of(random_activations(2, 5, 3), tmp_path / "f")
    list(firings.by_latents())
    firings.close()
    assert list(tmp_path.iterdir()) == []
