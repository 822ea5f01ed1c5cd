"""Firings on disk come back whole, by latent, whatever the sizes."""

import numpy as np
import pytest

from tests.engine.features.worlds import firings_of, random_activations
from workers.engine.features import firings as module
from workers.engine.features.firings import Firings


@pytest.mark.parametrize("held_at_once", [1, 37, 10**6])
@pytest.mark.parametrize("worked_on", [1, 50, 10**6])
@pytest.mark.parametrize("files", [1, 4, 64])
def test_every_firing_of_a_latent_comes_back_in_order(tmp_path, monkeypatch, files, worked_on, held_at_once):
    monkeypatch.setattr(module, "FILES", files)
    monkeypatch.setattr(module, "READ_FIRINGS", held_at_once)
    monkeypatch.setattr(module, "WORKED_FIRINGS", worked_on)
    monkeypatch.setattr(module, "HELD_FIRINGS", worked_on)
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
    np.testing.assert_array_equal(firings.counts_F, (dense > 0).sum(0))


@pytest.mark.parametrize("sparse", [1e-6, 4])  # counted by sorting, in a table
def test_what_fires_together_comes_back_position_by_position(tmp_path, monkeypatch, sparse):
    monkeypatch.setattr(module, "SPARSE", sparse)
    dense = random_activations(6, 20, 9)
    firings = firings_of(dense, tmp_path / "f")
    np.testing.assert_array_equal(firings.positions_P, np.arange(len(dense)))
    at = np.array([3, 4, 50, 119])
    expected = [np.flatnonzero(dense[position]) for position in at]
    latents, of_row = firings.latents_at(at)
    np.testing.assert_array_equal(latents, np.concatenate(expected))
    np.testing.assert_array_equal(of_row, np.repeat(np.arange(len(at)), [len(found) for found in expected]))
    counted = np.unique(np.concatenate(expected), return_counts=True)
    for found, known in zip(firings.counts_at(at), counted):
        np.testing.assert_array_equal(found, known)


def test_firings_cut_back_to_noted_sizes_forget_what_came_later(tmp_path):
    dense = random_activations(6, 20, 9)
    half = firings_of(dense[:60], tmp_path / "f")
    sizes = half.sizes()
    places, latents = np.nonzero(dense[60:])
    half.add(np.arange(60, 120), places, latents, dense[60:][places, latents])
    again = Firings(tmp_path / "f", 9)
    assert again.cut_back(sizes)
    np.testing.assert_array_equal(again.counts_F, (dense[:60] > 0).sum(0))
    assert len(again.positions_P) == 60


def test_files_shorter_than_noted_cannot_be_cut_back(tmp_path):
    firings = firings_of(random_activations(2, 5, 3), tmp_path / "f")
    sizes = firings.sizes()
    firings.clear()
    assert not firings.cut_back(sizes)
    assert not any(firings.sizes().values())
