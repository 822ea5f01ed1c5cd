"""Sizes read off a model, against Hugging Face's configuration, with weights and on device "meta"."""

import pytest
import torch
from transformers import MixtralConfig, MixtralForCausalLM

from tests.engine.tiny_models import D_MLP, D_MODEL, FAMILIES, HEADS, LAYERS, tiny_model, tiny_model_folder
from workers.engine.language_models.loading import language_model_load
from workers.engine.language_models.sizes import (
    footprint_in,
    hidden_width,
    kv_width,
    linear_parameters,
    model_without_weights,
    parameters_of,
)

KV_HEADS = {"llama": 2, "qwen2": 2, "gemma2": 2}
GATED = ("llama", "qwen2", "gemma2")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("is_meta", [False, True])
def test_sizes_are_counted_alike_with_and_without_weights(family, is_meta):
    real = tiny_model(family)
    model = model_without_weights(real.config) if is_meta else real
    assert (model.device.type == "meta") == is_meta
    head = D_MODEL // HEADS
    kv_heads = KV_HEADS.get(family, HEADS)
    assert parameters_of(model) == real.num_parameters()
    assert kv_width(model) == LAYERS * 2 * kv_heads * head
    attention = 2 * D_MODEL * D_MODEL + 2 * D_MODEL * kv_heads * head
    mlp = (3 if family in GATED else 2) * D_MODEL * D_MLP
    assert linear_parameters(model) == LAYERS * (attention + mlp)
    assert hidden_width(model) == D_MLP


@pytest.mark.parametrize("is_meta", [False, True])
def test_a_mixture_of_experts_is_counted_without_weights_too(is_meta):
    config = MixtralConfig(
        vocab_size=50, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, num_local_experts=4,
    )  # fmt: skip
    model = model_without_weights(config) if is_meta else MixtralForCausalLM(config)
    assert kv_width(model) == 2 * 2 * 2 * 8
    assert parameters_of(model) == MixtralForCausalLM(config).num_parameters()


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_counted_as_linear_is_what_bitsandbytes_quantizes(tmp_path, family):
    folder = tiny_model_folder(tmp_path, family)
    counted = linear_parameters(language_model_load(folder, quantization="fp32", device="cpu"))
    model = language_model_load(folder, quantization="int8", device="cpu")
    assert counted == sum(weight.numel() for weight in model.parameters() if weight.dtype == torch.int8)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("lm_dtype", ["float32", "bfloat16"])
def test_the_footprint_in_another_precision_is_what_loading_in_it_takes(tmp_path, family, lm_dtype):
    folder = tiny_model_folder(tmp_path, family)
    told = footprint_in(tiny_model(family), getattr(torch, lm_dtype))
    loaded = language_model_load(folder, quantization="bf16", lm_dtype=lm_dtype, device="cpu")
    assert told == pytest.approx(loaded.get_memory_footprint(), abs=4)  # a buffer may follow the weights
