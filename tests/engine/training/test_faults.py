"""What goes wrong in a run: each is an error in words, and the last good checkpoint stays."""

import errno
import re
import shutil
from pathlib import Path

import pytest
import torch

from tests.engine.training.worlds import TOKENS, Wishing, cache_write, cached, inputs, same, spec, weights
from workers.engine.progress import Progress, Stopped
from workers.engine.specs.errors import DiskFull, EngineError, OutOfMemory
from workers.engine.specs.training import TrainSpec
from workers.engine.training import checkpoints, memory
from workers.engine.training.checkpoints import checkpoint_latest
from workers.engine.training.sources import CacheSource
from workers.engine.training.training import train


def poisoned(cache: Path, folder: Path) -> Path:
    """The same cache with NaN in every third row, and the statistics of before."""
    x = cached(cache)
    x = x.where(torch.arange(TOKENS)[:, None] % 3 > 0, float("nan"))
    cache_write(folder, x)
    for name in ("cache.json", "statistics.safetensors"):
        shutil.copy(cache / name, folder)
    return folder


def test_nan_in_the_activations_is_named_with_step_and_row_and_keeps_the_good_checkpoint(cache, tmp_path):
    where = inputs(tmp_path, cache)
    with pytest.raises(Stopped):
        train(spec(), where, Wishing("pause", 10))
    before = checkpoint_latest(Path(where.job_dir) / "checkpoints").files["sae-00"]
    with pytest.raises(EngineError, match=r"step 11 hold NaN.*checkpoint is that of step 10") as refusal:
        train(spec(), inputs(tmp_path, poisoned(cache, tmp_path / "poisoned")), Progress())
    row = re.search(r"row (\d+) of the activation cache", refusal.value.message)
    assert int(row[1]) % 3 == 0
    assert refusal.value.code == "activations_not_finite"
    assert "float32" in refusal.value.hint
    assert same(before, checkpoint_latest(Path(where.job_dir) / "checkpoints").files["sae-00"])


def test_nan_in_a_new_run_is_found_before_the_first_step(tmp_path):
    x = torch.randn(200, 16)
    x[17, 3] = float("inf")
    with pytest.raises(EngineError, match="NaN or infinity"):
        train(spec(normalize_activations="none"), inputs(tmp_path, cache_write(tmp_path / "cache", x)), Progress())


def test_a_source_that_meets_nan_itself_is_heard_and_told_what_is_left(cache, tmp_path, monkeypatch):
    def fail(self, step):
        if step < 12:
            return batches(self, step)
        raise EngineError("Context 7 holds NaN at position 3.", code="activations_not_finite")

    batches = CacheSource.batches
    monkeypatch.setattr(CacheSource, "batches", fail)
    with pytest.raises(
        EngineError, match=r"Context 7 .* position 3\. The last good checkpoint is that of step 10"
    ) as seen:
        train(spec(), inputs(tmp_path, cache), Progress())
    assert "float32" in seen.value.hint


def test_an_exploding_loss_is_an_error_with_a_hint(cache, tmp_path, monkeypatch):
    wild = spec("standard", learning_rate=1.0, l1_coefficient=1000.0, steps=200, clip_grad_norm=None)
    monkeypatch.setattr("workers.engine.training.trainer.learning_rate_at", lambda step, spec: 1e18)
    with pytest.raises(EngineError, match="loss was not finite at step") as refusal:
        train(wild, inputs(tmp_path, cache), Progress())
    assert refusal.value.code == "loss_not_finite"
    assert "learning rate" in refusal.value.hint


def test_of_several_saes_the_one_that_exploded_is_named(cache, tmp_path):
    wild = spec("standard", sweep_coefficient=(1.0, 1000.0), clip_grad_norm=None, sparsity_warmup_steps=0, steps=200)
    progress = Wishing("none", 10**9)

    def explode(step, spec):
        return 1e18 if spec.l1_coefficient == 1000.0 else 1e-3

    with pytest.MonkeyPatch.context() as patch, pytest.raises(EngineError, match="loss of sae-01 was not finite"):
        patch.setattr("workers.engine.training.trainer.learning_rate_at", explode)
        train(wild, inputs(tmp_path, cache), progress)
    assert not progress.of("checkpoint")


def test_a_disk_that_is_full_at_a_checkpoint_ends_the_run_and_a_retry_goes_on_from_the_one_before(
    cache, tmp_path, monkeypatch
):
    whole, where = inputs(tmp_path, cache, "whole"), inputs(tmp_path, cache)
    written = []

    def fill_up(tensors, path):
        written.append(path)
        if len(written) > 2:  # two files, an SAE's and the source's, make the first checkpoint
            raise OSError(errno.ENOSPC, "No space left on device")
        return save_file(tensors, path)

    save_file = checkpoints.save_file
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "save_file", fill_up)
        with pytest.raises(DiskFull, match="checkpoint needs"):
            train(spec(), where, Progress())
    assert checkpoint_latest(Path(where.job_dir) / "checkpoints").step == 10
    train(spec(), where, Progress())
    train(spec(), whole, Progress())
    assert same(weights(whole), weights(where))


def test_too_little_memory_is_said_with_numbers(cache, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 1000)
    with pytest.raises(OutOfMemory, match=r"needs about .* GiB on cpu; 0.00 GiB are free"):
        train(spec(), inputs(tmp_path, cache), Progress())


def test_an_allocator_that_gives_up_becomes_out_of_memory():
    with pytest.raises(OutOfMemory, match="ran out of memory"), memory.out_of_memory_explained(10**9, "cpu"):
        torch.empty(2**55)
    with pytest.raises(RuntimeError, match="inconsistent"), memory.out_of_memory_explained(10**9, "cpu"):
        torch.zeros(2) @ torch.zeros(3)


def test_k_beyond_d_sae_is_refused_by_the_spec():
    with pytest.raises(EngineError, match="k = 100 exceeds d_sae = 48"):
        TrainSpec(activation_cache=1, d_sae=48, k=100)
