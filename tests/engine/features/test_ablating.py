"""Measured ablation, against a Transformers forward with a hook written by hand, and on latents whose effect is planted."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from torch.nn.functional import cross_entropy
from transformers import AutoModelForCausalLM

from tests.engine.saes.worlds import random_sae
from tests.engine.tiny_models import D_MODEL, tiny_model_folder
from workers.engine.datasets.contexts import contexts_write
from workers.engine.features import ablating
from workers.engine.features.ablating import ablate, context_ablate, effect
from workers.engine.features.read_contexts import ReadContexts, context_read, read_contexts
from workers.engine.formats.saelens import sae_write
from workers.engine.hooks.capture import capture, replaced
from workers.engine.progress import Progress
from workers.engine.saes.sae import Sae
from workers.engine.specs.ablation import AblateInputs, AblateSpec
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.features import NEAR_GROUP, TOP_GROUP
from workers.engine.specs.hook_site import HookSite

LAYER, LAST, T, F = 1, 3, 16, 64
SITE = HookSite(layer=LAYER, site="resid_post")
TOKEN = 37
KINDS = {
    "topk": {"architecture": "topk"},
    "standard, each token to norm √d": {"architecture": "standard", "normalize_activations": "constant_norm_rescale"},
    "jumprelu, layer norm": {"architecture": "jumprelu", "normalize_activations": "layer_norm"},
    "gated, sinks": {"architecture": "gated", "sink_threshold": 8.0},
    "transcoder": {
        "architecture": "transcoder",
        "hook_site": HookSite(layer=LAYER, site="mlp_in"),
        "hook_site_out": HookSite(layer=LAYER, site="mlp_out"),
        "d_out": D_MODEL,
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    tiny_model_folder(folder)
    generator = np.random.default_rng(0)
    for part, contexts in (("train", 12), ("heldout", 4)):
        tokens = generator.integers(2, 400, (contexts, T)).astype(np.int32)
        contexts_write(folder / "tokens", part, tokens, np.arange(contexts), np.full(contexts, T - 3))
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return AutoModelForCausalLM.from_pretrained(folder / "llama", dtype=torch.float32).eval()


def tokens_of(folder, number):
    """Token ids of a context, the training part first."""
    from workers.engine.datasets.contexts import Contexts

    both = np.concatenate([Contexts.open(folder / "tokens", part).tokens for part in ("train", "heldout")])
    return torch.from_numpy(both[number, : T - 3].astype(np.int64))


def by_hand(model, sae, latent, ids_T):
    """Δ of each predicted token: decode with and without the latent, the difference taken off by a plain hook."""
    spec = sae.encode_spec
    layer = model.model.layers[LAYER]
    reads, writes = (layer.mlp, layer.mlp) if spec.is_transcoder else (layer, layer)
    seen = {}

    def read_in(_, args):
        seen["x"] = args[0][0]

    def read_out(_, args, output):
        seen["x"] = (output[0] if isinstance(output, tuple) else output)[0]

    handle = reads.register_forward_pre_hook(read_in) if spec.is_transcoder else reads.register_forward_hook(read_out)
    clean = model(ids_T[None]).logits[0]
    handle.remove()
    x_TD = seen["x"].clone()
    is_read = x_TD.norm(dim=-1) <= (spec.sink_threshold or torch.inf)
    assert spec.sink_threshold is None or 0 < is_read[1:].sum() < len(is_read) - 1
    is_read[0] = False
    f_TF = sae.encode(x_TD)
    f_TF[~is_read] = 0
    without_TF = f_TF.clone()
    without_TF[:, latent] = 0
    part_TE = sae.decode(f_TF, x_TD) - sae.decode(without_TF, x_TD)

    def subtract(_, args, output):
        changed = (output[0] if isinstance(output, tuple) else output) - part_TE
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    handle = writes.register_forward_hook(subtract)
    ablated = model(ids_T[None]).logits[0]
    handle.remove()
    losses = [cross_entropy(logits[:-1], ids_T[1:], reduction="none") for logits in (ablated, clean)]
    return f_TF[:, latent], losses[0] - losses[1]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_subtracting_equals_a_hook_written_by_hand(folder, model, kind):
    sae = random_sae(**{"d_in": D_MODEL, "d_sae": F, "hook_site": SITE} | KINDS[kind])
    changed = 0
    for number in range(6):
        ids_T = tokens_of(folder, number)
        for latent in range(0, F, 9):
            f_T, delta_P = by_hand(model, sae, latent, ids_T)
            found = ablated(model, sae, latent, ids_T)
            torch.testing.assert_close(found.f_T, f_T)
            torch.testing.assert_close(found.delta_P, delta_P, atol=3e-5, rtol=1e-3)
            changed += int((delta_P.abs() > 1e-3).sum())
    assert changed > 50


@torch.no_grad()
def test_the_gauge_changes_nothing_of_what_is_subtracted(folder, model):
    sae = random_sae("jumprelu", d_in=D_MODEL, d_sae=F, hook_site=SITE)
    ids_T = tokens_of(folder, 0)
    found, gauged = (ablated(model, each, 3, ids_T) for each in (sae, sae.with_unit_decoder()))
    assert found.delta_P.abs().max() > 1e-3
    torch.testing.assert_close(found.delta_P, gauged.delta_P, atol=3e-5, rtol=1e-3)


def ablated(model, sae, latent, ids_T):
    """One context read anew, with the latent taken out."""
    return context_ablate(model, sae, latent, context_read(model, sae.encode_spec, ids_T))


def planted(model, *, sign=1.0, bias=2.0, layer=LAST):
    """An SAE of two latents at the last site: 0 fires everywhere and writes towards the logit of TOKEN, 1 never fires."""
    direction_D = torch.nn.functional.normalize(model.get_output_embeddings().weight[TOKEN].float(), dim=0)
    return Sae(
        W_enc=torch.zeros(D_MODEL, 2),
        b_enc=torch.tensor([bias, -1.0]),
        W_dec=torch.stack([sign * direction_D, direction_D]),
        b_dec=torch.zeros(D_MODEL),
        encode_spec=EncodeSpec(
            architecture="standard", d_in=D_MODEL, d_sae=2, hook_site=HookSite(layer=layer, site="resid_post")
        ),
    )


@pytest.mark.parametrize(("sign", "rises"), [(1.0, True), (-1.0, False)])
def test_a_latent_that_speaks_for_the_next_token_raises_its_cross_entropy_when_removed(model, sign, rises):
    ids_T = torch.full((10,), TOKEN)
    delta_P = ablated(model, planted(model, sign=sign), 0, ids_T).delta_P[1:]  # position 0 is let through
    assert ((delta_P > 0) == rises).all() and delta_P.abs().min() > 1e-3


def test_a_feature_that_never_fires_changes_nothing_at_all(model):
    found = ablated(model, planted(model), 1, torch.arange(2, 12))
    assert found.delta_P.tolist() == [0.0] * 9 and found.ce_P is None


def run(folder, tmp_path, sae, contexts, **options):
    """The whole job, with a feature run that found latent 0 in `contexts`."""
    sae_write(sae, tmp_path / "sae")
    context_FS = np.full((2, 5), -1, np.int32)
    context_FS[0, : len(contexts)] = contexts
    context_FS[0, 4] = 9
    groups = np.array([TOP_GROUP] * 3 + [1, NEAR_GROUP], np.int8)
    (tmp_path / "run").mkdir(exist_ok=True)
    save_file({"context": context_FS, "group": groups}, tmp_path / "run" / "examples.safetensors")
    inputs = AblateInputs(
        job_dir="",
        out_dir="",
        sae_dir=str(tmp_path / "sae"),
        run_dir=str(tmp_path / "run"),
        tokenization_dir=str(folder / "tokens"),
        model_dir=str(folder / "llama"),
    )
    spec = AblateSpec(**{"sae": 1, "index": 0, "random_contexts": 6, "lm_dtype": "float32"} | options)
    return ablate(spec, inputs, Progress())


def test_the_job_means_over_the_top_and_the_random_contexts(folder, model, tmp_path):
    sae = random_sae("standard", d_in=D_MODEL, d_sae=F, hook_site=SITE)
    result = run(folder, tmp_path, sae, [13, 2, 5])
    each = [ablated(model, sae.with_unit_decoder(), 0, tokens_of(folder, number)) for number in (13, 2, 5)]
    means = np.array([one.delta_P.numpy().mean() for one in each])
    assert result.top.mean == pytest.approx(means.mean(), rel=1e-4)
    assert result.top.stderr == pytest.approx(means.std(ddof=1) / np.sqrt(3), rel=1e-4)
    assert (result.top.contexts, result.top.predictions) == (3, 3 * (T - 4))
    at_peak = [one.delta_P[one.peak].item() for one in each if one.peak < T - 4]
    assert result.at_peak.mean == pytest.approx(np.mean(at_peak), rel=1e-3)
    assert result.after_peak.predictions == sum(max(0, T - 5 - one.peak) for one in each)
    assert result.top_firings == sum(int((one.f_T > 0).sum()) for one in each) > 0
    assert result.top_ce_clean == pytest.approx(torch.cat([one.ce_P for one in each]).mean().item(), rel=1e-5)
    assert (result.random.contexts, result.random.predictions) == (6, 6 * (T - 4))


def test_the_tokens_shown_carry_what_was_measured_of_them(folder, model, tmp_path):
    sae = random_sae("standard", d_in=D_MODEL, d_sae=F, hook_site=SITE)
    first = run(folder, tmp_path, sae, [13, 2, 5]).shown[0]
    truth = ablated(model, sae.with_unit_decoder(), 0, tokens_of(folder, 13))
    assert first.context == 13 and len(first.tokens) == T - 3 and first.peak == truth.peak
    np.testing.assert_allclose(first.deltas, [0, *truth.delta_P.tolist()], atol=2e-5)
    np.testing.assert_allclose(first.activations, truth.f_T.numpy(), rtol=1e-3, atol=2e-5)


def test_random_contexts_in_which_it_is_silent_count_as_exactly_nothing(folder, model, tmp_path):
    rare = dataclasses.replace(planted(model), b_enc=torch.tensor([-1e6, -1.0]))
    result = run(folder, tmp_path, rare, [1])
    assert (result.random.mean, result.random.stderr, result.random_contexts_firing) == (0.0, 0.0, 0)


def whole_passes(model, sae, latent, ids_T):
    """Δ of each predicted token by two passes from the first block on: what is saved must not be seen."""
    ids_1T, spec = ids_T[None], sae.encode_spec
    x_TD = capture(model, ids_1T, spec.hook_site)[0]
    f_T = context_ablate(model, sae, latent, context_read(model, spec, ids_T)).f_T
    part_TE = torch.zeros(len(ids_T), D_MODEL)
    part_TE[f_T > 0] = sae.contribution(latent, f_T[f_T > 0], x_TD[f_T > 0])
    clean = model(ids_1T).logits
    with replaced(model, spec.site_out, lambda y_1TE: y_1TE - part_TE):
        without = model(ids_1T).logits
    losses = [cross_entropy(logits[0, :-1], ids_T[1:], reduction="none") for logits in (without, clean)]
    return losses[0] - losses[1]


@pytest.mark.parametrize("kind", KINDS)
@torch.no_grad()
def test_going_on_from_the_site_gives_the_same_bits_as_whole_passes(folder, model, kind):
    sae = random_sae(**{"d_in": D_MODEL, "d_sae": F, "hook_site": SITE} | KINDS[kind])
    fired = 0
    for latent in range(0, F, 9):
        found = ablated(model, sae, latent, tokens_of(folder, 2))
        fired += found.ce_P is not None
        assert torch.equal(found.delta_P, whole_passes(model, sae, latent, tokens_of(folder, 2)))
    assert fired >= 2


def test_the_next_feature_finds_the_random_contexts_read_and_measures_the_same(folder, tmp_path, monkeypatch):
    sae = random_sae("standard", d_in=D_MODEL, d_sae=F, hook_site=SITE)
    first = run(folder, tmp_path, sae, [13, 2, 5])
    anew = []
    monkeypatch.setattr(ablating, "context_read", lambda *args: anew.append(1) or context_read(*args))
    again = run(folder, tmp_path, sae, [13, 7, 5])
    assert len(anew) <= 1, "of the top contexts one is new, the random ones are those of before"
    assert again.random == first.random
    other = random_sae("standard", d_in=D_MODEL, d_sae=F, hook_site=HookSite(layer=LAST, site="resid_post"))
    run(folder, tmp_path, other, [13, 7, 5])
    assert len(anew) >= 7, "at another site all are read"


def test_contexts_asked_for_longest_ago_make_room_and_another_model_starts_afresh(model):
    spec = random_sae("standard", d_in=D_MODEL, d_sae=F, hook_site=SITE).encode_spec
    reads = [context_read(model, spec, torch.arange(2, 12)) for _ in range(3)]
    kept = ReadContexts(most_bytes=2 * reads[0].bytes)
    for number, read in enumerate(reads[:2]):
        kept.keep(number, read)
    kept.trim()
    assert kept.get(0) is reads[0] and kept.get(1) is reads[1]
    kept.get(0)
    kept.keep(2, reads[2])
    kept.trim()
    assert kept.get(1) is None and kept.get(0) is reads[0] and kept.get(2) is reads[2]
    assert reads[0].bytes >= 2 * 10 * D_MODEL * 4
    assert read_contexts(model, spec, "a") is read_contexts(model, spec, "a")
    own = read_contexts(model, spec, "a")
    assert read_contexts(model, spec, "b") is not own and read_contexts(model, spec, "a") is not own


def test_fewer_top_contexts_and_other_random_ones_are_taken_when_asked_for(folder, tmp_path):
    sae = random_sae("standard", d_in=D_MODEL, d_sae=F, hook_site=SITE)
    assert run(folder, tmp_path, sae, [13, 2, 5], top_contexts=1).top.contexts == 1
    none = run(folder, tmp_path, sae, [13], random_contexts=0).random
    assert (none.mean, none.stderr, none.contexts) == (None, None, 0)
    drawn = [run(folder, tmp_path, sae, [13], random_contexts=3, seed=seed).random.mean for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_feature_without_top_contexts_is_refused(folder, model, tmp_path):
    with pytest.raises(BadArtifact, match="fired nowhere"):
        run(folder, tmp_path, planted(model), [])
    with pytest.raises(BadArtifact, match="knows no feature 7"):
        run(folder, tmp_path, planted(model), [1], index=7)


def test_one_context_has_a_mean_but_no_standard_error():
    alone = effect([torch.tensor([1.0, 2.0]), torch.zeros(0)])
    assert (alone.mean, alone.stderr, alone.predictions, alone.contexts) == (1.5, None, 2, 1)
