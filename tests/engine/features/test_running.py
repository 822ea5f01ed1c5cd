"""A whole feature run on tiny models, against NumPy on Transformers' own hidden states."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from tests.engine.saes.worlds import random_sae
from tests.engine.tiny_models import tiny_model_folder, tiny_tokenizer
from workers.engine.datasets.contexts import contexts_write
from workers.engine.features import describing, firings, neighbours, reading, running
from workers.engine.features.running import feature_run
from workers.engine.formats.saelens import sae_write
from workers.engine.language_models.vocabulary import vocabulary_write
from workers.engine.progress import Progress, Stopped
from workers.engine.saes.sae import Sae
from workers.engine.specs.encode import EncodeSpec
from workers.engine.specs.errors import BadArtifact, EngineError
from workers.engine.specs.features import FeatureRunInputs, FeatureRunSpec, Peculiarity
from workers.engine.specs.hook_site import HookSite

D, F, K, T = 32, 48, 4, 24
TRAIN, HELDOUT = 40, 9
DEAD = 7
SPEC = FeatureRunSpec(
    sae=1, tokenization=1, max_tokens=2000, top_examples=5, quantile_groups=3, quantile_examples=2, zero_examples=4,
    near_misses=3, top_tokens=6, neighbours=5,
    window_before=6, window_after=3, logit_tokens=8, lm_dtype="float32", batch_contexts=7,
)  # fmt: skip


def _sae(architecture, site, sink_threshold):
    generator = torch.Generator().manual_seed(5)
    W_dec = torch.nn.functional.normalize(torch.randn(F, D, generator=generator), dim=-1)
    b_enc = 0.1 * torch.randn(F, generator=generator) - (1.0 if architecture == "standard" else 0.0)
    b_enc[DEAD] = -1e6
    spec = EncodeSpec(
        architecture=architecture, d_in=D, d_sae=F, k=K if architecture == "topk" else None,
        hook_site=site, sink_threshold=sink_threshold,
        rescale_acts_by_decoder_norm=architecture == "topk",
    )  # fmt: skip
    return Sae(
        W_enc=W_dec.T.contiguous(), b_enc=b_enc, W_dec=W_dec, b_dec=0.1 * torch.randn(D, generator=generator),
        encode_spec=spec,
    )  # fmt: skip


def files_read(folder):
    return {path.stem: load_file(path) for path in sorted(folder.glob("*.safetensors"))}


class World:
    """One run with everything around it, and the truth about it as dense NumPy arrays."""

    def __init__(self, folder, family="llama", architecture="topk", layer=1):
        self.folder = folder
        self.model_dir = tiny_model_folder(folder, family)
        size = vocabulary_write(tiny_tokenizer(), self.model_dir)
        tokens = np.random.default_rng(0).integers(2, size, (TRAIN + HELDOUT, T), dtype=np.int32)
        tokens[:, 0] = 0
        self.tokens = tokens
        contexts_write(folder, "train", tokens[:TRAIN], np.arange(TRAIN))
        contexts_write(folder, "heldout", tokens[TRAIN:], np.arange(HELDOUT))
        self.model = AutoModelForCausalLM.from_pretrained(self.model_dir, dtype=torch.float32)
        with torch.no_grad():
            hidden = self.model(torch.tensor(tokens).long(), output_hidden_states=True).hidden_states[layer + 1]
        x = hidden.numpy().astype(np.float64)
        norms = np.linalg.norm(x, axis=-1)
        self.threshold = float(np.quantile(norms[:, 1:], 0.95))
        self.sae = _sae(architecture, HookSite(layer=layer, site="resid_post"), self.threshold)
        sae_write(self.sae, folder / "sae")
        self.is_included = norms <= self.threshold
        self.is_included[:, 0] = False
        self.dense = np.where(self.is_included[..., None], self._encode(x), 0)

    def _encode(self, x):
        W_enc, b_enc, b_dec = (getattr(self.sae, n).numpy().astype(np.float64) for n in ("W_enc", "b_enc", "b_dec"))
        pre = (x - b_dec) @ W_enc + b_enc
        if self.sae.encode_spec.k is not None:
            kth = np.sort(pre, axis=-1)[..., -K, None]
            pre = np.where(pre >= kth, pre, 0)
        return np.maximum(pre, 0)

    def run(self, spec=SPEC, progress=None, name="out", saes=("sae",)):
        """The result and the files of the first SAE."""
        out = self.folder / name
        out.mkdir(exist_ok=True)
        inputs = FeatureRunInputs(
            job_dir=str(self.folder / f"{name}-job"), out_dir=str(out),
            sae_dirs=tuple(str(self.folder / sae) for sae in saes), tokenization_dir=str(self.folder),
            model_dir=str(self.model_dir),
        )  # fmt: skip
        return feature_run(spec, inputs, progress or Progress()), files_read(out / "sae-00")


@pytest.fixture(scope="module", params=[("llama", "topk"), ("gpt2", "standard")], ids=["topk", "standard"])
def finished(request, tmp_path_factory):
    world = World(tmp_path_factory.mktemp("world"), *request.param)
    return world, *world.run()


def test_statistics_are_those_of_the_dense_activations(finished):
    world, result, files = finished
    included = world.dense[world.is_included]
    found = files["statistics"]
    described = result.saes[0]
    assert (described.tokens, result.contexts, described.d_sae) == (len(included), TRAIN + HELDOUT, F)
    assert described.alive == (included > 0).any(0).sum() < F
    fires = (included > 0).any(0)
    assert described.mean_density == pytest.approx((included > 0).mean(0)[fires].mean(), rel=1e-5)
    assert described.mean_score == pytest.approx(found["score"][fires].mean(), rel=1e-5)
    assert described.readable == (found["score"] > 0.5).sum()
    np.testing.assert_array_equal(found["count"], (included > 0).sum(0))
    np.testing.assert_allclose(found["density"], (included > 0).mean(0), rtol=1e-6)
    np.testing.assert_allclose(
        found["mean"], included.sum(0) / np.maximum((included > 0).sum(0), 1), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(found["second_moment"], (included**2).mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found["maximum"], included.max(0), rtol=1e-4, atol=1e-6)
    assert found["histogram"].shape == (F, 50)
    np.testing.assert_array_equal(found["histogram"].sum(1), found["count"])


def test_every_window_shows_its_own_tokens_and_activations(finished):
    world, _, files = finished
    examples = files["examples"]
    filled = np.argwhere(examples["context"] >= 0)
    assert len(filled) > F
    for latent, slot in filled:
        context, ids = examples["context"][latent, slot], examples["token_ids"][latent, slot]
        activations, value = examples["activations"][latent, slot], examples["peak_value"][latent, slot]
        row = world.dense[context, :, latent]
        centres = [t for t in range(T) if _ids_around(world.tokens[context], t) == ids.tolist()]
        matching = [t for t in centres if np.allclose(_values_around(row, t), activations, rtol=2e-3, atol=1e-3)]
        assert matching, (latent, slot)
        assert any(np.isclose(row[t], value, rtol=1e-4, atol=1e-5) for t in matching)
        assert examples["peak"][latent, slot] == SPEC.window_before


def _ids_around(row, t):
    return [int(row[u]) if 0 <= u < T else -1 for u in range(t - SPEC.window_before, t + SPEC.window_after + 1)]


def _values_around(row, t):
    return [row[u] if 0 <= u < T else 0 for u in range(t - SPEC.window_before, t + SPEC.window_after + 1)]


def test_top_examples_are_the_contexts_with_the_highest_peaks(finished):
    world, _, files = finished
    examples = files["examples"]
    for latent in range(F):
        peaks = np.sort(world.dense[:, :, latent].max(1))[::-1][:5]
        found = examples["peak_value"][latent, :5]
        np.testing.assert_allclose(found, peaks, rtol=1e-4, atol=1e-5)
        assert ((examples["context"][latent, :5] >= 0) == (peaks > 0)).all()


def test_zero_examples_are_silent_and_quantile_examples_are_not(finished):
    _, _, files = finished
    examples = files["examples"]
    assert examples["group"].tolist() == [0] * 5 + [1, 1, 2, 2, 3, 3] + [-1] * 4 + [-2] * 3
    assert not examples["activations"][:, examples["group"] < 0].any()
    is_filled = (examples["context"] >= 0)[:, 5:11]
    assert (examples["peak_value"][:, 5:11][is_filled] > 0).all()


def test_a_dead_latent_has_empty_slots_and_zeros(finished):
    _, _, files = finished
    assert (files["examples"]["context"][DEAD] == -1).all()
    assert (files["examples"]["token_ids"][DEAD] == -1).all()
    assert files["statistics"].pop("peculiarity")[DEAD] == Peculiarity.DEAD
    assert all(not values[DEAD].any() for values in files["statistics"].values())
    assert (files["tokens"]["ids"][DEAD] == -1).all()
    assert (files["neighbours"]["coactive_ids"][DEAD] == -1).all()


def test_logit_lists_are_the_ends_of_the_sorted_product(finished):
    world, _, files = finished
    unembedding = world.model.get_output_embeddings().weight.detach().numpy()[: len(tiny_tokenizer())]
    logits = world.sae.W_dec.numpy() @ unembedding.T
    order = np.argsort(-logits, axis=1)
    np.testing.assert_array_equal(files["logits"]["promoted_ids"], order[:, :8])
    np.testing.assert_array_equal(files["logits"]["suppressed_ids"], order[:, ::-1][:, :8])
    values = np.take_along_axis(logits, order[:, ::-1][:, :8], 1)
    np.testing.assert_allclose(files["logits"]["suppressed_values"], values, rtol=1e-4, atol=1e-5)


def test_top_tokens_are_those_of_a_count_over_all_firings(finished):
    world, _, files = finished
    tokens = world.tokens[world.is_included]
    for latent in range(0, F, 5):
        values = world.dense[world.is_included][:, latent]
        ids, counts = np.unique(tokens[values > 0], return_counts=True)
        order = np.lexsort((ids, -counts))[:6]
        found = {name: rows[latent] for name, rows in files["tokens"].items()}
        n = len(order)
        np.testing.assert_array_equal(found["ids"][:n], ids[order])
        np.testing.assert_array_equal(found["counts"][:n], counts[order])
        assert (found["ids"][n:] == -1).all()
        for place, token in enumerate(ids[order]):
            own = values[(tokens == token) & (values > 0)]
            assert found["means"][place] == pytest.approx(own.mean(), rel=1e-4)
            assert found["maxima"][place] == pytest.approx(own.max(), rel=1e-4)


def test_scores_are_between_0_and_1_and_their_sum_is_weighted_as_said(finished):
    found = finished[2]["statistics"]
    for name in ("consistency", "concentration", "agreement", "score"):
        assert (found[name] >= 0).all() and (found[name] <= 1).all()
    total = found["agreement"] / 2 + (found["consistency"] + found["concentration"]) / 4
    np.testing.assert_allclose(found["score"], total, atol=1e-6)
    counts, firings = finished[2]["tokens"]["counts"][:, 0], found["count"]
    np.testing.assert_allclose(found["concentration"], counts / np.maximum(firings, 1), atol=1e-6)


def test_neighbours_are_nearest_by_direction_and_by_what_fires_together(finished):
    world, _, files = finished
    found, fires = files["neighbours"], world.dense[world.is_included] > 0
    unit = world.sae.W_dec.numpy()
    cosines = unit @ unit.T - 2 * np.eye(F)
    np.testing.assert_allclose(found["similar_cosines"], np.sort(cosines, 1)[:, ::-1][:, :5], atol=1e-5)
    np.testing.assert_allclose(
        np.take_along_axis(cosines, found["similar_ids"], 1), found["similar_cosines"], atol=1e-5
    )
    together = fires.T.astype(np.float64) @ fires
    n = np.maximum(fires.sum(0), 1)
    coactive = together / np.sqrt(np.outer(n, n))
    np.fill_diagonal(coactive, 0)
    np.testing.assert_allclose(found["coactive_cosines"], np.sort(coactive, 1)[:, ::-1][:, :5], atol=1e-5)
    for latent, other in np.argwhere(found["coactive_ids"] >= 0)[::7]:
        beside = found["coactive_ids"][latent, other]
        assert found["coactive_shares"][latent, other] == pytest.approx(together[latent, beside] / n[latent], rel=1e-5)


def test_the_folder_holds_what_the_contract_names_and_nothing_else(finished):
    world, result, files = finished
    out = world.folder / "out" / "sae-00"
    names = {"statistics", "tokens", "examples", "neighbours", "logits"}
    assert {path.name for path in out.iterdir()} == {f"{name}.safetensors" for name in names} | {
        "vocabulary.parquet",
        "names.arrow",
    }
    assert list((world.folder / "out-job").iterdir()) == []
    assert result.saes[0].bytes == sum(path.stat().st_size for path in out.iterdir())
    types = {name: str(tensor.dtype) for name, tensor in files["examples"].items()}
    assert types == {
        "token_ids": "int32", "activations": "float16", "peak": "int16", "peak_value": "float32",
        "context": "int32", "group": "int8",
    }  # fmt: skip


def test_fewer_tokens_read_fewer_contexts_of_the_training_part_first(tmp_path):
    world = World(tmp_path)
    result, files = world.run(FeatureRunSpec.from_json({**SPEC.to_json(), "max_tokens": 1000}))
    assert result.contexts == 42
    np.testing.assert_array_equal(running.contexts_to_read(tmp_path, 1000).tokens, world.tokens[:42])
    assert files["examples"]["context"].max() < 42


def test_large_activations_are_kept_in_float32(tmp_path, monkeypatch):
    monkeypatch.setattr(describing, "LARGEST_HALF", 0.1)
    _, files = World(tmp_path).run()
    assert files["examples"]["activations"].dtype == np.float32


def test_at_attn_z_directions_go_through_the_output_projection(tmp_path):
    world = World(tmp_path, "gpt2", "standard")
    sae_write(_sae("standard", HookSite(layer=1, site="attn_z"), None), tmp_path / "sae")
    _, files = world.run()
    with torch.no_grad():
        projected = world.sae.W_dec @ world.model.transformer.h[1].attn.c_proj.weight
    logits = projected.numpy() @ world.model.lm_head.weight.detach().numpy()[: len(tiny_tokenizer())].T
    np.testing.assert_array_equal(files["logits"]["promoted_ids"][:, 0], logits.argmax(1))


def test_a_tokenization_of_another_model_and_a_missing_vocabulary_are_refused(tmp_path):
    world = World(tmp_path)
    foreign = world.tokens.copy()
    foreign[3, 4] = 100_000
    contexts_write(tmp_path, "train", foreign, np.arange(len(foreign)))
    with pytest.raises(EngineError, match="100000"):
        world.run()
    (world.model_dir / "vocabulary.parquet").unlink()
    with pytest.raises(BadArtifact, match="vocabulary cannot be read"):
        world.run()


def test_a_transcoder_fires_on_what_it_reads_and_writes_where_it_answers(tmp_path):
    world = World(tmp_path)
    mlp_in, mlp_out = HookSite(layer=1, site="mlp_in"), HookSite(layer=1, site="mlp_out")
    sae = random_sae("transcoder", d_in=D, d_sae=F, d_out=D, hook_site=mlp_in, hook_site_out=mlp_out)
    sae = sae.with_unit_decoder()
    sae_write(sae, tmp_path / "sae")
    seen = []
    hook = world.model.model.layers[1].mlp.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    with torch.no_grad():
        world.model(torch.tensor(world.tokens).long())
    hook.remove()
    _, files = world.run()
    dense = sae.encode(seen[0][:, 1:]).flatten(0, 1).numpy()
    np.testing.assert_allclose(files["statistics"]["count"], (dense > 0).sum(0), atol=1)
    np.testing.assert_allclose(files["statistics"]["maximum"], dense.max(0), rtol=1e-3, atol=1e-4)
    logits = sae.W_dec @ world.model.get_output_embeddings().weight.detach()[: len(tiny_tokenizer())].T
    np.testing.assert_allclose(
        files["logits"]["promoted_values"], logits.topk(SPEC.logit_tokens).values.numpy(), rtol=1e-3, atol=1e-5
    )


class Interrupting(Progress):
    """Wishes an interruption, or something else, once `after` tokens are read."""

    def __init__(self, after, wish="interrupt"):
        super().__init__()
        self._after, self._wished = after, wish

    def wish(self):
        return self._wished if self._name == "Reading contexts" and self._done >= self._after else None


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, tensors in first.items():
        for key, values in tensors.items():
            np.testing.assert_array_equal(values, second[name][key], err_msg=f"{name}.{key}")


def test_a_run_that_was_stopped_goes_on_and_ends_with_the_same_files(tmp_path):
    world = World(tmp_path)
    _, whole = world.run()
    with pytest.raises(Stopped, match="interrupt"):
        world.run(progress=Interrupting(300), name="stopped")
    progress = Progress()
    result, resumed = world.run(progress=progress, name="stopped")
    assert any("Resumed after" in line.get("text", "") for line in progress.lines)
    assert result.contexts == TRAIN + HELDOUT
    assert_same(whole, resumed)


def test_results_do_not_depend_on_how_many_latents_are_worked_on_together(finished, monkeypatch):
    world, _, files = finished
    monkeypatch.setattr(firings, "READ_FIRINGS", 300)
    monkeypatch.setattr(firings, "WORKED_FIRINGS", 100)
    monkeypatch.setattr(firings, "WORKED_LATENTS", 3)
    monkeypatch.setattr(firings, "FILES", 5)
    monkeypatch.setattr(neighbours, "CHUNK_COSINES", 10 * F)
    monkeypatch.setattr(neighbours, "SMALLEST_CHUNK", 1)
    _, found = world.run(name="other-ranges")
    assert_same(files, found)


def test_a_run_that_is_asked_to_finish_describes_what_it_has_read(tmp_path):
    world, progress = World(tmp_path), Interrupting(300, "finish")
    result, files = world.run(progress=progress, name="early")
    assert any("Finished early" in line.get("text", "") for line in progress.lines)
    read = result.contexts
    assert 300 <= result.tokens_read == read * T < world.tokens.size
    included = world.dense[:read][world.is_included[:read]]
    assert result.saes[0].tokens == len(included)
    np.testing.assert_array_equal(files["statistics"]["count"], (included > 0).sum(0))
    assert files["examples"]["context"].max() < read


def test_a_run_killed_while_it_writes_goes_on_from_the_noted_place(tmp_path, monkeypatch):
    world = World(tmp_path)
    _, whole = world.run()
    with pytest.raises(Stopped):
        world.run(progress=Interrupting(300), name="killed")
    for path in (tmp_path / "killed-job" / "reading" / "sae-00").iterdir():
        path.write_bytes(path.read_bytes() + b"\x01" * 16)  # more was written than was noted
    _, resumed = world.run(name="killed")
    assert_same(whole, resumed)


def test_files_of_another_spec_are_not_taken_up(tmp_path):
    world = World(tmp_path)
    other = FeatureRunSpec.from_json({**SPEC.to_json(), "max_tokens": 1000})
    _, whole = world.run(other)
    with pytest.raises(Stopped):
        world.run(progress=Interrupting(300), name="other")
    _, found = world.run(other, name="other")
    assert_same(whole, found)


def test_several_saes_at_different_sites_are_each_described_as_alone(tmp_path):
    world = World(tmp_path)
    sae_write(_sae("standard", HookSite(layer=0, site="resid_post"), None), tmp_path / "second")
    result, first = world.run(name="both", saes=("sae", "second"))
    assert [described.folder for described in result.saes] == ["sae-00", "sae-01"]
    _, alone = world.run(name="one")
    _, second_alone = world.run(name="two", saes=("second",))
    assert_same(first, alone)
    assert_same(files_read(tmp_path / "both" / "sae-01"), second_alone)


def test_when_memory_runs_out_fewer_contexts_are_read_at_once_with_the_same_result(tmp_path, monkeypatch):
    world = World(tmp_path)
    _, whole = world.run()
    captured = reading.capture_sites

    def small_memory(model, ids_BT, sites):
        if len(ids_BT) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return captured(model, ids_BT, sites)

    monkeypatch.setattr(reading, "capture_sites", small_memory)
    progress = Progress()
    result, small = world.run(progress=progress, name="small")
    assert result.batch_contexts == 3
    assert any("3 are read at once" in line.get("text", "") for line in progress.lines)
    np.testing.assert_array_equal(whole["statistics"]["count"], small["statistics"]["count"])
    for name in ("mean", "maximum", "second_moment"):
        np.testing.assert_allclose(whole["statistics"][name], small["statistics"][name], rtol=1e-5, atol=1e-6)


def test_a_run_may_begin_at_a_later_context(tmp_path):
    world = World(tmp_path)
    result, files = world.run(FeatureRunSpec.from_json({**SPEC.to_json(), "first_context": 30}))
    assert result.contexts == TRAIN + HELDOUT - 30
    shown = files["examples"]["context"]
    assert shown[shown >= 0].min() >= 30
    with pytest.raises(BadArtifact, match="none from context 49"):
        world.run(FeatureRunSpec.from_json({**SPEC.to_json(), "first_context": 49}), name="none")
