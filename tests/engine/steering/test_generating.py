import dataclasses
import json
import shutil

import pytest
import torch

from tests.engine.saes.worlds import random_sae
from tests.engine.tiny_models import tiny_model_folder
from workers.engine.formats.saelens import sae_write
from workers.engine.hooks.capture import capture
from workers.engine.language_models.loading import language_model_load, tokenizer_load
from workers.engine.progress import Progress, Stopped
from workers.engine.saes.sae import Sae
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.errors import EngineError, SpecInvalid
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.read_as import ReadAs
from workers.engine.specs.steering import SteeredFeature, SteerInputs, SteerSpec
from workers.engine.steering.generating import SteeringHadNoEffect, steer

D_IN, D_SAE = 32, 64


@pytest.fixture(scope="module", params=["llama", "gpt2", "gpt_neox", "gemma2", "qwen2"])
def family(request):
    return request.param


one_family = pytest.mark.parametrize("family", ["llama"], indirect=True)
"""For what does not depend on how a family is wired."""


@pytest.fixture(scope="module")
def inputs(family, tmp_path_factory):
    """A tiny model and an SAE with random directions at its layer 2."""
    folder = tmp_path_factory.mktemp(family)
    generator = torch.Generator().manual_seed(0)
    W_dec = torch.nn.functional.normalize(torch.randn(D_SAE, D_IN, generator=generator), dim=-1)
    spec = EncodeSpec(architecture="standard", d_in=D_IN, d_sae=D_SAE, hook_site=HookSite(layer=2, site="resid_post"))
    sae_write(
        Sae(W_dec.T.contiguous(), torch.zeros(D_SAE), W_dec, torch.zeros(D_IN), spec), folder / "sae", metadata={}
    )
    model_dir = tiny_model_folder(folder, family)
    return SteerInputs(
        job_dir=str(folder),
        out_dir=str(folder),
        sae_dir=str(folder / "sae"),
        model_dir=str(model_dir),
        max_activations=(5.0,),
    )


def asked(**values) -> SteerSpec:
    given = {"features": (SteeredFeature(index=3, strength=4.0),), "prompt": "The cat sat on the", "max_new_tokens": 12}
    return SteerSpec(sae=1, **{**given, "lm_dtype": "float32", **values})


def test_the_baseline_is_what_the_model_itself_writes_from_the_seed(inputs):
    result = steer(asked(seed=7), inputs, Progress())
    model = language_model_load(inputs.model_dir, quantization="auto", lm_dtype="float32", device="cpu")
    tokenizer = tokenizer_load(inputs.model_dir)
    ids = torch.tensor(
        [[tokenizer.bos_token_id, *tokenizer("The cat sat on the", add_special_tokens=False)["input_ids"]]]
    )
    torch.manual_seed(7)
    sampling = {"do_sample": True, "temperature": 0.7, "top_p": 0.9, "top_k": 50, "max_new_tokens": 12}
    own = model.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=1, **sampling)
    assert result.baseline == tokenizer.decode(own[0, ids.shape[1] :], skip_special_tokens=True)


OWN_GENERATION = {
    "num_beams": 3,
    "do_sample": True,
    "temperature": 0.3,
    "bad_words_ids": [[token_id] for token_id in range(300, 400)],
    "suppress_tokens": list(range(200, 300)),
    "begin_suppress_tokens": [5],
    "repetition_penalty": 1.9,
    "no_repeat_ngram_size": 1,
    "min_p": 0.9,
    "typical_p": 0.2,
    "min_new_tokens": 11,
    "forced_eos_token_id": 9,
    "eos_token_id": list(range(50, 150)),
    "num_return_sequences": 2,
    "return_dict_in_generate": True,
}


@one_family
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_models_own_generation_config_changes_nothing(inputs, temperature, tmp_path):
    shutil.copytree(inputs.model_dir, tmp_path / "model")
    (tmp_path / "model" / "generation_config.json").write_text(json.dumps(OWN_GENERATION))
    other = dataclasses.replace(inputs, model_dir=str(tmp_path / "model"))
    plain, own = (steer(asked(temperature=temperature), each, Progress()) for each in (inputs, other))
    assert (plain.baseline_tokens, plain.steered_tokens) == (own.baseline_tokens, own.steered_tokens)
    model = language_model_load(other.model_dir, quantization="auto", lm_dtype="float32", device="cpu")
    assert model.generation_config.num_beams == 3  # it is the model's still


def test_steering_changes_the_text_and_the_added_length_is_the_strength(inputs):
    result = steer(asked(temperature=0.0), inputs, Progress())
    assert result.differs
    assert result.raw_strengths == (20.0,)
    assert result.delta_norm == pytest.approx(20.0, rel=1e-4)
    assert result.activation_norm > 0
    assert result.hook_calls == len(result.steered_tokens)


def test_position_zero_is_never_steered(inputs):
    result = steer(asked(temperature=0.0), inputs, Progress())
    prompt = tokenizer_load(inputs.model_dir)("The cat sat on the", add_special_tokens=False)["input_ids"]
    assert result.steered_positions == len(prompt) + len(result.steered_tokens) - 1


@one_family
@pytest.mark.parametrize("lm_dtype", ["float32", "bfloat16"])
def test_the_result_says_how_the_model_was_read(inputs, lm_dtype):
    result = steer(
        asked(temperature=0.0, lm_dtype=lm_dtype), dataclasses.replace(inputs, quantization="bf16"), Progress()
    )
    prompt = tokenizer_load(inputs.model_dir)("The cat sat on the", add_special_tokens=False)["input_ids"]
    longest = max(len(result.baseline_tokens), len(result.steered_tokens))
    assert result.read_as == ReadAs(lm_dtype=lm_dtype, quantization="bf16", context_length=1 + len(prompt) + longest)


@one_family
def test_a_raw_strength_is_taken_as_it_is(inputs):
    assert steer(asked(unit="raw"), inputs, Progress()).raw_strengths == (4.0,)


def test_a_strength_beyond_the_models_range_is_said_in_words(inputs, monkeypatch):
    monkeypatch.setattr("workers.engine.precision.device_multiplies", lambda _: (True, True))
    spec = asked(unit="raw", features=(SteeredFeature(index=3, strength=1e6),), lm_dtype="auto")
    with pytest.raises(EngineError, match="The model's output was not a number") as refused:
        steer(spec, dataclasses.replace(inputs, quantization="fp16"), Progress())  # float16 ends at 65,504
    assert refused.value.code == "output_not_finite"


@pytest.mark.parametrize("strength", [1e30, -1e7, float("nan"), float("inf")])
def test_a_strength_that_no_model_bears_is_refused(strength):
    with pytest.raises(SpecInvalid, match="beyond") as refused:
        asked(features=(SteeredFeature(index=3, strength=strength),))
    assert refused.value.field == "features"


@pytest.mark.parametrize("temperature", [1e-38, 0.009, float("nan")])
def test_a_temperature_next_to_zero_is_refused(temperature):
    with pytest.raises(SpecInvalid) as refused:
        asked(temperature=temperature)
    assert refused.value.field == "temperature"


def test_opposite_strengths_of_one_feature_cancel_and_the_run_fails(inputs):
    both = (SteeredFeature(index=3, strength=1.0), SteeredFeature(index=3, strength=-1.0))
    with pytest.raises(SteeringHadNoEffect):
        steer(asked(features=both, unit="raw"), inputs, Progress())


def test_several_features_add_up(inputs):
    two = (SteeredFeature(index=3, strength=3.0), SteeredFeature(index=9, strength=4.0))
    W_dec = torch.nn.functional.normalize(torch.randn(D_SAE, D_IN, generator=torch.Generator().manual_seed(0)), dim=-1)
    result = steer(asked(features=two, unit="raw"), inputs, Progress())
    assert result.delta_norm == pytest.approx((3 * W_dec[3] + 4 * W_dec[9]).norm().item(), rel=1e-4)


@one_family
def test_the_same_seed_writes_the_same_and_another_seed_something_else(inputs):
    first, again, other = (steer(asked(seed=s, temperature=1.5), inputs, Progress()) for s in (1, 1, 2))
    assert (first.baseline, first.steered) == (again.baseline, again.steered)
    assert first.baseline != other.baseline


@one_family
@pytest.mark.parametrize(
    "option",
    [{"temperature": 2.0}, {"top_k": 1}, {"top_p": 0.01}, {"repetition_penalty": 2.0}, {"max_new_tokens": 5}],
    ids=lambda option: next(iter(option)),
)
def test_every_sampling_option_changes_what_is_written(inputs, option):
    plain = {"max_new_tokens": 40, "temperature": 1.0}
    changed = steer(asked(**{**plain, **option}), inputs, Progress())
    assert changed.baseline_tokens != steer(asked(**plain), inputs, Progress()).baseline_tokens


def test_a_written_row_beyond_the_tokenizer_is_an_empty_token(inputs):
    flat = {"temperature": 2.0, "top_p": 1.0, "top_k": 0, "max_new_tokens": 60}
    results = [steer(asked(seed=seed, **flat), inputs, Progress()) for seed in range(4)]
    tokens = [token for result in results for token in (*result.baseline_tokens, *result.steered_tokens)]
    assert "" in tokens
    assert all(isinstance(token, str) for token in tokens)


@one_family
def test_temperature_zero_is_greedy_whatever_the_seed(inputs):
    texts = {steer(asked(temperature=0.0, seed=s), inputs, Progress()).baseline for s in (1, 2, 3)}
    assert len(texts) == 1


@one_family
def test_a_feature_that_the_sae_does_not_have_is_refused(inputs):
    with pytest.raises(SpecInvalid, match="no feature 64"):
        steer(asked(features=(SteeredFeature(index=64, strength=1.0),)), inputs, Progress())


def sae_at(folder, inputs, W_dec, **encode):
    """`inputs` with another SAE, written to `folder`."""
    spec = EncodeSpec(d_in=W_dec.shape[1], d_sae=D_SAE, hook_site=HookSite(layer=2, site="resid_post"), **encode)
    sae_write(Sae(W_dec.T.contiguous(), torch.zeros(D_SAE), W_dec, torch.zeros(W_dec.shape[1]), spec), folder)
    return dataclasses.replace(inputs, sae_dir=str(folder))


@pytest.mark.parametrize(
    ("encode", "length"),
    [
        ({"architecture": "standard"}, 4 * 5.0),  # brought to the unit gauge, as its activations are
        ({"architecture": "topk", "k": 4, "rescale_acts_by_decoder_norm": True}, 4 * 5.0),
        ({"architecture": "topk", "k": 4}, 4 * 5.0 * 3),  # has no unit gauge: an activation of 5 adds a vector of 15
    ],
)
def test_a_multiple_of_the_max_activation_is_the_length_the_sae_itself_would_add(inputs, tmp_path, encode, length):
    W_dec = 3 * torch.nn.functional.normalize(torch.randn(D_SAE, D_IN), dim=-1)
    result = steer(asked(), sae_at(tmp_path, inputs, W_dec, **encode), Progress())
    assert result.raw_strengths[0] == pytest.approx(length, rel=1e-5)
    assert result.delta_norm == pytest.approx(length, rel=1e-4)


def test_an_sae_of_another_model_is_refused(inputs, tmp_path):
    other = sae_at(tmp_path, inputs, torch.randn(D_SAE, 2 * D_IN), architecture="standard")
    with pytest.raises(EngineError) as caught:
        steer(asked(), other, Progress())
    assert caught.value.code == "wrong_width"


@one_family
def test_a_feature_that_never_fired_has_no_max_activation(inputs):
    silent = dataclasses.replace(inputs, max_activations=(0.0,))
    with pytest.raises(SpecInvalid, match="never fired"):
        steer(asked(), silent, Progress())


@one_family
def test_a_continuation_longer_than_the_context_is_refused(inputs):
    with pytest.raises(SpecInvalid, match="128 positions"):
        steer(asked(max_new_tokens=500), inputs, Progress())


@one_family
def test_a_cancel_ends_the_generation(inputs):
    class Cancelled(Progress):
        def wish(self):
            return "cancel" if self._name == "writing with steering" else None

    with pytest.raises(Stopped):
        steer(asked(), inputs, Cancelled())


def test_a_transcoder_steers_the_output_of_the_mlp(inputs, tmp_path):
    """The direction is added where the transcoder answers, once for each position; what it reads stays as it was."""
    sites = {"hook_site": HookSite(layer=2, site="mlp_in"), "hook_site_out": HookSite(layer=2, site="mlp_out")}
    sae_write(random_sae("transcoder", d_in=D_IN, d_sae=D_SAE, d_out=D_IN, **sites), tmp_path / "transcoder")
    where = dataclasses.replace(inputs, sae_dir=str(tmp_path / "transcoder"))
    model = language_model_load(inputs.model_dir, quantization="auto", lm_dtype="float32", device="cpu")
    tokenizer = tokenizer_load(inputs.model_dir)
    result = steer(asked(temperature=0.0, max_new_tokens=1, prompt="The cat sat"), where, Progress())
    ids = torch.tensor([[tokenizer.bos_token_id, *tokenizer("The cat sat", add_special_tokens=False)["input_ids"]]])
    mlp_out_BTD = capture(model, ids, sites["hook_site_out"])
    assert result.delta_norm == pytest.approx(20.0, rel=1e-4)
    assert result.activation_norm == pytest.approx(mlp_out_BTD[:, 1:].norm(dim=-1).mean().item(), rel=1e-4)


@one_family
def test_a_transcoder_for_another_width_is_refused(inputs, tmp_path):
    sites = {"hook_site": HookSite(layer=2, site="mlp_in"), "hook_site_out": HookSite(layer=2, site="mlp_out")}
    sae_write(random_sae("transcoder", d_in=D_IN, d_sae=D_SAE, d_out=12, **sites), tmp_path / "transcoder")
    with pytest.raises(EngineError, match=r"decoder has width 12; at 2\.mlp_out the language model has width 32"):
        steer(asked(), dataclasses.replace(inputs, sae_dir=str(tmp_path / "transcoder")), Progress())
