"""Loading models and tokenizers, the warm cache, precision, and first tokens."""

import os

import pytest
import torch

from tests.engine.tiny_models import tiny_model, tiny_model_folder, tiny_tokenizer
from workers.engine.language_models.loading import (
    first_token_id,
    language_model_load,
    tokenizer_load,
)
from workers.engine.specs.errors import BadArtifact, EngineError


def test_a_model_is_loaded_for_reading_in_the_wished_precision(tmp_path):
    model = language_model_load(tiny_model_folder(tmp_path), quantization="auto", lm_dtype="bfloat16", device="cpu")
    assert model.dtype == torch.bfloat16
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_the_same_model_is_handed_out_again_and_another_replaces_it(tmp_path):
    folder = tiny_model_folder(tmp_path)
    first = language_model_load(folder, quantization="fp32", device="cpu")
    assert language_model_load(folder, quantization="fp32", device="cpu") is first
    others = {"quantization": "int8"}, {"quantization": "bf16"}, {"quantization": "fp32", "lm_dtype": "bfloat16"}
    for other in others:
        assert language_model_load(folder, **other, device="cpu") is not first
    assert language_model_load(folder, quantization="fp32", device="cpu") is not first


def test_other_weights_in_the_same_folder_are_read_anew(tmp_path):
    folder = tiny_model_folder(tmp_path)
    first = language_model_load(folder, quantization="fp32", device="cpu")
    (folder / "weights.sha256").write_text("a hash")
    noted = language_model_load(folder, quantization="fp32", device="cpu")
    assert noted is not first
    tiny_model(seed=1).save_pretrained(folder)
    os.utime(folder / "model.safetensors", ns=(1, 1))
    other = language_model_load(folder, quantization="fp32", device="cpu")
    assert not torch.equal(other.lm_head.weight, noted.lm_head.weight)


def test_a_folder_without_a_model_is_refused(tmp_path):
    with pytest.raises(BadArtifact):
        language_model_load(tmp_path, quantization="fp32", device="cpu")


@pytest.mark.parametrize("config", ["{", "[" * 100_000, "[]"])
def test_a_damaged_configuration_is_refused(tmp_path, config):
    folder = tiny_model_folder(tmp_path)
    (folder / "config.json").write_text(config)
    with pytest.raises(BadArtifact):
        language_model_load(folder, quantization="auto", device="cpu")


def test_truncated_weights_are_refused(tmp_path):
    folder = tiny_model_folder(tmp_path)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(BadArtifact):
        language_model_load(folder, quantization="fp32", device="cpu")


def test_the_tokenizer_is_read_from_the_models_folder(tmp_path):
    text = "Paris is the capital of France."
    assert tokenizer_load(tiny_model_folder(tmp_path))(text).input_ids == tiny_tokenizer()(text).input_ids


def test_a_missing_tokenizer_is_an_error(tmp_path):
    folder = tiny_model_folder(tmp_path)
    for path in folder.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(BadArtifact):
        tokenizer_load(folder)


def test_contexts_begin_with_bos_else_with_eos():
    tokenizer = tiny_tokenizer()
    assert first_token_id(tokenizer) == tokenizer.bos_token_id
    tokenizer.bos_token = None
    assert first_token_id(tokenizer) == tokenizer.eos_token_id
    tokenizer.eos_token = None
    with pytest.raises(EngineError) as caught:
        first_token_id(tokenizer)
    assert caught.value.code == "no_first_token"
