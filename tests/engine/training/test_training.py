"""Whole training runs: what they leave, how they obey, and that a stop at any step changes nothing."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.engine.training.worlds import D_SAE, TOKENS, Wishing, cache_write, cached, inputs, random_cache, spec
from workers.engine.formats.saelens import sae_read
from workers.engine.progress import Progress, Stopped
from workers.engine.provenance import sha256_of
from workers.engine.saes.registry import TRAINING_SAES
from workers.engine.specs.errors import EngineError, OutOfMemory
from workers.engine.specs.training import TrainSpec
from workers.engine.training import memory
from workers.engine.training.checkpoints import checkpoint_latest
from workers.engine.training.training import train

every_architecture = pytest.mark.parametrize("architecture", sorted(TRAINING_SAES))


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return random_cache(tmp_path_factory.mktemp("cache"))


def weights(folder: str | Path) -> dict[str, torch.Tensor]:
    return load_file(Path(folder) / "sae_weights.safetensors")


def same(a, b) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


@every_architecture
def test_a_run_leaves_an_sae_that_explains_its_activations(architecture, cache, tmp_path):
    where = inputs(tmp_path, cache, provenance={"model_name": "tiny", "activations_sha256": "abc"})
    progress = Progress()
    result = train(spec(architecture, steps=300, l1_coefficient=0.1), where, progress)
    sae = sae_read(where.out_dir)
    x = cached(cache)
    error = (x - sae.reconstruct(x)).square().sum() / (x - x.mean(0)).square().sum()
    assert error < 0.6
    assert result.fvu == pytest.approx(error.item(), abs=0.1)
    assert torch.allclose(sae.W_dec.norm(dim=1), torch.ones(D_SAE), atol=1e-6)
    assert sae.encode_spec == result.encode
    assert sae.encode_spec.sink_threshold == 77.0
    assert sae.encode_spec.normalize_activations == "none"
    assert (result.steps, result.tokens) == (300, 300 * 64)
    assert result.l0 == pytest.approx((sae.encode(x) > 0).sum(1).double().mean().item(), rel=0.15)


def test_the_folder_says_how_the_sae_was_made(cache, tmp_path):
    where = inputs(tmp_path, cache, provenance={"model_name": "tiny", "activations_sha256": "abc"})
    wanted = spec()
    result = train(wanted, where, Progress())
    record = json.loads((Path(where.out_dir) / "provenance.json").read_text())
    assert record["spec"] == wanted.to_json()
    assert record["inputs"]["activations_sha256"] == "abc"
    assert record["threads"] == torch.get_num_threads()
    assert {"torch", "safetensors", "mistudio", "transformers"} <= set(record["packages"])
    digest = sha256_of(Path(where.out_dir) / "sae_weights.safetensors")
    assert record["effective"]["weights_sha256"] == result.weights_sha256 == digest
    cfg = json.loads((Path(where.out_dir) / "cfg.json").read_text())
    assert cfg["metadata"]["model_name"] == "tiny"
    assert cfg["metadata"]["hook_name"] == "blocks.3.hook_resid_post"
    assert result.bytes == sum(path.stat().st_size for path in Path(where.out_dir).iterdir())


def test_sparsity_is_the_density_of_the_last_steps(cache, tmp_path):
    where = inputs(tmp_path, cache)
    train(spec("topk", steps=200), where, Progress())
    stored = load_file(Path(where.out_dir) / "sparsity.safetensors")["sparsity"]
    assert stored.shape == (D_SAE,)
    assert (10**stored).sum().item() == pytest.approx(4, abs=0.3)  # densities add up to L0 = k


@every_architecture
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(architecture, cache, tmp_path):
    def run(name, seed):
        where = inputs(tmp_path, cache, name)
        train(spec(architecture, seed=seed), where, Progress())
        return weights(where.out_dir)

    first = run("a", 0)
    assert same(first, run("b", 0))
    assert not same(first, run("c", 1))


@every_architecture
@pytest.mark.parametrize("stop", [0, 1, 7, 10, 13, 29])
def test_stopped_at_any_step_and_resumed_equals_undisturbed(architecture, stop, cache, tmp_path):
    whole = inputs(tmp_path, cache, "whole")
    expected = train(spec(architecture), whole, Progress())
    parts = inputs(tmp_path, cache, "parts")
    with pytest.raises(Stopped) as stopped:
        train(spec(architecture), parts, Wishing("interrupt", stop))
    assert stopped.value.wish == "interrupt"
    assert checkpoint_latest(Path(parts.job_dir) / "checkpoints").step == stop
    resumed = train(spec(architecture), parts, Progress())
    assert same(weights(whole.out_dir), weights(parts.out_dir))
    assert resumed.weights_sha256 == expected.weights_sha256
    assert (resumed.loss, resumed.fvu, resumed.l0) == (expected.loss, expected.fvu, expected.l0)
    assert (Path(whole.out_dir) / "sparsity.safetensors").read_bytes() == (
        Path(parts.out_dir) / "sparsity.safetensors"
    ).read_bytes()


RUNNER = """
import json, sys
from pathlib import Path
from workers.engine.progress import Progress
from workers.engine.specs.training import TrainInputs, TrainSpec
from workers.engine.training.training import train

class Slow(Progress):
    def checkpoint(self, step, path, size_bytes, **values):
        print("checkpoint", step, flush=True)

spec, inputs = json.loads(Path(sys.argv[1]).read_text())
train(TrainSpec.from_json(spec), TrainInputs.from_json(inputs), Slow())
"""


@every_architecture
def test_killed_with_sigkill_and_started_again_equals_undisturbed(architecture, cache, tmp_path):
    long = spec(architecture, steps=600, checkpoint_every=100)
    whole, parts = inputs(tmp_path, cache, "whole"), inputs(tmp_path, cache, "parts")
    (tmp_path / "job.json").write_text(json.dumps([long.to_json(), parts.to_json()]))
    command = [sys.executable, "-c", RUNNER, str(tmp_path / "job.json")]
    threads = {"OMP_NUM_THREADS": str(torch.get_num_threads())}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | threads) as child:
        assert child.stdout.readline().startswith("checkpoint")
        assert child.stdout.readline().startswith("checkpoint")
        time.sleep(0.02)  # somewhere between two checkpoints, perhaps within the writing of one
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    kept = checkpoint_latest(Path(parts.job_dir) / "checkpoints")
    assert 200 <= kept.step < 600
    train(long, parts, Progress())
    train(long, whole, Progress())
    assert same(weights(whole.out_dir), weights(parts.out_dir))


def test_a_truncated_newest_checkpoint_costs_only_the_steps_since_the_one_before(cache, tmp_path):
    whole, parts = inputs(tmp_path, cache, "whole"), inputs(tmp_path, cache, "parts")
    train(spec(), whole, Progress())
    with pytest.raises(Stopped):
        train(spec(), parts, Wishing("pause", 25))
    newest = Path(parts.job_dir) / "checkpoints" / "step-00000025" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:1000])
    progress = Progress()
    train(spec(), parts, progress)
    assert any("step 20" in line.get("text", "") for line in progress.lines)
    assert same(weights(whole.out_dir), weights(parts.out_dir))


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
    assert sae_read(where.out_dir).encode_spec.d_sae == D_SAE


def test_finish_before_the_first_step_still_trains_one(cache, tmp_path):
    assert train(spec(), inputs(tmp_path, cache), Wishing("finish", 0)).steps == 1


def test_cancel_stops_at_once_and_writes_nothing(cache, tmp_path):
    where = inputs(tmp_path, cache)
    with pytest.raises(Stopped) as stopped:
        train(spec(), where, Wishing("cancel", 3))
    assert stopped.value.wish == "cancel"
    assert not (Path(where.job_dir) / "checkpoints").exists()
    assert not list(Path(where.out_dir).iterdir())


@every_architecture
def test_the_charts_get_every_metric_at_every_log_step(architecture, cache, tmp_path):
    progress = Wishing("none", 10**9)
    train(spec(architecture, steps=12), inputs(tmp_path, cache), progress)
    points = progress.of("metrics")
    assert [point["step"] for point in points] == [5, 10, 12]
    extra = "aux" if architecture == "topk" else "l1"
    names = {"loss", "mse", extra, "l0", "fvu", "dead_share", "learning_rate", "grad_norm", "tokens_per_s", "tokens"}
    for point in points:
        assert set(point["values"]) == names
        assert all(math.isfinite(value) for value in point["values"].values())
    last = points[-1]["values"]
    assert last["loss"] == pytest.approx(last["mse"] + last[extra])
    assert last["tokens"] == 12 * 64
    reached = [line["done"] for line in progress.of("progress") if line["phase"] == "training"]
    assert reached == [0, *range(13)]


def test_nan_in_the_activations_is_named_with_its_step_and_keeps_the_good_checkpoint(cache, tmp_path):
    where = inputs(tmp_path, cache)
    with pytest.raises(Stopped):
        train(spec(), where, Wishing("pause", 10))
    before = checkpoint_latest(Path(where.job_dir) / "checkpoints").tensors
    x = cached(cache)
    x[:] = x.where(torch.arange(TOKENS)[:, None] % 3 > 0, float("nan"))
    poisoned = cache_write(tmp_path / "poisoned", x)
    shutil.copy(cache / "cache.json", poisoned)
    with pytest.raises(EngineError, match=r"step 11 hold NaN.*checkpoint is that of step 10") as refusal:
        train(spec(), inputs(tmp_path, poisoned), Progress())
    assert refusal.value.code == "activations_not_finite"
    assert same(before, checkpoint_latest(Path(where.job_dir) / "checkpoints").tensors)


def test_nan_in_a_new_run_is_found_before_the_first_step(tmp_path):
    x = torch.randn(200, 16)
    x[17, 3] = float("inf")
    with pytest.raises(EngineError, match="cache holds NaN or infinity"):
        train(spec(normalize_activations="none"), inputs(tmp_path, cache_write(tmp_path / "cache", x)), Progress())


def test_b_dec_starts_at_the_mean_of_the_normalised_activations(cache, tmp_path):
    where = inputs(tmp_path, cache)
    with pytest.raises(Stopped):
        train(spec(), where, Wishing("pause", 0))
    start = checkpoint_latest(Path(where.job_dir) / "checkpoints").tensors["weights"][-16:]
    x = cached(cache)
    assert torch.allclose(start, x.mean(0) * 4 / x.norm(dim=1).mean(), rtol=1e-2)


def test_an_exploding_loss_is_an_error_with_a_hint(cache, tmp_path, monkeypatch):
    wild = spec("standard", learning_rate=1.0, l1_coefficient=1000.0, steps=200, clip_grad_norm=None)
    monkeypatch.setattr("workers.engine.training.trainer.learning_rate_at", lambda step, spec: 1e18)
    with pytest.raises(EngineError, match="loss was not finite at step") as refusal:
        train(wild, inputs(tmp_path, cache), Progress())
    assert refusal.value.code == "loss_not_finite"
    assert "learning rate" in refusal.value.hint


def test_checkpoints_of_other_settings_are_refused(cache, tmp_path):
    where = inputs(tmp_path, cache)
    with pytest.raises(Stopped):
        train(spec(), where, Wishing("pause", 10))
    with pytest.raises(EngineError, match="other settings"):
        train(spec(learning_rate=0.5), where, Progress())


def test_too_little_memory_is_said_with_numbers(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    with pytest.raises(OutOfMemory, match=r"needs about .* GiB on cpu; 0.00 GiB are free"):
        train(spec(), inputs(tmp_path, cache), Progress())


def test_an_allocator_that_gives_up_becomes_out_of_memory():
    with pytest.raises(OutOfMemory, match="ran out of memory"), memory.out_of_memory_explained(10**9, "cpu"):
        torch.empty(2**55)
    with pytest.raises(RuntimeError, match="inconsistent"), memory.out_of_memory_explained(10**9, "cpu"):
        torch.zeros(2) @ torch.zeros(3)


def test_a_cache_smaller_than_one_batch_is_refused(cache, tmp_path):
    with pytest.raises(EngineError, match="fewer than one batch"):
        train(spec(batch_size=4096), inputs(tmp_path, cache), Progress())


def test_a_cache_too_large_for_memory_is_read_from_disk_with_the_same_result(cache, tmp_path, monkeypatch):
    resident, streamed = inputs(tmp_path, cache, "resident"), inputs(tmp_path, cache, "streamed")
    train(spec(), resident, Progress())
    monkeypatch.setattr("workers.engine.training.batches.RESIDENT_SHARE", 0.0)
    train(spec(), streamed, Progress())
    assert same(weights(resident.out_dir), weights(streamed.out_dir))


CHANGES = {
    "adam_beta1": 0.5,
    "adam_beta2": 0.9,
    "learning_rate": 1e-3,
    "lr_warmup_steps": 10,
    "lr_decay_pct": 80.0,
    "clip_grad_norm": 0.01,
    "normalize_activations": "none",
    "batch_size": 32,
    "d_sae": 40,
    "k": 6,
    "aux_k": 2,
    "aux_coefficient": 0.2,
    "dead_after_tokens": 1_000_000,
    "steps": 25,
}


@pytest.mark.parametrize("option", sorted(CHANGES))
def test_every_option_of_a_topk_run_changes_its_weights(option, cache, tmp_path):
    usual, changed = inputs(tmp_path, cache, "usual"), inputs(tmp_path, cache, "changed")
    train(spec(), usual, Progress())
    train(spec(**{option: CHANGES[option]}), changed, Progress())
    assert weights(usual.out_dir)["b_dec"].ne(weights(changed.out_dir)["b_dec"]).any()


@pytest.mark.parametrize("option, value", [("l1_coefficient", 5.0), ("l1_warmup_steps", 0)])
def test_every_option_of_a_standard_run_changes_its_weights(option, value, cache, tmp_path):
    usual, changed = inputs(tmp_path, cache, "usual"), inputs(tmp_path, cache, "changed")
    train(spec("standard"), usual, Progress())
    train(spec("standard", **{option: value}), changed, Progress())
    assert not same(weights(usual.out_dir), weights(changed.out_dir))


def test_k_beyond_d_sae_is_refused_by_the_spec():
    with pytest.raises(EngineError, match="k = 100 exceeds d_sae = 48"):
        TrainSpec(activation_cache=1, d_sae=48, k=100)
