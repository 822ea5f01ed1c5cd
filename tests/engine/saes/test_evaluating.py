"""Evaluation on a tiny language model with SAEs whose answer is known, and against the same numbers computed directly."""

import json
import math
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.engine.saes.worlds import random_sae
from tests.engine.tiny_models import D_MODEL, VOCAB_SIZE, tiny_model_folder
from workers.engine.activations.sinks import SAMPLE_SEED
from workers.engine.datasets.contexts import contexts_write
from workers.engine.formats.saelens import sae_write
from workers.engine.progress import Progress
from workers.engine.saes.evaluating import Predictions, evaluate
from workers.engine.saes.sae import Sae
from workers.engine.saes.splicing import sites_read
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.read_as import ReadAs
from workers.engine.specs.saes import EvaluateInputs, EvaluateResult, EvaluateSpec

N, T, LAYER = 24, 16, 1
SITE = HookSite(layer=LAYER, site="resid_post")


def known_sae(decoder_scale: float, sink_threshold: float | None = None) -> Sae:
    """f = (relu(x), relu(-x)), decoded with ±scale: the identity at 1, zero ablation at 0."""
    eye = torch.eye(D_MODEL)
    spec = EncodeSpec(
        architecture="standard", d_in=D_MODEL, d_sae=2 * D_MODEL, hook_site=SITE, sink_threshold=sink_threshold
    )
    return Sae(
        W_enc=torch.cat([eye, -eye], 1),
        b_enc=torch.zeros(2 * D_MODEL),
        W_dec=torch.cat([eye, -eye]) * decoder_scale,
        b_dec=torch.zeros(D_MODEL),
        encode_spec=spec,
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    """A tiny model and a tokenization of random tokens."""
    folder = tmp_path_factory.mktemp("world")
    tiny_model_folder(folder)
    tokens = np.random.default_rng(0).integers(2, VOCAB_SIZE, (N, T)).astype(np.int32)
    for part in ("train", "heldout"):
        contexts_write(folder / "tokens", part, tokens, np.arange(N))
    return folder


def run(world: Path, tmp_path: Path, sae: Sae, trained_context_length: int | None = None, **options):
    sae_write(sae, tmp_path / "sae")
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    inputs = EvaluateInputs(
        job_dir=str(tmp_path),
        out_dir=str(out),
        sae_dir=str(tmp_path / "sae"),
        tokenization_dir=str(world / "tokens"),
        model_dir=str(world / "llama"),
        trained_context_length=trained_context_length,
    )
    small = {"max_tokens": N * T, "ce_tokens": N * T, "lm_dtype": "float32", "batch_contexts": 5}
    return evaluate(EvaluateSpec(sae=1, tokenization=1, **small | options), inputs, Progress())


def truth(world: Path) -> tuple[torch.nn.Module, torch.Tensor, torch.Tensor]:
    """The model, its tokens, and activations at the site from Transformers' own hidden states."""
    model = AutoModelForCausalLM.from_pretrained(world / "llama").eval()
    ids = load_file(world / "tokens" / "heldout.safetensors")["tokens"].long()
    with torch.no_grad():
        hidden = model(ids, output_hidden_states=True).hidden_states[LAYER + 1]
    return model, ids, hidden


def test_the_identity_recovers_everything(world, tmp_path):
    result = run(world, tmp_path, known_sae(1.0))
    assert result.fvu == 0
    assert result.ce_sae == result.ce_clean
    assert result.ce_recovered == 1
    assert (result.kl_sae, result.kl_recovered) == (0, 1)
    assert result.ce_zero != result.ce_clean


def test_zeros_recover_nothing(world, tmp_path):
    result = run(world, tmp_path, known_sae(0.0))
    assert result.ce_sae == result.ce_zero
    assert result.ce_recovered == 0
    assert result.kl_sae == result.kl_zero > 0
    assert result.kl_recovered == 0
    assert result.fvu >= 1


def test_clean_cross_entropy_is_the_loss_of_transformers(world, tmp_path):
    model, ids, _ = truth(world)
    with torch.no_grad():
        expected = model(ids, labels=ids).loss.item()
    assert run(world, tmp_path, known_sae(1.0)).ce_clean == pytest.approx(expected, rel=1e-5)


def test_zero_ablation_spares_position_zero(world, tmp_path):
    model, ids, _ = truth(world)

    def ablate(module, args, output):
        hidden = (output[0] if isinstance(output, tuple) else output).clone()
        hidden[:, 1:] = 0
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    hook = model.model.layers[LAYER].register_forward_hook(ablate)
    with torch.no_grad():
        expected = model(ids, labels=ids).loss.item()
    hook.remove()
    assert run(world, tmp_path, known_sae(0.3)).ce_zero == pytest.approx(expected, rel=1e-5)


def test_reconstruction_numbers_equal_those_of_hidden_states(world, tmp_path):
    _, _, hidden = truth(world)
    sae = random_sae("topk", d_in=D_MODEL, d_sae=128)
    sae = Sae(**{name: getattr(sae, name) for name in ("W_enc", "b_enc", "W_dec", "b_dec")}, encode_spec=_at_site(sae))
    result = run(world, tmp_path, sae)
    x = hidden[:, 1:].flatten(0, 1)
    f = sae.encode(x)
    fvu = (x - sae.decode(f)).square().sum() / (x - x.mean(0)).square().sum()
    assert result.fvu == pytest.approx(fvu.item(), rel=1e-4)
    assert result.fvu_with_sinks == pytest.approx(result.fvu)
    assert result.tokens == N * (T - 1)
    assert result.l0 == pytest.approx((f > 0).sum(1).double().mean().item(), rel=1e-3)
    density = load_file(tmp_path / "out" / "density.safetensors")["density"]
    assert torch.allclose(density, (f > 0).double().mean(0).float(), atol=2e-3)
    assert sum(result.density_histogram) == (density > 0).sum()
    assert result.dead_share == pytest.approx((density == 0).double().mean().item())


def _at_site(sae: Sae) -> EncodeSpec:
    return EncodeSpec.from_json(sae.encode_spec.to_json() | {"hook_site": SITE.to_json()})


def test_sink_tokens_are_counted_passed_by_and_given_apart(world, tmp_path):
    _, _, hidden = truth(world)
    norms = hidden[:, 1:].norm(dim=-1)
    threshold = norms.flatten().quantile(0.9).item()
    result = run(world, tmp_path, known_sae(0.5, threshold))
    sinks = int((norms > threshold).sum())
    assert sinks > 0
    assert result.sink_tokens == sinks
    assert result.tokens == N * (T - 1) - sinks
    assert result.fvu_with_sinks != result.fvu
    without_sinks = run(world, tmp_path, known_sae(0.5))
    assert result.ce_zero != without_sinks.ce_zero


def test_the_batch_size_changes_nothing(world, tmp_path):
    one, many = (run(world, tmp_path, known_sae(0.5), batch_contexts=size) for size in (1, 24))
    for name in ("fvu", "l0", "ce_clean", "ce_sae", "ce_zero", "kl_sae", "kl_zero"):
        assert getattr(one, name) == pytest.approx(getattr(many, name), rel=1e-4)


@contextmanager
def mlp_answers(model, answer):
    """Plain PyTorch hooks: the MLP of the layer answers `answer(its input)` everywhere but at position 0."""

    def replace_output(module, args, output):
        return torch.cat([output[:, :1], answer(args[0][:, 1:].flatten(0, 1)).view(output[:, 1:].shape)], 1)

    hook = model.model.layers[LAYER].mlp.register_forward_hook(replace_output)
    with torch.no_grad():
        yield
    hook.remove()


def mlp_pair(model, ids) -> tuple[torch.Tensor, torch.Tensor]:
    """What the MLP of the layer reads and answers, position 0 left out."""
    seen = []
    hook = model.model.layers[LAYER].mlp.register_forward_hook(
        lambda module, args, output: seen.extend((*args, output))
    )
    with torch.no_grad():
        model(ids)
    hook.remove()
    return tuple(v[:, 1:].flatten(0, 1) for v in seen)


def a_transcoder(architecture: str) -> Sae:
    sites = {"hook_site": HookSite(layer=LAYER, site="mlp_in"), "hook_site_out": HookSite(layer=LAYER, site="mlp_out")}
    return random_sae(architecture, d_in=D_MODEL, d_sae=128, d_out=D_MODEL, **sites)


@pytest.mark.parametrize("architecture", ["transcoder", "skip_transcoder"])
def test_a_transcoder_is_measured_and_put_where_it_answers(architecture, world, tmp_path):
    model, ids, _ = truth(world)
    sae = a_transcoder(architecture)
    result = run(world, tmp_path, sae)
    x, y = mlp_pair(model, ids)
    fvu = (y - sae.reconstruct(x)).square().sum() / (y - y.mean(0)).square().sum()
    assert result.fvu == pytest.approx(fvu.item(), rel=1e-4)
    assert result.l0 == pytest.approx((sae.encode(x) > 0).sum(1).double().mean().item(), rel=1e-3)

    with torch.no_grad():
        clean = model(ids, labels=ids)
    for name, answer in (("sae", sae.reconstruct), ("zero", torch.zeros_like)):
        with mlp_answers(model, answer):
            changed = model(ids, labels=ids)
        assert getattr(result, f"ce_{name}") == pytest.approx(changed.loss.item(), rel=1e-5)
        log_p, log_q = (out.logits[:, :-1].log_softmax(-1) for out in (clean, changed))
        kl = torch.nn.functional.kl_div(log_q, log_p, log_target=True, reduction="none").sum(-1).mean()
        assert getattr(result, f"kl_{name}") == pytest.approx(kl.item(), rel=1e-4)
    assert result.kl_recovered == pytest.approx(1 - result.kl_sae / result.kl_zero)


def test_sorted_and_shuffled_text_are_evaluated_alike(world, tmp_path):
    """Half of the contexts repeat one token, the other half are random."""
    random = np.random.default_rng(1)
    sorted_NT = np.concatenate([np.full((120, T), 5), random.integers(2, VOCAB_SIZE, (120, T))])
    found = {}
    for name, tokens_NT in {"sorted": sorted_NT, "shuffled": random.permutation(sorted_NT)}.items():
        (tmp_path / name / "tokens").mkdir(parents=True)
        (tmp_path / name / "llama").symlink_to(world / "llama")
        for part in ("train", "heldout"):
            contexts_write(tmp_path / name / "tokens", part, tokens_NT, np.arange(240))
        found[name] = run(tmp_path / name, tmp_path, known_sae(0.5), max_tokens=80 * T, ce_tokens=80 * T)
    assert found["sorted"].fvu == pytest.approx(found["shuffled"].fvu, rel=0.15)
    assert found["sorted"].ce_clean == pytest.approx(found["shuffled"].ce_clean, rel=0.15)


def test_an_evaluation_says_how_the_model_was_read_and_what_fvu_is_within_the_trained_context(world, tmp_path):
    result = run(world, tmp_path, known_sae(0.5))
    assert result.read_as == ReadAs(lm_dtype="float32", quantization="fp32", context_length=T)
    assert result.fvu_as_trained is None
    within = run(world, tmp_path, known_sae(0.5), trained_context_length=6)
    _, _, x = truth(world)
    near = x.view(N, T, -1)[:, 1:6].flatten(0, 1)
    expected = 0.25 * near.square().sum() / (near - near.mean(0)).square().sum()
    assert within.fvu == pytest.approx(result.fvu)
    assert within.fvu_as_trained == pytest.approx(expected.item(), rel=1e-4)
    assert run(world, tmp_path, known_sae(0.5), trained_context_length=T).fvu_as_trained is None


def test_predictions_are_compared_on_a_loaded_model_and_a_few_batches(world, tmp_path):
    model, ids, _ = truth(world)
    part = run(world, tmp_path, known_sae(0.5), ce_tokens=7 * T)
    ids = ids[np.random.default_rng(SAMPLE_SEED).permutation(len(ids))[:7]]
    is_token = torch.ones(7, T, dtype=torch.bool)
    predicted = Predictions(known_sae(0.5), model)
    with torch.no_grad():
        predicted.add((ids, is_token), sites_read(model, ids, known_sae(0.5).encode_spec))
    again = predicted.means()
    assert again.sae == pytest.approx(part.ce_sae, rel=1e-5)
    assert again.kl_recovered == pytest.approx(part.kl_recovered, rel=1e-4)


def test_an_evaluation_from_before_kl_still_loads(world, tmp_path):
    old = {k: v for k, v in run(world, tmp_path, known_sae(0.5)).to_json().items() if not k.startswith("kl_")}
    assert EvaluateResult.from_json(old).kl_recovered is None


def test_where_zeros_cost_nothing_there_is_nothing_to_recover(world, tmp_path, monkeypatch):
    monkeypatch.setattr("workers.engine.saes.evaluating.ce_sum", lambda *_: 1.0)
    result = run(world, tmp_path, known_sae(0.5))
    assert result.ce_recovered is None and result.kl_recovered is not None
    json.dumps(result.to_json(), allow_nan=False)


def test_token_limits_take_the_first_contexts(world, tmp_path):
    result = run(world, tmp_path, known_sae(1.0), max_tokens=100, ce_tokens=120)
    assert result.tokens == math.ceil(100 / T) * (T - 1)
    assert result.ce_tokens == math.ceil(120 / T) * T


def test_a_tokenization_without_held_out_contexts_is_refused(world, tmp_path):
    contexts_write(tmp_path / "tokens", "heldout", np.zeros((0, T), np.int32), np.zeros(0))
    (tmp_path / "llama").symlink_to(world / "llama")
    with pytest.raises(BadArtifact, match="holds out no contexts"):
        run(tmp_path, tmp_path, known_sae(1.0))
