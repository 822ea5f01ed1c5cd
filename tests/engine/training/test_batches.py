"""Batches from a cache: every normalisation, pairs with their own factor, held-out rows, memory or disk."""

import pytest
import torch

from tests.engine.training.worlds import D_IN, HELD_OUT, cache_write, cached, spec
from workers.engine.activations.cache import ActivationCache, batch_indices
from workers.engine.saes.encoding import normalized
from workers.engine.specs.errors import EngineError
from workers.engine.training import batches
from workers.engine.training.batches import CachedBatches

HOW = ("expected_average_only_in", "constant_norm_rescale", "layer_norm", "none")


def opened(folder, **options):
    return CachedBatches(ActivationCache.open(folder), spec(**options), "cpu")


@pytest.mark.parametrize("how", HOW)
def test_a_batch_is_the_rows_of_its_step_normalised(cache, how):
    found = opened(cache, normalize_activations=how)
    x = cached(cache)
    factor = D_IN**0.5 / x.norm(dim=1).mean() if how == HOW[0] else 1.0
    rows = batch_indices(len(x), 64, 0, 7)
    batch = found.at(7)
    assert torch.allclose(batch.x_BD, normalized(x[rows] * factor, how), rtol=1e-5, atol=1e-6)
    assert batch.y_BE is batch.x_BD and batch.x_BD.dtype == torch.float32
    assert torch.allclose(found.mean_D, normalized(x * factor, how).mean(0), atol=1e-4)


@pytest.mark.parametrize("how", HOW)
def test_targets_have_their_own_factor_or_are_left_as_they_are(cache_for, how):
    folder = cache_for("transcoder")
    found = opened(folder, architecture="transcoder", normalize_activations=how)
    cache = ActivationCache.open(folder)
    targets = cache.targets(torch.arange(cache.tokens)).float()
    factor = D_IN**0.5 / targets.norm(dim=1).mean() if how == HOW[0] else 1.0
    expected = targets[batch_indices(len(targets), 64, 0, 3)] * factor
    assert torch.allclose(found.at(3).y_BE, expected, rtol=1e-5)
    assert torch.allclose(found.target_mean_E, targets.mean(0) * factor, atol=1e-3)
    assert found.held_out().y_BE.shape == found.held_out().x_BD.shape == (HELD_OUT, D_IN)


def test_an_autoencoder_on_a_paired_cache_reads_its_inputs_alone(cache_for):
    batch = opened(cache_for("transcoder")).at(0)
    assert batch.y_BE is batch.x_BD


def test_a_transcoder_on_a_single_cache_is_refused(cache):
    with pytest.raises(EngineError, match="pairs of mlp_in and mlp_out") as caught:
        opened(cache, architecture="transcoder")
    assert caught.value.code == "cache_not_paired"


def test_batches_are_the_same_from_disk_and_from_memory(cache_for, monkeypatch):
    folder = cache_for("transcoder")
    resident = opened(folder, architecture="transcoder").at(5)
    monkeypatch.setattr(batches, "RESIDENT_SHARE", 0.0)
    mapped = opened(folder, architecture="transcoder").at(5)
    assert torch.equal(resident.x_BD, mapped.x_BD) and torch.equal(resident.y_BE, mapped.y_BE)


def test_an_older_cache_has_nothing_held_out(tmp_path):
    folder = cache_write(tmp_path / "cache", torch.randn(200, D_IN))
    (folder / "held-out.safetensors").unlink()
    assert opened(folder).held_out() is None


def test_a_cache_smaller_than_a_batch_is_refused(tmp_path):
    with pytest.raises(EngineError, match="holds 50 tokens, fewer than one batch of 64"):
        opened(cache_write(tmp_path / "cache", torch.randn(50, D_IN)))
