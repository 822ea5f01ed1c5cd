"""Activations, training, features and steering on a model that is held in 8 and in 4 bits, by commands."""

import json
from dataclasses import replace

import pytest

from tests.pipeline.tiny_pipeline import copy_of, training_arguments

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_a_quantized_model_goes_the_whole_way(prepared, tmp_path, quantization):
    studio, data = copy_of(prepared[0].data_dir, tmp_path / "data"), prepared[1]
    exact = cache_report(studio, data.activation_cache)
    lm = data.language_model
    footprint = shown(studio, lm)["footprint_bytes"]
    studio.manage("language_model_quantize", "--language-model", lm, "--quantization", quantization, "--wait")
    assert shown(studio, lm)["quantization"] == quantization
    assert 0 < shown(studio, lm)["footprint_bytes"] < footprint

    cache = studio.json(
        "activation_cache", "--tokenization", data.tokenization, "--language-model", lm, "--layer", 2, "--wait"
    )["subject"]["id"]
    quantized = cache_report(studio, cache)
    assert quantized["tokens_run"] == exact["tokens_run"]
    assert quantized["activations_sha256"] != exact["activations_sha256"]

    studio.manage("train", *training_arguments(replace(data, activation_cache=cache), steps=400), "--wait")
    sae = studio.json("sae_list")[0]
    assert 0 < sae["evaluation"]["fvu"] < 1
    studio.manage("feature_run", "--sae", sae["id"], "--tokenization", data.tokenization, "--wait")
    strongest = studio.json("feature_list", "--sae", sae["id"], "--sort", "maximum")[0]
    assert strongest["maximum"] > 0
    studio.manage(
        "steer", "--sae", sae["id"], "--features", f"{strongest['index']}:20", "--prompt", "The cat", "--wait"
    )
    experiment = studio.json("experiment_list")[0]
    assert experiment["delta_norm"] > 0


def shown(studio, language_model):
    """One row of the list of language models."""
    return next(row for row in studio.json("language_model_list") if row["id"] == language_model)


def cache_report(studio, cache):
    """The numbers that lie beside a cache's shards."""
    [path] = studio.data_dir.glob(f"activations/{cache}/cache.json")
    return json.loads(path.read_text("utf-8"))
