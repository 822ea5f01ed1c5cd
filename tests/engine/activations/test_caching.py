"""Caching against a direct capture; sinks planted by hand; inputs that cannot be meant."""

import json
import math

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.engine.tiny_models import D_MODEL, FAMILIES, VOCAB_SIZE, tiny_model_folder
from workers.engine.activations import sinks
from workers.engine.activations.cache import ActivationCache
from workers.engine.activations.caching import activation_cache
from workers.engine.datasets.contexts import contexts_write
from workers.engine.hooks.capture import capture
from workers.engine.progress import Progress, Stopped
from workers.engine.specs.activations import SINK_FACTOR, ActivationCacheInputs, ActivationCacheSpec
from workers.engine.specs.errors import BadArtifact, DiskFull, EngineError

T = 16
N = 70
SINK_ID = 399
"""A token whose embedding the tests blow up; it occurs nowhere but where they put it."""


@pytest.fixture
def tokens_NT():
    return np.random.default_rng(0).integers(2, SINK_ID, (N, T), dtype=np.int32)


def tokenization(folder, tokens_NT):
    """A tokenization of `tokens_NT`, with a tenth of the contexts held out too."""
    for part, tokens in (("train", tokens_NT), ("heldout", tokens_NT[: len(tokens_NT) // 10])):
        contexts_write(folder, part, tokens, np.zeros(len(tokens), np.int64))
    return folder


def run(tmp_path, tokens_NT, *, family="llama", progress=None, model_dir=None, more=(), **options):
    """Cache `tokens_NT` of a tiny model; returns the result and the open cache."""
    folder = tokenization(tmp_path / "tokenization", tokens_NT)
    out = tmp_path / "out"
    out.mkdir(parents=True, exist_ok=True)
    inputs = ActivationCacheInputs(
        job_dir=str(tmp_path),
        out_dir=str(out),
        tokenization_dirs=(str(folder), *map(str, more)),
        model_dir=str(model_dir or tiny_model_folder(tmp_path, family)),
    )
    options = {"layer": 1, "site": "resid_post", "lm_dtype": "float32"} | options
    spec = ActivationCacheSpec(tokenization=1, language_model=1, **options)
    result = activation_cache(spec, inputs, progress or Progress())
    return spec, result, ActivationCache.open(out)


def captured(tmp_path, family, tokens_NT, site, dtype=torch.float32):
    model = AutoModelForCausalLM.from_pretrained(tmp_path / family, dtype=dtype)
    return capture(model, torch.from_numpy(tokens_NT).long(), site)


@pytest.mark.parametrize("family", FAMILIES)
def test_cached_rows_equal_a_direct_capture(tmp_path, tokens_NT, family):
    spec, result, cache = run(tmp_path, tokens_NT, family=family, batch_contexts=16)
    x_NTD = captured(tmp_path, family, tokens_NT, spec.hook_site)
    expected = x_NTD[:, 1:].flatten(0, 1)
    expected = expected[expected.norm(dim=-1) <= result.sink_threshold]
    assert result.sink_tokens + len(expected) == N * (T - 1)
    assert torch.allclose(cache.rows(torch.arange(cache.tokens)).float(), expected, rtol=8e-3, atol=1e-4)
    assert torch.allclose(cache.mean, expected.mean(0), atol=1e-3)


def test_the_threshold_is_a_multiple_of_the_median_norm_without_position_0(tmp_path, tokens_NT):
    spec, result, _ = run(tmp_path, tokens_NT)
    norms = captured(tmp_path, "llama", tokens_NT, spec.hook_site)[:, 1:].norm(dim=-1).numpy()
    middle = np.sort(norms, axis=None)[(norms.size - 1) // 2]
    assert result.median_norm == pytest.approx(middle, rel=1e-4)
    assert result.sink_threshold == pytest.approx(SINK_FACTOR * middle, rel=1e-4)


def test_the_threshold_depends_neither_on_batches_nor_on_how_much_is_kept(tmp_path, tokens_NT, monkeypatch):
    monkeypatch.setattr(sinks, "SAMPLE_TOKENS", 20 * (T - 1))
    found = set()
    for batch_contexts, max_tokens in ((3, 1120), (16, 1120), (70, 1000), (7, 1000)):
        (folder := tmp_path / f"{batch_contexts}").mkdir()
        _, result, _ = run(folder, tokens_NT, batch_contexts=batch_contexts, max_tokens=max_tokens)
        assert result.sink_sample_contexts == 20
        found.add(round(result.median_norm, 4))
    assert len(found) == 1


def test_sorted_and_shuffled_text_have_the_same_threshold_and_the_same_kinds_of_tokens(tmp_path):
    """Half of the contexts have tokens three times as long as the other half's."""
    folder = tiny_model_folder(tmp_path, "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.get_input_embeddings().weight[200:] *= 3
    model.save_pretrained(folder)
    random = np.random.default_rng(0)
    halves = [random.integers(*ids, (1200, T), dtype=np.int32) for ids in ((2, 200), (200, SINK_ID))]
    orders = {"sorted": np.concatenate(halves), "shuffled": random.permutation(np.concatenate(halves))}
    found = {}
    for name, tokens in orders.items():
        (folder_of := tmp_path / name).mkdir()
        options = {"model_dir": folder, "batch_contexts": 256, "layer": 0, "site": "resid_pre", "max_tokens": 8000}
        _, found[name], cache = run(folder_of, tokens, **options)
        assert cache.tokens == 500 * (T - 1)
        share_long = (
            (cache.rows(torch.arange(cache.tokens)).float().norm(dim=1) > found[name].median_norm).float().mean()
        )
        assert share_long == pytest.approx(0.5, abs=0.07)
    assert found["sorted"].sink_threshold == pytest.approx(found["shuffled"].sink_threshold, rel=0.2)


def test_position_0_and_planted_sinks_are_counted_and_absent(tmp_path, tokens_NT):
    folder = tiny_model_folder(tmp_path, "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.get_input_embeddings().weight[SINK_ID] *= 1000
    model.save_pretrained(folder)
    planted = [(3, 5), (3, 9), (40, 1), (69, 15)]
    for row, column in [*planted, (8, 0)]:
        tokens_NT[row, column] = SINK_ID
    _, result, cache = run(tmp_path, tokens_NT, model_dir=folder)
    assert result.sink_tokens == len(planted)
    assert result.first_positions == N
    assert result.tokens == cache.tokens == N * T - N - len(planted)
    assert cache.rows(torch.arange(cache.tokens)).float().norm(dim=-1).max() <= result.sink_threshold * 1.01


def test_every_run_token_is_kept_or_counted(tmp_path, tokens_NT):
    _, result, _ = run(tmp_path, tokens_NT, max_tokens=1000)
    assert result.contexts == 1000 // T
    assert result.tokens_run == result.contexts * T
    assert result.tokens + result.first_positions + result.sink_tokens == result.tokens_run


def test_another_site_and_another_layer_give_other_activations(tmp_path, tokens_NT):
    hashes = set()
    for number, options in enumerate(({}, {"layer": 2}, {"site": "mlp_out"}, {"lm_dtype": "bfloat16"})):
        (folder := tmp_path / str(number)).mkdir()
        hashes.add(run(folder, tokens_NT, **options)[1].activations_sha256)
    assert len(hashes) == 4


def test_the_same_options_give_the_same_bits(tmp_path, tokens_NT):
    hashes = set()
    for number in range(2):
        (folder := tmp_path / str(number)).mkdir()
        hashes.add(run(folder, tokens_NT)[1].activations_sha256)
    assert len(hashes) == 1


def test_the_cache_holds_its_own_numbers(tmp_path, tokens_NT):
    _, result, cache = run(tmp_path, tokens_NT)
    assert json.loads((tmp_path / "out" / "cache.json").read_text()) == result.to_json()
    assert cache.sink_threshold == result.sink_threshold and cache.d_in == D_MODEL


def test_progress_counts_tokens_and_tells_the_speed(tmp_path, tokens_NT):
    progress = Progress()
    run(tmp_path, tokens_NT, progress=progress)
    last = [line for line in progress.lines if line.get("phase") == "Caching activations"][-1]
    assert (last["done"], last["total"], last["unit"]) == (N * T, N * T, "tokens")
    assert last["message"].endswith("tokens/s")


def test_a_cancelled_run_stops_between_batches(tmp_path, tokens_NT):
    class Cancelling(Progress):
        def wish(self):
            return "cancel" if self._done > 0 else None

    with pytest.raises(Stopped):
        run(tmp_path, tokens_NT, progress=Cancelling(), batch_contexts=4)


def error_of(tmp_path, tokens_NT, **options):
    with pytest.raises(EngineError) as caught:
        run(tmp_path, tokens_NT, **options)
    return caught.value


def test_tokens_of_another_tokenizer_are_refused(tmp_path, tokens_NT):
    tokens_NT[60, 3] = VOCAB_SIZE
    assert error_of(tmp_path, tokens_NT).code == "tokenizer_mismatch"


def test_contexts_longer_than_the_model_reads_are_refused(tmp_path):
    assert error_of(tmp_path, np.full((4, 200), 5, np.int32)).code == "context_too_long"


def test_a_layer_out_of_range_is_refused(tmp_path, tokens_NT):
    assert error_of(tmp_path, tokens_NT, layer=4).code == "layer_out_of_range"


def test_a_site_that_the_model_lacks_is_refused(tmp_path, tokens_NT):
    assert error_of(tmp_path, tokens_NT, family="gpt_neox", site="resid_mid").code == "no_such_site"


def test_an_empty_tokenization_is_refused(tmp_path):
    assert isinstance(error_of(tmp_path, np.zeros((0, T), np.int32)), BadArtifact)


def test_a_missing_model_is_refused(tmp_path, tokens_NT):
    assert isinstance(error_of(tmp_path, tokens_NT, model_dir=tmp_path / "nowhere"), BadArtifact)


def test_numbers_that_are_not_finite_are_refused(tmp_path, tokens_NT):
    folder = tiny_model_folder(tmp_path, "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.model.layers[0].mlp.down_proj.weight[0, 0] = math.nan
    model.save_pretrained(folder)
    error = error_of(tmp_path, tokens_NT, model_dir=folder)
    assert error.code == "activations_not_finite"
    assert "at 1.resid_post: tokenization tokenization, context 0, position 0" in error.message


def test_the_context_with_the_first_number_that_is_not_finite_is_named(tmp_path, tokens_NT):
    folder = tiny_model_folder(tmp_path, "llama")
    model = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.get_input_embeddings().weight[SINK_ID] = math.inf
    model.save_pretrained(folder)
    tokens_NT[33, 7] = SINK_ID
    assert "tokenization tokenization, context 33," in error_of(tmp_path, tokens_NT, model_dir=folder).message


def test_a_paired_cache_has_the_output_of_the_mlp_for_every_input(tmp_path, tokens_NT):
    spec, result, cache = run(tmp_path, tokens_NT, site="mlp_in", is_paired=True)
    _, plain, single = run(tmp_path / "single", tokens_NT, model_dir=tmp_path / "llama", site="mlp_in")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "llama", dtype=torch.float32)
    everywhere = torch.arange(cache.tokens)
    assert torch.equal(cache.rows(everywhere), single.rows(everywhere))
    with torch.no_grad():
        expected = model.model.layers[1].mlp(captured(tmp_path, "llama", tokens_NT, spec.hook_site))
    included = captured(tmp_path, "llama", tokens_NT, spec.hook_site).norm(dim=-1) <= result.sink_threshold
    included[:, 0] = False
    assert torch.allclose(cache.targets(everywhere).float(), expected[included], rtol=8e-3, atol=1e-3)
    assert torch.allclose(cache.target_mean, expected[included].mean(0), atol=1e-3)
    assert result.target_mean_norm == pytest.approx(expected[included].norm(dim=-1).mean().item(), rel=1e-2)
    assert (result.d_out, plain.d_out) == (D_MODEL, None)
    assert cache.held_out[1].shape == cache.held_out[0].shape
    assert result.activations_sha256 != plain.activations_sha256


def test_held_out_rows_are_those_of_the_held_out_contexts(tmp_path, tokens_NT):
    spec, result, cache = run(tmp_path, tokens_NT)
    x_NTD = captured(tmp_path, "llama", tokens_NT[: N // 10], spec.hook_site)
    expected = x_NTD[:, 1:].flatten(0, 1)
    expected = expected[expected.norm(dim=-1) <= result.sink_threshold]
    rows, targets = cache.held_out
    assert targets is None and len(rows) == result.held_out_tokens == len(expected)
    assert torch.allclose(rows.float(), expected, rtol=8e-3, atol=1e-4)


def test_an_older_cache_without_held_out_rows_opens(tmp_path, tokens_NT):
    run(tmp_path, tokens_NT)
    numbers = json.loads((tmp_path / "out" / "cache.json").read_text())
    for name in ("d_out", "target_mean_norm", "held_out_tokens", "quantization"):
        del numbers[name]
    (tmp_path / "out" / "cache.json").write_text(json.dumps(numbers))
    (tmp_path / "out" / "held-out.safetensors").unlink()
    assert ActivationCache.open(tmp_path / "out").held_out is None


def kept_of_eight(count):
    """The contexts of the first text that a cache takes, in the order in which they lie."""
    return sorted(np.random.default_rng((sinks.SAMPLE_SEED, 0, 0)).permutation(8)[:count].tolist())


@pytest.mark.parametrize(
    "options, pattern",
    [
        ({"mixing": "sequential"}, [0] * 8 + [1] * 4),
        ({"mixing": "interleaved"}, [0, 1, 0, 0, 1, 0] * 2),
        ({"mixing": "weighted", "mixing_weights": (1.0, 1.0)}, [0, 1] * 4),
    ],
)
def test_several_tokenizations_are_mixed_as_asked(tmp_path, tokens_NT, options, pattern):
    more = tokenization(tmp_path / "second", tokens_NT[40:44])
    spec, result, cache = run(
        tmp_path, tokens_NT[:8], more=[more], more_tokenizations=(2,), batch_contexts=3, **options
    )
    left = {0: kept_of_eight(pattern.count(0)), 1: list(range(40, 44))}
    order = [left[text].pop(0) for text in pattern]
    expected = captured(tmp_path, "llama", tokens_NT[order], spec.hook_site)[:, 1:].flatten(0, 1)
    assert (result.contexts, result.sink_tokens) == (len(pattern), 0)
    assert torch.allclose(cache.rows(torch.arange(cache.tokens)).float(), expected, rtol=8e-3, atol=1e-4)


def test_tokenizations_of_other_context_lengths_are_not_mixed(tmp_path, tokens_NT):
    more = tokenization(tmp_path / "second", tokens_NT[:, :9])
    error = error_of(tmp_path, tokens_NT, more=[more], more_tokenizations=(2,))
    assert error.code == "context_lengths_differ"


def test_a_disk_that_is_too_full_is_noticed_before_anything_runs(tmp_path, tokens_NT, monkeypatch):
    monkeypatch.setattr("workers.engine.disk.shutil.disk_usage", lambda _: type("Usage", (), {"free": 100}))
    assert isinstance(error_of(tmp_path, tokens_NT), DiskFull)
    assert list((tmp_path / "out").iterdir()) == []


def test_the_numbers_say_how_the_language_model_was_held(tmp_path, tokens_NT):
    _, result, _ = run(tmp_path, tokens_NT)
    assert result.quantization == "fp32"
