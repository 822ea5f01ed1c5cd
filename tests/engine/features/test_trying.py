"""Trying a text, against the SAE's own equations on Transformers' hidden states."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from transformers import AutoModelForCausalLM

from tests.engine.saes.worlds import random_sae
from tests.engine.tiny_models import tiny_model_folder, tiny_tokenizer
from workers.engine.features.trying import try_text
from workers.engine.formats.saelens import sae_write
from workers.engine.progress import Progress
from workers.engine.specs.errors import BadArtifact, SpecInvalid
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.try_text import TryTextInputs, TryTextSpec

D, F = 32, 64
TEXT, OTHER = "She sells sea shells", "She sells old shells by the shore"
SPEC = TryTextSpec(sae=1, text=TEXT, lm_dtype="float32", features_listed=6, per_token=3)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    model_dir = tiny_model_folder(folder, "llama")
    sae = random_sae("topk", d_in=D, d_sae=F, k=5, hook_site=HookSite(layer=1, site="resid_post"))
    sae_write(sae, folder / "sae")
    inputs = TryTextInputs(
        job_dir="", out_dir=str(folder), sae_dir=str(folder / "sae"), model_dir=str(model_dir), quantization="auto"
    )
    return inputs, sae.with_unit_decoder(), AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)


def dense(world, text):
    """Raw tokens, and latents (T, F) with position 0 silent."""
    _, sae, model = world
    tokenizer = tiny_tokenizer()
    ids = [tokenizer.bos_token_id, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    with torch.no_grad():
        x = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[2][0]
    f = sae.encode(x).numpy()
    f[0] = 0
    return tokenizer.convert_ids_to_tokens(ids), f


def test_each_token_has_its_strongest_features_and_each_feature_its_tokens(world):
    result = try_text(SPEC, world[0], Progress())
    tokens, f = dense(world, TEXT)
    (tried,) = result.texts
    assert list(tried.tokens) == tokens
    assert tried.is_included == (False, *[True] * (len(tokens) - 1))
    assert tried.firing == (f > 0).any(0).sum()
    for place, strongest in enumerate(tried.strongest):
        order = np.argsort(-f[place])[:3]
        assert list(strongest.indices) == [i for i in order if f[place, i] > 0]
        np.testing.assert_allclose(strongest.values, f[place, list(strongest.indices)], rtol=1e-4)
    assert [feature.index for feature in result.features] == np.argsort(-f.max(0))[:6].tolist()
    for feature in result.features:
        np.testing.assert_allclose(feature.values[0], f[:, feature.index], rtol=1e-4, atol=1e-5)


def test_two_texts_are_ranked_by_what_changes(world):
    spec = dataclasses.replace(SPEC, other=OTHER, features_listed=4)
    result = try_text(spec, world[0], Progress())
    (_, first), (_, second) = dense(world, TEXT), dense(world, OTHER)
    change = np.abs(first.max(0) - second.max(0))
    found = [feature.index for feature in result.features]
    assert found[0] == change.argmax()
    assert set(np.argsort(-change)[:4]) <= set(found)
    assert set(np.argsort(-np.maximum(first.max(0), second.max(0)))[:4]) <= set(found)
    assert [round(change[i], 4) for i in found] == sorted((round(change[i], 4) for i in found), reverse=True)
    for feature in result.features:
        assert [len(values) for values in feature.values] == [len(first), len(second)]


def run_write(folder, count, tokens):
    """A feature run in which feature i fired count[i] times."""
    folder.mkdir(exist_ok=True)
    density = (count / tokens).astype(np.float32)
    save_file({"density": density, "count": count.astype(np.int64)}, folder / "statistics.safetensors")
    return str(folder)


def test_features_are_ranked_by_their_mean_or_with_rare_ones_first(world, tmp_path):
    _, f = dense(world, TEXT)
    count = np.random.default_rng(0).integers(0, 1000, F)
    count[f.max(0).argmax()] = 0
    inputs = dataclasses.replace(world[0], run_dir=run_write(tmp_path / "run", count, 2000))
    rarity = -np.log(np.where(count > 0, count, 2000 / 2001) / 2000)
    truth = {"max": f.max(0), "mean": f[1:].mean(0), "rare": f.max(0) * rarity}
    found = {}
    for rank_by, strength in truth.items():
        result = try_text(dataclasses.replace(SPEC, rank_by=rank_by), inputs, Progress())
        found[rank_by] = [feature.index for feature in result.features]
        assert found[rank_by] == np.argsort(-strength)[:6].tolist()
    assert len({tuple(order) for order in found.values()}) == 3


def test_rarity_needs_a_feature_run_of_this_sae(world, tmp_path):
    rare = dataclasses.replace(SPEC, rank_by="rare")
    with pytest.raises(SpecInvalid, match="no feature run"):
        try_text(rare, world[0], Progress())
    other = dataclasses.replace(world[0], run_dir=run_write(tmp_path / "run", np.ones(F + 1), 10))
    with pytest.raises(BadArtifact, match="another SAE"):
        try_text(rare, other, Progress())


def test_more_features_and_more_per_token_are_listed_when_asked_for(world):
    few, many = (
        try_text(dataclasses.replace(SPEC, features_listed=n, per_token=n), world[0], Progress()) for n in (1, 5)
    )
    assert (len(few.features), len(many.features)) == (1, 5)
    assert max(len(each.indices) for each in few.texts[0].strongest) == 1
    assert max(len(each.indices) for each in many.texts[0].strongest) > 1


def test_a_text_longer_than_the_models_context_is_refused_at_its_field(world):
    with pytest.raises(SpecInvalid, match="positions") as refused:
        try_text(dataclasses.replace(SPEC, other="shells " * 1000), world[0], Progress())
    assert refused.value.field == "other"


@pytest.mark.parametrize("text", ["", "   ", "x" * 8001])
def test_no_text_and_too_long_a_text_are_refused(text):
    with pytest.raises(SpecInvalid):
        TryTextSpec(sae=1, text=text)


def test_watched_features_come_first_whether_they_fire_or_not(world):
    tokens, f = dense(world, TEXT)
    silent = int(np.flatnonzero(f.max(0) == 0)[0])
    strongest = np.argsort(-f.max(0))[:6].tolist()
    result = try_text(dataclasses.replace(SPEC, watched=(silent, strongest[3])), world[0], Progress())
    rest = [index for index in strongest if index != strongest[3]]
    assert [feature.index for feature in result.features] == [silent, strongest[3], *rest]
    assert result.features[0].values == ((0.0,) * len(tokens),)
    np.testing.assert_allclose(result.features[1].values[0], f[:, strongest[3]], rtol=1e-4)
    with pytest.raises(SpecInvalid, match="no feature 64"):
        try_text(dataclasses.replace(SPEC, watched=(F,)), world[0], Progress())


@pytest.mark.parametrize(("watched", "words"), [((-1,), "below the least"), (tuple(range(51)), "too many to watch")])
def test_watched_features_must_be_numbers_of_features_and_not_too_many(watched, words):
    with pytest.raises(SpecInvalid, match=words):
        dataclasses.replace(SPEC, watched=watched)
