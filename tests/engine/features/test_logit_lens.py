"""Logit lists against a full NumPy product, sorted."""

import numpy as np
import torch

from workers.engine.features import logit_lens


def test_lists_are_the_ends_of_the_sorted_logits_in_every_chunk(monkeypatch):
    monkeypatch.setattr(logit_lens, "CHUNK_LATENTS", 4)
    generator = np.random.default_rng(0)
    W_dec, unembedding = generator.standard_normal((10, 6)), generator.standard_normal((30, 6))
    logits = W_dec @ unembedding.T
    seen = 0
    for lists in logit_lens.logit_lists(torch.tensor(W_dec), torch.tensor(unembedding), 5):
        for row, latent in enumerate(range(lists.start, lists.start + len(lists.promoted_ids))):
            order = np.argsort(-logits[latent])
            assert lists.promoted_ids[row].tolist() == order[:5].tolist()
            assert lists.suppressed_ids[row].tolist() == order[::-1][:5].tolist()
            np.testing.assert_allclose(lists.promoted_values[row], logits[latent, order[:5]], rtol=1e-4)
            np.testing.assert_allclose(lists.lowest[row], logits[latent].min(), rtol=1e-4)
            np.testing.assert_allclose(lists.highest[row], logits[latent].max(), rtol=1e-4)
            spread = np.histogram(logits[latent].astype(np.float32), 50)[0]
            assert np.abs(lists.histogram[row].numpy() - spread).sum() <= 2  # a logit on an edge
            assert lists.histogram[row].sum() == 30
            seen += 1
    assert seen == 10
