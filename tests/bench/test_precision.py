"""Benches compare like with like: the same precision on both sides, whatever the processor is fast at."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.bench.harvest import Bench
from tests.engine.tiny_models import tiny_model_folder
from workers.engine.datasets.contexts import contexts_write
from workers.engine.language_models.loading import language_model_load


@pytest.mark.parametrize("held", [torch.float32, torch.bfloat16])
def test_the_stream_and_the_bare_pass_run_in_one_precision(tmp_path, held):
    folder = tiny_model_folder(tmp_path, "llama")
    AutoModelForCausalLM.from_pretrained(folder, dtype=held).save_pretrained(folder)
    tokens = np.random.default_rng(0).integers(2, 399, (16, 128))
    (tmp_path / "text").mkdir()
    for part in ("train", "heldout"):
        contexts_write(tmp_path / "text", part, tokens, np.arange(16))
    bench = Bench(folder, tmp_path / "text", tokens, layer=1)
    bench.source(8 * 127)
    bench.cut("bare_cut", bench.dtype)()
    bench.whole()()
    studio = language_model_load(folder, quantization="auto", lm_dtype="auto", device="cpu").dtype
    assert set(bench.dtypes) == {"stream", "bare_cut", "whole"}
    assert set(bench.dtypes.values()) == {str(studio).removeprefix("torch.")}
