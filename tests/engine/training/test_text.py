"""Training on text, through a language model while it goes on: the same promises as on a cache."""

import json
from pathlib import Path

import pytest
import torch
from transformers import LlamaModel

from tests.engine.tiny_models import D_MODEL, tiny_model_folder
from tests.engine.training.worlds import (
    Wishing,
    cache_write,
    inputs,
    sae_folder,
    same,
    spec,
    text_inputs,
    text_spec,
    text_write,
    weights,
)
from workers.engine.formats.saelens import sae_read
from workers.engine.progress import Progress, Stopped
from workers.engine.saes.registry import TRAINING_SAES
from workers.engine.specs.errors import EngineError
from workers.engine.training.splice_check import SpliceCheck
from workers.engine.training.training import train

SWEEP = {"hook_sites": ("1.resid_post", "2.resid_post"), "sweep_d_sae": (40, 64)}


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    return tiny_model_folder(tmp_path_factory.mktemp("model"), "llama")


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("texts")
    return text_write(folder / "first"), text_write(folder / "second", seed=1, contexts=40)


@pytest.mark.parametrize("architecture", sorted(TRAINING_SAES))
def test_stopped_on_text_and_resumed_equals_undisturbed(architecture, model, texts, tmp_path):
    whole = text_inputs(tmp_path, model, texts[0], job="whole")
    parts = text_inputs(tmp_path, model, texts[0], job="parts")
    expected = train(text_spec(architecture), whole, Progress()).saes[0]
    for stop in (7, 17):
        with pytest.raises(Stopped):
            train(text_spec(architecture), parts, Wishing("interrupt", stop))
    resumed = train(text_spec(architecture), parts, Progress()).saes[0]
    assert same(weights(whole), weights(parts))
    assert (resumed.weights_sha256, resumed.encode, resumed.loss) == (
        expected.weights_sha256,
        expected.encode,
        expected.loss,
    )


@pytest.mark.parametrize("stop", [0, 16, 29])
def test_two_sites_by_two_widths_survive_a_stop_at_any_step(stop, model, texts, tmp_path):
    whole = text_inputs(tmp_path, model, *texts, job="whole")
    parts = text_inputs(tmp_path, model, *texts, job="parts")
    wanted = text_spec(more_tokenizations=(2,), **SWEEP)
    train(wanted, whole, Progress())
    with pytest.raises(Stopped):
        train(wanted, parts, Wishing("interrupt", stop))
    train(wanted, parts, Progress())
    for member in range(4):
        assert same(weights(whole, member), weights(parts, member))


def test_each_member_belongs_to_its_hook_site(model, texts, tmp_path):
    where = text_inputs(tmp_path, model, texts[0])
    result = train(text_spec(**SWEEP), where, Progress())
    found = [(str(trained.encode.hook_site), trained.encode.d_sae) for trained in result.saes]
    assert found == [("1.resid_post", 40), ("1.resid_post", 64), ("2.resid_post", 40), ("2.resid_post", 64)]
    for trained in result.saes:
        stored = sae_read(sae_folder(where, trained.member)).encode_spec
        assert stored == trained.encode
        assert stored.d_in == D_MODEL and stored.sink_threshold > 0
    assert result.epochs > 0
    assert result.effective["lm_dtype"] == "float32"


def test_a_width_more_changes_nothing_for_the_others(model, texts, tmp_path):
    alone = text_inputs(tmp_path, model, texts[0], job="alone")
    together = text_inputs(tmp_path, model, texts[0], job="together")
    train(text_spec(d_sae=64), alone, Progress())
    train(text_spec(sweep_d_sae=(40, 64)), together, Progress())
    assert same(weights(alone), weights(together, 1))


CHANGES = {
    "more_tokenizations": ({}, (2,)),
    "mixing": ({"more_tokenizations": (2,)}, "sequential"),
    "mixing_weights": ({"more_tokenizations": (2,), "mixing": "weighted", "mixing_weights": (1.0, 1.0)}, (1.0, 5.0)),
    "hook_sites": ({}, ("2.resid_post",)),
    "buffer_tokens": ({}, 4096),
    "lm_dtype": ({}, "bfloat16"),
}


@pytest.mark.parametrize("option", sorted(CHANGES))
def test_every_option_of_the_text_changes_the_weights(option, model, texts, tmp_path):
    base, value = CHANGES[option]
    found = []
    for name, options in (("usual", base), ("changed", base | {option: value})):
        read = texts if "more_tokenizations" in options else texts[:1]
        where = text_inputs(tmp_path, model, *read, job=name)
        train(text_spec(**options), where, Progress())
        found.append(weights(where))
    assert not same(*found)


def test_contexts_at_once_are_how_many_go_through_the_model_together(model, texts, tmp_path, monkeypatch):
    widest = {}
    for size in (2, 8):
        where = text_inputs(tmp_path, model, texts[0], job=str(size))
        widest[size] = _widest_forward(monkeypatch, lambda: train(text_spec(batch_contexts=size), where, Progress()))  # noqa: B023
    assert widest == {2: 2, 8: 8}


def _widest_forward(monkeypatch, work) -> int:
    """The largest batch that the language model saw during `work`."""
    sizes, forward = [], LlamaModel.forward

    def counting(self, input_ids=None, **known):
        sizes.append(len(input_ids))
        return forward(self, input_ids=input_ids, **known)

    with monkeypatch.context() as patch:
        patch.setattr(LlamaModel, "forward", counting)
        work()
    return max(sizes)


def test_ce_and_kl_recovered_come_with_every_checkpoint(model, texts, tmp_path):
    where, progress = text_inputs(tmp_path, model, texts[0]), Wishing("none", 10**9)
    train(text_spec(ce_contexts=4, sweep_k=(2, 8), log_every=5, checkpoint_every=10), where, progress)
    points = {(p["member"], p["step"]): p["values"] for p in progress.of("metrics")}
    assert len(points) == len(progress.of("metrics")) == 2 * 6
    for (_, step), values in points.items():
        assert ("ce_recovered" in values) == ("kl_recovered" in values) == (step % 10 == 0)
    for line in progress.of("checkpoint"):
        for member in (0, 1):
            assert line["values"][str(member)]["ce_recovered"] == points[member, line["step"]]["ce_recovered"]
    without = Wishing("none", 10**9)
    train(text_spec(ce_contexts=0), text_inputs(tmp_path, model, texts[0], job="without"), without)
    assert not any("ce_recovered" in point["values"] for point in without.of("metrics"))


def test_ce_at_a_wished_checkpoint_stands_at_its_own_step_and_the_window_goes_on(model, texts, tmp_path):
    where, progress = text_inputs(tmp_path, model, texts[0]), Wishing("checkpoint", 7)
    train(text_spec(ce_contexts=4, checkpoint_every=1000), where, progress)
    points = {point["step"]: point["values"] for point in progress.of("metrics")}
    assert sorted(points) == [5, 7, 10, 15, 20, 25, 30]
    assert {"ce_recovered", "kl_recovered", "loss"} <= set(points[7])
    undisturbed = Wishing("none", 10**9)
    train(text_spec(), text_inputs(tmp_path, model, texts[0], job="undisturbed"), undisturbed)
    at_ten = next(point["values"] for point in undisturbed.of("metrics") if point["step"] == 10)
    assert points[10]["loss"] == at_ten["loss"]


@pytest.mark.parametrize(
    "error", [EngineError("The hook was not called."), torch.OutOfMemoryError("CUDA out of memory.")]
)
def test_ce_that_cannot_be_measured_is_said_and_training_goes_on(error, model, texts, tmp_path, monkeypatch):
    def fail(self, sae):
        raise error

    monkeypatch.setattr(SpliceCheck, "measure", fail)
    where, progress = text_inputs(tmp_path, model, texts[0]), Wishing("none", 10**9)
    assert train(text_spec(ce_contexts=4), where, progress).steps == 30
    said = [line["text"] for line in progress.of("event") if "left out" in line["text"]]
    assert len(said) == 1
    assert not any("ce_recovered" in point["values"] for point in progress.of("metrics"))


def test_a_run_on_a_cache_measures_ce_with_the_model_that_made_it(model, texts, tmp_path):
    x = torch.randn(500, D_MODEL, generator=torch.Generator().manual_seed(0))
    cache = cache_write(tmp_path / "cache", x)
    known = {"model_dir": str(model), "tokenization_dirs": (str(texts[0]),)}
    progress = Wishing("none", 10**9)
    train(spec(ce_contexts=4), inputs(tmp_path, cache, **known), progress)
    # zeros do an untrained model no harm, so that CE recovered has no value
    with_ce = [point["step"] for point in progress.of("metrics") if "kl_recovered" in point["values"]]
    assert with_ce == [10, 20, 30]


def test_measuring_ce_changes_no_weights(model, texts, tmp_path):
    found = []
    for contexts in (0, 4):
        where = text_inputs(tmp_path, model, texts[0], job=f"ce-{contexts}")
        train(text_spec(ce_contexts=contexts), where, Progress())
        found.append(weights(where))
    assert same(*found)


def test_each_sae_names_the_module_of_its_own_hook_site(model, texts, tmp_path):
    names = {"1.resid_post": "model.layers.1", "2.resid_post": "model.layers.2"}
    known = {"hf_hook_name": "model.layers.1", "hf_hook_names": names}
    where = text_inputs(tmp_path, model, texts[0], provenance=known)
    train(text_spec(hook_sites=tuple(names)), where, Progress())
    found = [json.loads((sae_folder(where, n) / "cfg.json").read_text())["metadata"]["hf_hook_name"] for n in (0, 1)]
    assert found == list(names.values())


def test_the_provenance_names_the_precision_of_the_model(model, texts, tmp_path):
    where = text_inputs(tmp_path, model, texts[0])
    train(text_spec(), where, Progress())
    record = json.loads((sae_folder(where) / "provenance.json").read_text())
    assert record["effective"]["lm_dtype"] == "float32"
    assert record["spec"]["hook_sites"] == ["1.resid_post"]
