"""Memory formulas at sizes that can be counted by hand; test_quantized_loading.py holds them against loaded models."""

import pytest

from workers.engine.specs.memory_estimate import compute_precision, kv_cache_bytes, weights_bytes, working_bytes

SIZES = {"parameters": 2_000_000, "linear_parameters": 1_048_576}
REST = 2_000_000 - 1_048_576


@pytest.mark.parametrize(
    ("quantization", "native", "emulated"),
    [
        ("fp32", 8_000_000, 8_000_000),
        ("bf16", 4_000_000, 8_000_000),
        ("fp16", 4_000_000, 8_000_000),
        ("int8", 1_048_576 + 1024 * 4 + 2 * REST, 1_048_576 + 1024 * 4 + 4 * REST),
        ("nf4", 524_288 + 16_384 + 64 * 4 + 2 * REST, 524_288 + 16_384 + 64 * 4 + 4 * REST),
    ],
)
def test_weights_are_counted_in_the_precision_the_device_multiplies(quantization, native, emulated):
    assert weights_bytes(quantization=quantization, **SIZES, multiplies_bf16=True) == native
    assert weights_bytes(quantization=quantization, **SIZES, multiplies_bf16=False) == emulated


def test_a_wish_for_a_precision_changes_the_size():
    assert weights_bytes(quantization="bf16", **SIZES, multiplies_bf16=True, lm_dtype="float32") == 8_000_000
    assert weights_bytes(quantization="fp32", **SIZES, multiplies_bf16=False, lm_dtype="bfloat16") == 4_000_000


def test_float16_can_be_native_where_bfloat16_is_not():
    known = {"quantization": "fp16", "multiplies_bf16": False}
    assert compute_precision(**known) == "float32"
    assert compute_precision(**known, multiplies_fp16=True) == "float16"


def test_the_cache_grows_with_contexts_and_their_length():
    assert kv_cache_bytes(kv_width=11_520, context_length=128, batch=4, bytes_each=2) == 11_520 * 128 * 4 * 2


def test_a_large_vocabulary_outweighs_the_block():
    sizes = {"d_model": 100, "d_mlp": 400, "context_length": 10, "batch": 2, "bytes_each": 4}
    assert working_bytes(**sizes, vocab_size=1000) == 2 * 10 * (800 + 1200) * 4
    assert working_bytes(**sizes, vocab_size=50_000) == 2 * 10 * 50_200 * 4
