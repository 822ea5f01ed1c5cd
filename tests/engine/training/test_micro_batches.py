"""Batches in pieces: the gradient of the whole, and what happens when memory runs out."""

import pytest
import torch

from tests.engine.training.worlds import D_IN, Wishing, inputs, same, spec, weights
from workers.engine.progress import Progress, Stopped
from workers.engine.saes.base import Batch, StepContext
from workers.engine.saes.registry import TRAINING_SAES
from workers.engine.specs.errors import OutOfMemory
from workers.engine.training.micro_batches import chooses_within_pieces, gradient_fill
from workers.engine.training.training import train


def batch(is_pair: bool) -> Batch:
    generator = torch.Generator().manual_seed(3)
    x_BD = torch.randn(64, D_IN, generator=generator)
    return Batch(x_BD, torch.randn(64, D_IN, generator=generator) if is_pair else x_BD)


@pytest.mark.parametrize("architecture", sorted(TRAINING_SAES))
def test_pieces_give_the_gradient_losses_and_counts_of_the_whole_batch(architecture):
    wanted = spec(architecture)
    if chooses_within_pieces(wanted):
        pytest.skip("looks at the batch as a whole")
    sae = TRAINING_SAES[architecture](wanted, D_IN)
    context = StepContext(step=20, dead_F=torch.arange(48) < 5)
    whole_batch = batch(is_pair=wanted.is_transcoder)
    whole = gradient_fill(sae, whole_batch, context, 64)
    gradient = sae.weights.grad.clone()
    pieces = gradient_fill(sae, whole_batch, context, 24)  # 24, 24, 16
    assert torch.allclose(sae.weights.grad, gradient, rtol=1e-4, atol=1e-6)
    assert torch.allclose(pieces.loss, whole.loss, rtol=1e-5)
    assert all(torch.allclose(pieces.losses[name], whole.losses[name], rtol=1e-5) for name in whole.losses)
    assert torch.equal(pieces.fired_F, whole.fired_F)


def fail_above(monkeypatch, architecture: str, tokens: int, error: Exception) -> None:
    """A device on which steps of more than `tokens` tokens do not fit."""
    cls = TRAINING_SAES[architecture]
    step = cls.step

    def limited(self, batch, context):
        if len(batch.x_BD) > tokens:
            raise error
        return step(self, batch, context)

    monkeypatch.setattr(cls, "step", limited)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes."),
    ],
)
def test_when_memory_runs_out_the_micro_batch_halves_and_the_batch_stays(error, cache, tmp_path, monkeypatch):
    whole, where = inputs(tmp_path, cache, "whole"), inputs(tmp_path, cache)
    train(spec(), whole, Progress())
    fail_above(monkeypatch, "topk", 20, error)
    progress = Wishing("none", 10**9)
    result = train(spec(), where, progress)
    assert result.effective["micro_batch_size"] == 16
    assert result.tokens == 30 * 64
    said = [line["text"] for line in progress.of("event") if line["level"] == "warning"]
    assert ["pieces of 32" in said[0], "pieces of 16" in said[1]] == [True, True]
    for name, expected in weights(whole).items():
        assert torch.allclose(weights(where)[name], expected, rtol=1e-3, atol=1e-4)


def test_a_resumed_run_goes_on_with_the_smaller_micro_batch(cache, tmp_path, monkeypatch):
    where = inputs(tmp_path, cache)
    with monkeypatch.context() as patch:
        fail_above(patch, "topk", 20, torch.OutOfMemoryError("CUDA out of memory."))
        with pytest.raises(Stopped):
            train(spec(), where, Wishing("pause", 12))
    assert train(spec(), where, Progress()).effective["micro_batch_size"] == 16


def test_micro_batch_size_sets_it_from_the_start(cache, tmp_path):
    asked, whole = inputs(tmp_path, cache, "asked"), inputs(tmp_path, cache, "whole")
    assert train(spec(micro_batch_size=16), asked, Progress()).effective["micro_batch_size"] == 16
    assert train(spec(), whole, Progress()).effective["micro_batch_size"] == 64
    assert not same(weights(asked), weights(whole))  # by rounding


def test_when_not_even_eight_tokens_fit_the_run_ends_with_numbers(cache, tmp_path, monkeypatch):
    fail_above(monkeypatch, "topk", 4, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(OutOfMemory, match="ran out of memory: the run needs about"):
        train(spec(), inputs(tmp_path, cache), Progress())


def test_other_errors_are_not_taken_for_missing_memory(cache, tmp_path, monkeypatch):
    fail_above(monkeypatch, "topk", 4, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(spec(), inputs(tmp_path, cache), Progress())


def test_what_looks_at_the_whole_batch_says_so():
    assert "chosen within" in chooses_within_pieces(spec("batchtopk"))
    assert "L0" in chooses_within_pieces(spec("jumprelu", l0_loss="quadratic"))
    assert chooses_within_pieces(spec("jumprelu")) == chooses_within_pieces(spec("topk")) == ""
