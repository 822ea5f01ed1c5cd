"""The text source: the right rows, each once a round, in batches that come out bit-identical after a resume."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.engine.tiny_models import D_MODEL, tiny_model_folder
from tests.engine.training.worlds import random_cache, text_inputs, text_spec, text_write
from workers.engine.activations import harvest
from workers.engine.datasets.contexts import Contexts, contexts_write
from workers.engine.hooks.capture import capture_sites
from workers.engine.progress import Progress, Stopped
from workers.engine.saes.base import Batch
from workers.engine.specs.activations import SINK_FACTOR
from workers.engine.specs.errors import EngineError
from workers.engine.specs.hook_site import HookSite
from workers.engine.training import text_reading
from workers.engine.training.checkpoints import checkpoint_write
from workers.engine.training.sources import source_open

SITES = {
    "one site": {},
    "three sites": {"hook_sites": ("2.resid_post", "0.attn_z", "1.mlp_out")},
    "a transcoder": {"architecture": "transcoder"},
}


@dataclass
class World:
    model: Path
    texts: tuple[Path, ...]
    folder: Path

    def inputs(self, *texts, **known):
        return text_inputs(self.folder, self.model, *(texts or self.texts[:1]), **known)

    def source(self, *texts, progress=None, job="job", **options):
        options = {"normalize_activations": "none"} | options
        inputs = self.inputs(*texts, job=job)
        return source_open(text_spec(**options), inputs, progress or Progress())

    def rows(self, text, layer=1, part="train"):
        """What Transformers gives for the tokens but the first of each context, cut to its length: (tokens, D)."""
        model = AutoModelForCausalLM.from_pretrained(self.model, dtype=torch.float32)
        contexts = Contexts.open(text, part)
        hidden = []
        for tokens, length in zip(contexts.tokens, contexts.lengths):
            ids = torch.from_numpy(tokens[:length].astype(np.int64))[None]
            with torch.no_grad():
                hidden.append(model(ids, output_hidden_states=True).hidden_states[layer + 1][0, 1:])
        return torch.cat(hidden)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    texts = (text_write(folder / "first"), text_write(folder / "second", seed=1, contexts=40))
    return World(tiny_model_folder(folder, "llama"), texts, folder)


def taken(source, first, last):
    """Batches of the steps first … last - 1; normalised copies, so later ones do not write over them."""
    return [source.batches(step) for step in range(first, last)]


def are_same(first: list[tuple[Batch, ...]], second: list[tuple[Batch, ...]]) -> bool:
    """Bit-identical."""
    pairs = [(a, b) for x, y in zip(first, second, strict=True) for a, b in zip(x, y, strict=True)]
    return all(torch.equal(a.x_BD, b.x_BD) and torch.equal(a.y_BE, b.y_BE) for a, b in pairs)


def multiset(rows: torch.Tensor) -> np.ndarray:
    """Rows in an order of their own."""
    found = rows.bfloat16().float().numpy()
    return found[np.lexsort(found.T)]


@pytest.mark.parametrize("buffer_tokens", [1024, 4096])
def test_a_round_serves_every_token_but_the_first_of_each_context_once(world, buffer_tokens):
    expected = world.rows(world.texts[0])
    rounds, size = 3, 10
    usable = len(expected) // size * size
    assert usable == len(expected), "the world is made so that batches end with the round"
    steps = rounds * len(expected) // size
    source = world.source(batch_size=size, steps=steps, buffer_tokens=buffer_tokens)
    stream = torch.cat([batch.x_BD for (batch,) in taken(source, 0, steps)])
    for part in stream.split(len(expected)):
        assert np.allclose(multiset(part), multiset(expected), rtol=1e-2, atol=1e-2)
    first, second, _ = stream.split(len(expected))
    assert not torch.equal(first, second)
    assert source.epochs(steps) == pytest.approx(rounds)


def test_no_place_behind_a_last_token_and_no_first_position_is_served(world):
    source = world.source(batch_size=64, steps=40)
    rows = torch.cat([batch.x_BD for (batch,) in taken(source, 0, 40)])
    expected = world.rows(world.texts[0])
    distance = torch.cdist(rows, expected.bfloat16().float()).min(dim=1).values
    assert distance.max() < 0.05


@pytest.mark.parametrize("sites", SITES)
@pytest.mark.parametrize("mixing", ["sequential", "interleaved", "weighted"])
def test_batches_after_a_load_are_the_same_to_the_bit(world, sites, mixing):
    options = SITES[sites] | {"mixing": mixing, "more_tokenizations": (2,), "batch_size": 96, "steps": 60}
    options |= {"mixing_weights": (1.0, 2.0)} if mixing == "weighted" else {}
    whole = world.source(*world.texts, **options)
    expected, kept = [], {}
    for step in range(60):
        kept[step] = {name: tensor.clone() for name, tensor in whole.tensors().items()}
        expected.append(whole.batches(step))
    # 60 × 96 rows are two to four rounds of blocks of 1024
    for step in (0, 1, 9, 10, 11, 21, 26, 27, 45, 59):
        resumed = world.source(*world.texts, **options)
        resumed.load(kept[step], step)
        assert are_same(taken(resumed, step, min(step + 14, 60)), expected[step : step + 14]), step


def test_a_text_that_is_one_block_resumes_in_any_round(world):
    options = {"buffer_tokens": 65_536, "batch_size": 100, "steps": 80}
    whole = world.source(**options)
    expected, kept = [], {}
    for step in range(80):
        kept[step] = whole.tensors()
        expected.append(whole.batches(step))
    for step in (3, 16, 17, 40, 79):
        resumed = world.source(**options)
        resumed.load(kept[step], step)
        assert are_same(taken(resumed, step, 80), expected[step:]), step


def test_a_text_that_is_one_block_is_harvested_once(world, monkeypatch):
    passes = counted(monkeypatch)
    source = world.source(buffer_tokens=65_536, batch_size=100, steps=80, batch_contexts=8)
    passes.clear()
    taken(source, 0, 80)
    assert len(passes) == 10  # 80 contexts


def counted(monkeypatch) -> list[int]:
    """Grows by one with every forward pass."""
    passes = []
    monkeypatch.setattr(harvest, "capture_sites", lambda *args: passes.append(1) or capture_sites(*args))
    return passes


def test_no_step_but_the_first_waits_for_a_block_and_nothing_is_read_that_is_not_trained_on(world, monkeypatch):
    source = world.source(*world.texts, batch_size=64, steps=60, batch_contexts=4)
    passes, each = counted(monkeypatch), []
    for step in range(60):
        passes.clear()
        source.batches(step)
        each.append(len(passes))
    assert each[0] > 8  # a whole block
    assert max(each[1:]) <= 3
    contexts = 4 * sum(each)
    assert contexts * 21 < 60 * 64 * 1.1


def test_values_are_those_of_transformers_at_every_site(world):
    model = AutoModelForCausalLM.from_pretrained(world.model, dtype=torch.float32)
    source = world.source(**SITES["a transcoder"], batch_size=128, steps=4)
    (batch,) = source.batches(0)
    with torch.no_grad():
        expected = model.model.layers[1].mlp(batch.x_BD)
    assert torch.allclose(batch.y_BE, expected, rtol=3e-2, atol=3e-2)  # x was rounded to bfloat16, and so was y
    assert (source.sites[0].d_in, source.sites[0].d_out) == (D_MODEL, D_MODEL)


def test_all_sites_see_the_same_tokens(world):
    source = world.source(hook_sites=("1.resid_post", "2.resid_pre"), batch_size=64, steps=20)
    for first, second in taken(source, 0, 20):
        assert torch.equal(first.x_BD, second.x_BD)  # two names of one place
        assert first.y_BE is first.x_BD


@pytest.mark.parametrize("how", ["expected_average_only_in", "constant_norm_rescale", "layer_norm", "none"])
def test_normalisation_and_means_are_those_of_the_text(world, how):
    x = world.rows(world.texts[0]).bfloat16().float()
    source = world.source(normalize_activations=how, batch_size=len(x), steps=1, buffer_tokens=4096)
    site = source.sites[0]
    (batch,) = source.batches(0)
    norms = batch.x_BD.norm(dim=1)
    if how == "expected_average_only_in":
        assert site.factor == pytest.approx(D_MODEL**0.5 / x.norm(dim=1).mean().item(), rel=1e-3)
        assert norms.mean().item() == pytest.approx(D_MODEL**0.5, rel=1e-2)
    else:
        assert site.factor == 1.0
    if how == "constant_norm_rescale":
        assert torch.allclose(norms, torch.full_like(norms, D_MODEL**0.5), rtol=1e-4)
    if how == "layer_norm":
        assert batch.x_BD.mean(1).abs().max() < 1e-5
        assert torch.allclose(batch.x_BD.std(1), torch.ones(len(norms)), rtol=1e-3)
    assert torch.allclose(site.mean_D, batch.x_BD.mean(0), atol=0.02 * batch.x_BD.abs().max())
    assert site.sink_threshold == pytest.approx(SINK_FACTOR * x.norm(dim=1).median().item(), rel=1e-3)


def test_targets_of_a_transcoder_have_a_factor_of_their_own(world):
    source = world.source(**SITES["a transcoder"], normalize_activations="expected_average_only_in", batch_size=1000)
    (batch,), site = source.batches(0), source.sites[0]
    for part in batch:
        assert part.norm(dim=1).mean().item() == pytest.approx(D_MODEL**0.5, rel=0.05)
    assert site.factor != site.target_factor
    assert torch.allclose(site.target_mean_E, batch.y_BE.mean(0), atol=0.5)


def test_sinks_are_left_out_of_every_batch(world, tmp_path):
    text = sinks_planted(world, tmp_path)
    source = source_open(
        text_spec(normalize_activations="none", batch_size=64, steps=60),
        text_inputs(tmp_path, text.parent / "llama", text),
        Progress(),
    )
    rows = torch.cat([batch.x_BD for (batch,) in taken(source, 0, 60)])
    assert rows.norm(dim=1).max() <= source.sites[0].sink_threshold * 1.01
    assert source.effective()["sink_share"] == pytest.approx(30 / (30 * 23), rel=1e-6)


def sinks_planted(world, folder):
    """Contexts whose seventh token has an embedding a thousand times too long."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model_folder(folder, "llama"))
    with torch.no_grad():
        model.get_input_embeddings().weight[399] *= 1000
    model.save_pretrained(folder / "llama")
    tokens = np.random.default_rng(0).integers(2, 399, (30, 24))
    tokens[:, 7] = 399
    (folder / "text").mkdir()
    for part in ("train", "heldout"):
        contexts_write(folder / "text", part, tokens, np.arange(30))
    return folder / "text"


def test_held_out_rows_are_those_of_the_held_out_contexts(world):
    expected = world.rows(world.texts[0], part="heldout")
    held_out = world.source().held_out(0)
    assert torch.allclose(held_out.x_BD, expected, rtol=1e-2, atol=1e-2)
    assert held_out.y_BE is held_out.x_BD


def test_nothing_held_out_gives_none(world, tmp_path):
    contexts = Contexts.open(world.texts[0], "train")
    for part, some in (("train", contexts), ("heldout", contexts[:0])):
        contexts_write(tmp_path, part, some.tokens, some.first_row, some.lengths)
    assert world.source(tmp_path).held_out(0) is None


def test_a_resumed_run_does_not_measure_again(world, tmp_path, monkeypatch):
    spec, inputs = text_spec(), text_inputs(tmp_path, world.model, world.texts[0])
    source = source_open(spec, inputs, Progress())
    checkpoint_write(Path(inputs.job_dir) / "checkpoints", 10, {"source": source.tensors()}, {})
    monkeypatch.setattr(text_reading, "calibrate", None)
    resumed = source_open(spec, inputs, Progress())
    assert resumed.effective() == source.effective()
    assert torch.equal(resumed.sites[0].mean_D, source.sites[0].mean_D)


def test_a_number_that_is_not_finite_is_named_with_site_text_and_context(world, tmp_path):
    text = sinks_planted(world, tmp_path)
    tokens = np.array(Contexts.open(text, "train").tokens)
    tokens[:, 7] = 5
    tokens[21, 4] = 399
    contexts_write(text, "train", tokens, np.arange(30))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "llama")
    with torch.no_grad():
        model.get_input_embeddings().weight[399] = torch.nan
    model.save_pretrained(tmp_path / "llama")
    with pytest.raises(EngineError, match=r"at 1.resid_post: tokenization text, context 21, position") as caught:
        source_open(text_spec(), text_inputs(tmp_path, tmp_path / "llama", text), Progress())
    assert caught.value.code == "activations_not_finite"


def test_a_wish_ends_the_filling_of_the_first_block(world):
    class Pausing(Progress):
        def wish(self):
            return "pause" if any("filling" in line.get("message", "") for line in self.lines) else None

    source = world.source(progress=Pausing())
    with pytest.raises(Stopped):
        source.batches(0)


def test_a_text_smaller_than_a_batch_is_refused(world):
    with pytest.raises(EngineError, match="fewer than one batch of 4096"):
        world.source(batch_size=4096)


def test_the_source_is_the_cache_when_one_is_given_to_a_run_on_text(world, tmp_path):
    assert world.source().effective()["source"] == "text"
    cached = world.inputs(cache_dir=str(random_cache(tmp_path / "cache")), hook_site="1.resid_post")
    assert source_open(text_spec(), cached, Progress()).effective()["source"] == "cache"


def test_a_seed_decides_the_order_and_nothing_that_is_measured(world):
    first, second = world.source(seed=0), world.source(seed=1)
    assert first.sites[0].factor == second.sites[0].factor
    assert torch.equal(first.sites[0].mean_D, second.sites[0].mean_D)
    assert not are_same(taken(first, 0, 1), taken(second, 0, 1))


def test_hook_sites_come_in_the_order_of_the_spec(world):
    source = world.source(**SITES["three sites"])
    assert [str(site.hook_site) for site in source.sites] == ["2.resid_post", "0.attn_z", "1.mlp_out"]
    assert HookSite.parse("0.attn_z") == source.sites[1].hook_site
