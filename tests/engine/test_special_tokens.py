"""Special tokens that are left out are left out of everything alike: caches, trainings, evaluations, features, tried texts."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.engine.saes.worlds import random_sae
from tests.engine.tiny_models import D_MODEL, tiny_model_folder
from tests.engine.training.worlds import sae_folder, text_inputs, text_spec
from workers.engine.activations.cache import ActivationCache
from workers.engine.activations.caching import activation_cache
from workers.engine.datasets.contexts import Contexts, contexts_write
from workers.engine.features.ablating import context_ablate
from workers.engine.features.read_contexts import context_read
from workers.engine.features.reading import Reading
from workers.engine.features.trying import try_text
from workers.engine.formats.saelens import sae_read, sae_write
from workers.engine.hooks.capture import capture
from workers.engine.language_models.loading import tokenizer_load
from workers.engine.language_models.special_tokens import special_token_ids
from workers.engine.progress import Progress
from workers.engine.saes.evaluating import Predictions, evaluate
from workers.engine.saes.splicing import sites_read
from workers.engine.specs.activations import ActivationCacheInputs, ActivationCacheSpec
from workers.engine.specs.features import FeatureRunSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.saes import EvaluateInputs, EvaluateSpec
from workers.engine.specs.try_text import TryTextInputs, TryTextSpec
from workers.engine.training.training import train

N, T, EOS = 80, 24, 1
SITE = HookSite(layer=1, site="resid_post")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A tiny model, and contexts in which every sixth token is the separator."""
    folder = tmp_path_factory.mktemp("world")
    tiny_model_folder(folder, "llama")
    tokens = np.random.default_rng(0).integers(2, 399, (N, T))
    tokens[:, 0], tokens[:, 5::6] = 0, EOS
    (folder / "text").mkdir()
    for part in ("train", "heldout"):
        contexts_write(folder / "text", part, tokens, np.arange(N))
    return folder


def tokens_of(world):
    return Contexts.open(world / "text", "train").tokens


def expected_rows(world):
    """Activations of everything but first tokens and separators, by a direct pass."""
    tokens_NT = tokens_of(world)
    model = AutoModelForCausalLM.from_pretrained(world / "llama", dtype=torch.float32)
    x_NTD = capture(model, torch.from_numpy(tokens_NT).long(), SITE)
    return x_NTD[:, 1:][torch.from_numpy(tokens_NT[:, 1:] != EOS)]


def cached(world, tmp_path, **options):
    out = tmp_path / "cache"
    out.mkdir()
    where = {"job_dir": str(tmp_path), "out_dir": str(out), "model_dir": str(world / "llama")}
    inputs = ActivationCacheInputs(**where, tokenization_dirs=(str(world / "text"),))
    spec = ActivationCacheSpec(tokenization=1, language_model=1, layer=1, lm_dtype="float32", **options)
    return activation_cache(spec, inputs, Progress()), ActivationCache.open(out)


def sae_without(world, tmp_path, **known):
    """An SAE that passes the separator by."""
    sae = random_sae("topk", d_in=D_MODEL, d_sae=64, hook_site=SITE, excluded_tokens=(0, EOS), **known)
    sae_write(sae, tmp_path / "sae")
    return sae


def test_the_tokenizers_special_tokens_are_known(world):
    assert special_token_ids(tokenizer_load(world / "llama")) == (0, EOS)


def test_a_cache_leaves_them_out_and_counts_them(world, tmp_path):
    result, cache = cached(world, tmp_path, leave_out_special=True)
    rows = cache.rows(torch.arange(cache.tokens)).float()
    assert torch.allclose(rows, expected_rows(world), rtol=8e-3, atol=1e-4)
    assert result.special_tokens == N * 4 and result.excluded_tokens == cache.excluded_tokens == (0, EOS)
    assert result.tokens + result.first_positions + result.sink_tokens + result.special_tokens == result.tokens_run


def test_a_cache_keeps_them_unless_told_otherwise(world, tmp_path):
    result, cache = cached(world, tmp_path)
    assert (result.special_tokens, result.excluded_tokens) == (0, ())
    assert cache.tokens == N * (T - 1)


@pytest.mark.parametrize("source", ["text", "cache"])
def test_a_training_leaves_them_out_and_its_sae_says_so(world, tmp_path, source):
    spec = text_spec(steps=20, leave_out_special=True)
    inputs = text_inputs(tmp_path, world / "llama", world / "text")
    if source == "cache":
        result, _ = cached(world, tmp_path, leave_out_special=True)
        known = {"cache_dir": str(tmp_path / "cache"), "hook_site": str(SITE), "sink_threshold": result.sink_threshold}
        inputs = text_inputs(tmp_path, world / "llama", world / "text", **known)
    train(spec, inputs, Progress())
    folder = sae_folder(inputs)
    assert sae_read(folder).encode_spec.excluded_tokens == (0, EOS)
    assert json.loads((folder / "cfg.json").read_text())["metadata"]["excluded_tokens"] == [0, EOS]
    record = json.loads((folder / "provenance.json").read_text())
    assert record["effective"]["excluded_tokens"] == [0, EOS]
    (folder / "encode.json").unlink()
    assert sae_read(folder).encode_spec.excluded_tokens == (0, EOS)


def test_an_evaluation_passes_them_by(world, tmp_path):
    sae = sae_without(world, tmp_path)
    (tmp_path / "out").mkdir()
    where = {"job_dir": str(tmp_path), "out_dir": str(tmp_path / "out"), "sae_dir": str(tmp_path / "sae")}
    inputs = EvaluateInputs(**where, tokenization_dir=str(world / "text"), model_dir=str(world / "llama"))
    spec = EvaluateSpec(sae=1, tokenization=1, max_tokens=N * T, ce_tokens=200, lm_dtype="float32")
    result = evaluate(spec, inputs, Progress())
    x_PD = expected_rows(world)
    error = (x_PD - sae.reconstruct(x_PD)).square().sum() / (x_PD - x_PD.mean(0)).square().sum()
    assert (result.tokens, result.special_tokens, result.sink_tokens) == (len(x_PD), N * 4, 0)
    assert result.fvu == pytest.approx(error.item(), rel=1e-4)


def test_where_all_tokens_are_passed_by_the_models_predictions_stay(world):
    sae = random_sae("topk", d_in=D_MODEL, d_sae=64, hook_site=SITE, excluded_tokens=tuple(range(399)))
    model = AutoModelForCausalLM.from_pretrained(world / "llama", dtype=torch.float32)
    ids_BT = torch.from_numpy(np.array(tokens_of(world)[:4])).long()
    predicted = Predictions(sae, model)
    with torch.no_grad():
        predicted.add((ids_BT, torch.ones_like(ids_BT, dtype=torch.bool)), sites_read(model, ids_BT, sae.encode_spec))
    means = predicted.means()
    assert means.sae == means.zero == means.clean


def test_a_feature_run_reads_no_feature_there(world, tmp_path):
    sae = sae_without(world, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(world / "llama", dtype=torch.float32)
    contexts = Contexts.open(world / "text", "train")[:10]
    reading = Reading(FeatureRunSpec(sae=1, tokenization=1), tmp_path / "reading", model, [sae], contexts)
    reading.run(Progress())
    positions = np.asarray(reading.each[0].firings.positions_P)
    expected = np.flatnonzero((contexts.tokens != EOS).ravel() & (np.arange(10 * T) % T > 0))
    np.testing.assert_array_equal(np.sort(positions), expected)


def test_an_ablation_and_a_tried_text_read_no_feature_there(world, tmp_path):
    sae = sae_without(world, tmp_path)
    model = AutoModelForCausalLM.from_pretrained(world / "llama", dtype=torch.float32)
    ids_T = torch.from_numpy(np.array(tokens_of(world)[0])).long()
    read = context_read(model, sae.encode_spec, ids_T)
    fired_FT = torch.stack([context_ablate(model, sae, latent, read).f_T for latent in range(8)])
    assert not fired_FT[:, 5::6].any() and fired_FT.any()
    inputs = TryTextInputs(
        job_dir=str(tmp_path), out_dir=str(tmp_path), sae_dir=str(tmp_path / "sae"), model_dir=str(world / "llama")
    )
    tried = try_text(
        TryTextSpec(sae=1, text="The cat sat</s> on the mat", lm_dtype="float32"), inputs, Progress()
    ).texts[0]
    left_out = [token for token, included in zip(tried.tokens[1:], tried.is_included[1:]) if not included]
    assert set(left_out) <= {"</s>"} and ("</s>" in tried.tokens) == bool(left_out)
