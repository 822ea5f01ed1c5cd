"""Whole training runs on a cache: what they leave, and how they obey."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.engine.training.worlds import (
    AUTOENCODERS,
    D_SAE,
    Wishing,
    cached,
    inputs,
    sae_folder,
    same,
    spec,
    weights,
)
from workers.engine.formats.saelens import sae_read
from workers.engine.progress import Progress, Stopped
from workers.engine.provenance import sha256_of
from workers.engine.saes.registry import TRAINING_SAES
from workers.engine.specs.errors import EngineError
from workers.engine.training.checkpoints import checkpoint_latest
from workers.engine.training.normalizing import Normalizing
from workers.engine.training.run import starts_at_mean
from workers.engine.training.sources import SiteActivations
from workers.engine.training.training import train

KNOWN = {"model_name": "tiny", "activations_sha256": "abc"}
every_architecture = pytest.mark.parametrize("architecture", sorted(TRAINING_SAES))


@pytest.mark.parametrize("architecture", AUTOENCODERS)
def test_a_run_leaves_an_sae_that_explains_its_activations(architecture, cache, tmp_path):
    where = inputs(tmp_path, cache, provenance=KNOWN)
    result = train(spec(architecture, steps=300, l1_coefficient=0.1, l0_coefficient=0.1), where, Progress())
    trained, sae, x = result.saes[0], sae_read(sae_folder(where)), cached(cache)
    error = (x - sae.reconstruct(x)).square().sum() / (x - x.mean(0)).square().sum()
    assert error < 0.6
    assert trained.fvu == pytest.approx(error.item(), abs=0.1)
    assert torch.allclose(sae.W_dec.norm(dim=1), torch.ones(D_SAE), atol=1e-6)
    assert sae.encode_spec == trained.encode
    assert sae.encode_spec.sink_threshold == 77.0
    assert sae.encode_spec.normalize_activations == "none"
    assert (result.steps, result.tokens, result.epochs) == (300, 300 * 64, pytest.approx(300 * 64 / 2000))
    assert trained.l0 == pytest.approx((sae.encode(x) > 0).sum(1).double().mean().item(), rel=0.15)


def test_the_folder_says_how_the_sae_was_made(cache, tmp_path):
    where = inputs(tmp_path, cache, provenance=KNOWN)
    wanted = spec(micro_batch_size=16)
    result = train(wanted, where, Progress())
    trained, folder = result.saes[0], sae_folder(where)
    record = json.loads((folder / "provenance.json").read_text())
    assert record["spec"] == wanted.to_json()
    assert record["inputs"]["activations_sha256"] == "abc"
    assert record["threads"] == torch.get_num_threads()
    assert {"torch", "safetensors", "mistudio", "transformers"} <= set(record["packages"])
    assert record["effective"]["micro_batch_size"] == result.effective["micro_batch_size"] == 16
    digest = sha256_of(folder / "sae_weights.safetensors")
    assert record["effective"]["weights_sha256"] == trained.weights_sha256 == digest
    cfg = json.loads((folder / "cfg.json").read_text())
    assert cfg["metadata"]["model_name"] == "tiny"
    assert cfg["metadata"]["hook_name"] == "blocks.3.hook_resid_post"
    assert cfg["metadata"]["num_dead_features_tokens"] == wanted.dead_after_tokens
    assert cfg["metadata"]["sparsity_tokens"] == min(result.tokens, 1000 * wanted.batch_size)
    assert trained.folder == folder.name
    assert trained.bytes == sum(path.stat().st_size for path in folder.iterdir())


def test_sparsity_is_the_density_of_the_last_steps(cache, tmp_path):
    where = inputs(tmp_path, cache)
    train(spec("topk", steps=200), where, Progress())
    stored = load_file(sae_folder(where) / "sparsity.safetensors")["sparsity"]
    assert stored.shape == (D_SAE,)
    assert (10**stored).sum().item() == pytest.approx(4, abs=0.3)  # densities add up to L0 = k


@every_architecture
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(architecture, cache_for, tmp_path):
    def run(name, seed):
        where = inputs(tmp_path, cache_for(architecture), name)
        train(spec(architecture, seed=seed), where, Progress())
        return weights(where)

    first = run("a", 0)
    assert same(first, run("b", 0))
    assert not same(first, run("c", 1))


@pytest.mark.parametrize("architecture", sorted({"batchtopk", "matryoshka"} & set(TRAINING_SAES)))
def test_thresholds_are_calibrated_on_held_out_activations_to_the_wanted_l0(architecture, cache, tmp_path):
    where = inputs(tmp_path, cache)
    trained = train(spec(architecture, steps=200), where, Progress()).saes[0]
    held_out = load_file(cache / "held-out.safetensors")["activations"].float()
    measured = (sae_read(sae_folder(where)).encode(held_out) > 0).sum(1).double().mean().item()
    # both products are float32, summed in another order: a value at the threshold may fall on either side
    assert trained.calibrated_l0 == pytest.approx(measured, rel=2e-3)
    assert measured == pytest.approx(4, rel=0.05)


def test_architectures_without_a_threshold_to_calibrate_say_nothing_of_it(cache, tmp_path):
    assert train(spec(), inputs(tmp_path, cache), Progress()).saes[0].calibrated_l0 is None


def test_averaged_weights_are_those_of_an_average_kept_by_hand(cache, tmp_path):
    decay, by_hand = 0.9, None
    where = inputs(tmp_path, cache)
    result = train(
        spec(steps=12, checkpoint_every=1, keep_checkpoints=100, weight_average_decay=decay), where, Progress()
    )
    root = Path(where.job_dir) / "checkpoints"
    shares = [decay ** (12 - step) for step in range(1, 13)]
    flat = [load_file(root / f"step-{step:08d}" / "sae-00.safetensors")["weights"].double() for step in range(1, 13)]
    by_hand = sum(share * w for share, w in zip(shares, flat)) / sum(shares)
    factor = (
        result.effective.get("factor", None)
        or json.loads((sae_folder(where) / "provenance.json").read_text())["effective"]["normalization_factor"]
    )
    assert torch.allclose(weights(where)["b_dec"].double() * factor, by_hand[-16:], rtol=1e-5)
    assert not torch.allclose(weights(where)["b_dec"].double() * factor, flat[-1][-16:], rtol=1e-5)
    record = json.loads((sae_folder(where) / "provenance.json").read_text())
    assert record["effective"]["weights"] == "an exponential average of the weights, decay 0.9"


def test_as_many_checkpoints_stay_as_wished(cache, tmp_path):
    where = inputs(tmp_path, cache)
    train(spec(keep_checkpoints=3, checkpoint_every=5), where, Progress())
    kept = sorted(path.name for path in (Path(where.job_dir) / "checkpoints").iterdir())
    assert kept == ["step-00000020", "step-00000025", "step-00000030"]


def test_a_wished_checkpoint_is_written_and_training_goes_on(cache, tmp_path):
    progress = Wishing("checkpoint", 7)
    where = inputs(tmp_path, cache)
    result = train(spec(checkpoint_every=1000), where, progress)
    assert progress.granted == ["checkpoint"]
    assert [line["step"] for line in progress.of("checkpoint")] == [7, 30]
    assert (Path(where.job_dir) / progress.of("checkpoint")[0]["path"]).is_dir()
    assert not result.finished_early


def test_finish_stops_and_keeps_the_sae(cache, tmp_path):
    where = inputs(tmp_path, cache)
    result = train(spec(), where, Wishing("finish", 12))
    assert result.finished_early
    assert (result.steps, result.tokens) == (12, 12 * 64)
    assert sae_read(sae_folder(where)).encode_spec.d_sae == D_SAE


def test_finish_before_the_first_step_still_trains_one(cache, tmp_path):
    assert train(spec(), inputs(tmp_path, cache), Wishing("finish", 0)).steps == 1


def test_a_run_that_is_finished_right_after_it_was_paused_keeps_its_metrics(cache, tmp_path):
    where, whole = inputs(tmp_path, cache), inputs(tmp_path, cache, "whole")
    with pytest.raises(Stopped):
        train(spec(), where, Wishing("pause", 12))
    resumed = train(spec(), where, Wishing("finish", 12)).saes[0]
    undisturbed = train(spec(), whole, Wishing("finish", 12)).saes[0]
    assert (resumed.loss, resumed.weights_sha256) == (undisturbed.loss, undisturbed.weights_sha256)


def test_cancel_stops_at_once_and_writes_nothing(cache, tmp_path):
    where = inputs(tmp_path, cache)
    with pytest.raises(Stopped) as stopped:
        train(spec(), where, Wishing("cancel", 3))
    assert stopped.value.wish == "cancel"
    assert not (Path(where.job_dir) / "checkpoints").exists()
    assert not list(Path(where.out_dir).iterdir())


def b_dec_at_start(cache, tmp_path, **options):
    where = inputs(tmp_path, cache)
    with pytest.raises(Stopped):
        train(spec(**options), where, Wishing("pause", 0))
    found = checkpoint_latest(Path(where.job_dir) / "checkpoints")
    return found.files["sae-00"]["weights"][-16:], found.state["effective"]["b_dec_starts_at_mean"]


def test_b_dec_starts_at_the_mean_of_the_normalised_activations_or_at_zero(cache, tmp_path):
    start, said = b_dec_at_start(cache, tmp_path, b_dec_start="mean")
    x = cached(cache)
    assert torch.allclose(start, x.mean(0) * 4 / x.norm(dim=1).mean(), rtol=1e-2) and said == [True]
    start, said = b_dec_at_start(cache, tmp_path / "zero", b_dec_start="zero")
    assert not start.any() and said == [False]


@pytest.mark.parametrize("how", ["none", "expected_average_only_in", "constant_norm_rescale", "layer_norm"])
def test_b_dec_starts_at_the_mean_where_the_mean_is_long(how):
    """The square of a long mean is more than half of the variance, whatever normalisation does to the scale."""
    generator = torch.Generator().manual_seed(0)
    noise, direction = torch.randn(4000, 64, generator=generator), torch.randn(64, generator=generator)
    direction = (direction - direction.mean()) * 8 / direction.norm()  # as long as the noise
    for factor, expected in ((0.5, False), (1.0, True), (3.0, True)):
        x = 7 * (noise + factor * direction)
        normalizing = Normalizing.measured(how, (x.norm(dim=1).mean().item(), 64))
        seen = normalizing.inputs(x)
        assert seen.norm(dim=1).mean().item() == pytest.approx(normalizing.mean_norm, rel=0.01)
        site = SiteActivations(None, 64, 64, 1.0, 1.0, seen.mean(0), seen.mean(0), normalizing.mean_norm, None)
        assert starts_at_mean(spec(normalize_activations=how), site) is expected


def test_a_cache_smaller_than_one_batch_is_refused(cache, tmp_path):
    with pytest.raises(EngineError, match="fewer than one batch"):
        train(spec(batch_size=4096), inputs(tmp_path, cache), Progress())
