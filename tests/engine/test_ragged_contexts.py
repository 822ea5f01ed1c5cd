"""No place behind a context's last token reaches an SAE: ragged contexts through cache, evaluation and feature run, each
against the same contexts read one by one, cut to their length, by Transformers itself."""

import json

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from tests.engine.saes.worlds import random_sae
from tests.engine.tiny_models import D_MODEL, FAMILIES, tiny_model_folder, tiny_tokenizer
from workers.engine.activations.cache import ActivationCache
from workers.engine.activations.caching import activation_cache
from workers.engine.datasets.contexts import contexts_write
from workers.engine.features.running import feature_run
from workers.engine.formats.saelens import sae_write
from workers.engine.language_models.vocabulary import vocabulary_write
from workers.engine.progress import Progress
from workers.engine.saes.evaluating import evaluate
from workers.engine.specs.activations import ActivationCacheInputs, ActivationCacheSpec
from workers.engine.specs.features import FeatureRunInputs, FeatureRunSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.saes import EvaluateInputs, EvaluateSpec

N, T, LAYER, F = 30, 16, 1, 64
FILL = 1
SITE = HookSite(layer=LAYER, site="resid_post")


class World:
    """A tiny model, contexts of 2 to T tokens, and the truth: activations of each context alone."""

    def __init__(self, folder, family):
        self.folder, self.model_dir = folder, tiny_model_folder(folder, family)
        generator = np.random.default_rng(0)
        size = vocabulary_write(tiny_tokenizer(), self.model_dir)
        self.lengths = generator.integers(2, T + 1, N).astype(np.int32)
        self.tokens = generator.integers(2, size, (N, T), dtype=np.int32)
        self.tokens[np.arange(T) >= self.lengths[:, None]] = FILL
        for part in ("train", "heldout"):
            contexts_write(folder, part, self.tokens, np.arange(N), self.lengths)
        self.model = AutoModelForCausalLM.from_pretrained(self.model_dir, dtype=torch.float32).eval()
        with torch.no_grad():
            alone = [self.model(ids, output_hidden_states=True) for ids in self.contexts()]
        self.hidden = [out.hidden_states[LAYER + 1][0] for out in alone]
        self.logits = [out.logits[0] for out in alone]
        sae_write(random_sae(d_in=D_MODEL, d_sae=F, hook_site=SITE), folder / "sae")

    def contexts(self):
        return [torch.from_numpy(row[:length]).long()[None] for row, length in zip(self.tokens, self.lengths)]

    def out(self, name):
        (self.folder / name).mkdir()
        return {"job_dir": str(self.folder), "out_dir": str(self.folder / name), "model_dir": str(self.model_dir)}


@pytest.fixture(scope="module", params=FAMILIES)
def world(request, tmp_path_factory):
    return World(tmp_path_factory.mktemp("ragged"), request.param)


def test_the_cache_holds_the_tokens_activations_and_no_others(world):
    inputs = ActivationCacheInputs(**world.out("cache"), tokenization_dirs=(str(world.folder),))
    spec = ActivationCacheSpec(
        tokenization=1, language_model=1, layer=LAYER, max_tokens=10_000, lm_dtype="float32", batch_contexts=7
    )
    result = activation_cache(spec, inputs, Progress())
    expected = torch.cat([x[1:] for x in world.hidden])
    middle = expected.norm(dim=-1).median()
    assert result.median_norm == pytest.approx(middle.item(), rel=1e-4)
    expected = expected[expected.norm(dim=-1) <= result.sink_threshold]
    assert (result.tokens_run, result.first_positions) == (world.lengths.sum(), N)
    assert result.tokens + result.sink_tokens == world.lengths.sum() - N
    cache = ActivationCache.open(inputs.out_dir)
    assert torch.allclose(cache.rows(torch.arange(cache.tokens)).float(), expected, rtol=8e-3, atol=1e-3)
    assert json.loads((world.folder / "cache" / "cache.json").read_text())["tokens"] == len(expected)


def test_the_evaluation_counts_the_tokens_and_their_predictions_alone(world):
    inputs = EvaluateInputs(
        **world.out("evaluation"), sae_dir=str(world.folder / "sae"), tokenization_dir=str(world.folder)
    )
    spec = EvaluateSpec(
        sae=1, tokenization=1, max_tokens=10_000, ce_tokens=10_000, lm_dtype="float32", batch_contexts=7
    )
    result = evaluate(spec, inputs, Progress())
    losses = [
        cross_entropy(logits[:-1], ids[0, 1:], reduction="sum") for logits, ids in zip(world.logits, world.contexts())
    ]
    assert result.ce_tokens == world.lengths.sum()
    assert result.ce_clean == pytest.approx((sum(losses) / (world.lengths - 1).sum()).item(), rel=1e-4)
    assert result.tokens == (world.lengths - 1).sum()
    x = torch.cat([hidden[1:] for hidden in world.hidden])
    sae = random_sae(d_in=D_MODEL, d_sae=F, hook_site=SITE)
    fvu = (x - sae.reconstruct(x)).square().sum() / (x - x.mean(0)).square().sum()
    assert result.fvu == pytest.approx(fvu.item(), rel=1e-3)


def test_no_statistic_and_no_window_of_a_feature_reaches_behind_the_last_token(world):
    inputs = FeatureRunInputs(
        **world.out("features"), sae_dirs=(str(world.folder / "sae"),), tokenization_dir=str(world.folder)
    )
    spec = FeatureRunSpec(
        sae=1, tokenization=1, max_tokens=10_000, top_examples=6, quantile_groups=2, quantile_examples=3,
        zero_examples=3, window_before=4, window_after=8, logit_tokens=4, lm_dtype="float32", batch_contexts=7,
    )  # fmt: skip
    result = feature_run(spec, inputs, Progress())
    assert result.saes[0].tokens == 2 * (world.lengths - 1).sum()
    examples = load_file(world.folder / "features" / "sae-00" / "examples.safetensors")
    assert (examples["context"] >= 0).any()
    assert not (examples["token_ids"] == FILL).any()
    assert (examples["activations"][examples["token_ids"] == -1] == 0).all()
