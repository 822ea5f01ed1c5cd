"""Resampling of dead latents: the published recipe, and that dead ones come back."""

import pytest
import torch

from tests.engine.training.worlds import (
    D_IN,
    D_SAE,
    Wishing,
    cache_write,
    dictionary_activations,
    inputs,
    same,
    spec,
    weights,
)
from workers.engine.progress import Progress
from workers.engine.saes.base import Batch
from workers.engine.saes.registry import TRAINING_SAES
from workers.engine.training.resampling import latent_vectors, resample, resampling_due
from workers.engine.training.trainer import Trainer
from workers.engine.training.training import train

DEAD = torch.arange(D_SAE) < 6
X_BD = torch.randn(64, D_IN, generator=torch.Generator().manual_seed(1)) + 3
BATCH = Batch(X_BD, X_BD)
KILLING = {
    "steps": 400,
    "d_sae": 128,
    "dead_after_tokens": 2_000,
    "learning_rate": 1e-2,
    "l1_coefficient": 5.0,
    "sparsity_warmup_steps": 0,
    "checkpoint_every": 1000,
}
"""A run in which many latents die."""


def resampled(architecture: str = "standard", steps: int = 7, **options):
    """An SAE after some steps with six dead latents started again; returns it with what stood before."""
    wanted = spec(architecture, dead_latents="resample", aux_coefficient=0.0, **options)
    trainer = Trainer(wanted, D_IN, device="cpu", matmul_dtype=torch.float32)
    for _ in range(steps):
        trainer.step(BATCH)
    before = [parameter.clone() for parameter in trainer.sae.parameters]
    adam = trainer.optimizer.state[trainer.sae.weights]
    start = latent_vectors(TRAINING_SAES[architecture](wanted, D_IN))
    count = resample(trainer.sae, DEAD, BATCH, start, (adam["exp_avg"], adam["exp_avg_sq"]), steps)
    assert count == 6
    return trainer, type(trainer.sae.parameters)(*before)


def test_new_rows_point_at_tokens_and_have_the_recipes_lengths():
    trainer, before = resampled()
    now = trainer.sae.parameters
    directions_BD = torch.nn.functional.normalize(X_BD - X_BD.mean(0), dim=-1)
    for name, share in (("W_dec", 1.0), ("W_enc", 0.2)):
        rows, alive = getattr(now, name)[DEAD], getattr(before, name)[~DEAD]
        assert torch.allclose(rows.norm(dim=1), share * alive.norm(dim=1).mean(), rtol=1e-5)
        cosine = torch.nn.functional.normalize(rows, dim=-1) @ directions_BD.T
        assert torch.allclose(cosine.max(dim=1).values, torch.ones(6), atol=1e-5)
    assert torch.equal(now.b_enc[DEAD], torch.zeros(6))


def test_the_living_and_the_bias_stay_as_they_were():
    trainer, before = resampled()
    now = trainer.sae.parameters
    for name in ("W_enc", "W_dec", "b_enc"):
        assert torch.equal(getattr(now, name)[~DEAD], getattr(before, name)[~DEAD])
    assert torch.equal(now.b_dec, before.b_dec)


def test_adams_moments_of_the_new_rows_are_zero_and_the_others_stay():
    trainer, _ = resampled()
    weights = trainer.sae.weights
    is_new = torch.zeros_like(weights, dtype=torch.bool)
    for name in ("W_enc", "W_dec", "b_enc"):
        p = getattr(trainer.sae.parameters, name)
        is_new.as_strided(p.shape, p.stride(), p.storage_offset())[DEAD] = True
    untouched = Trainer(trainer.spec, D_IN, device="cpu", matmul_dtype=torch.float32)
    for _ in range(7):
        untouched.step(BATCH)
    for name in ("exp_avg", "exp_avg_sq"):
        now, before = (each.optimizer.state[each.sae.weights][name] for each in (trainer, untouched))
        assert before[is_new].count_nonzero() > 0
        assert now[is_new].count_nonzero() == 0
        assert torch.equal(now[~is_new], before[~is_new])


def test_tokens_with_a_large_loss_are_drawn_most():
    wanted = spec("standard", dead_latents="resample")
    trainer = Trainer(wanted, D_IN, device="cpu", matmul_dtype=torch.float32)
    x_BD = torch.randn(64, D_IN, generator=torch.Generator().manual_seed(1)) * 0.01
    x_BD[17] = 10.0
    x_BD[17, ::2] = -10.0
    moments = (torch.zeros_like(trainer.sae.weights),)
    resample(trainer.sae, DEAD, Batch(x_BD, x_BD), latent_vectors(trainer.sae), moments, 5)
    direction = torch.nn.functional.normalize(x_BD[17] - x_BD.mean(0), dim=0)
    rows = torch.nn.functional.normalize(trainer.sae.parameters.W_dec[DEAD], dim=1)
    assert torch.allclose(rows @ direction, torch.ones(6), atol=1e-5)


@pytest.mark.parametrize("architecture", sorted({"jumprelu", "gated"} & set(TRAINING_SAES)))
def test_thresholds_and_gates_go_back_to_their_start(architecture):
    trainer, _ = resampled(architecture)
    start = latent_vectors(TRAINING_SAES[architecture](trainer.spec, D_IN))
    assert len(start) >= 2
    for name, first_F in start.items():
        assert torch.equal(getattr(trainer.sae.parameters, name)[DEAD], first_F[DEAD])


@pytest.mark.parametrize("decoder", ["frozen", "random"])
def test_a_decoder_that_is_not_trained_keeps_its_rows(decoder):
    trainer, before = resampled(decoder=decoder)
    assert torch.equal(trainer.sae.parameters.W_dec, before.W_dec)
    assert not torch.equal(trainer.sae.parameters.W_enc, before.W_enc)


def test_resamplings_come_every_so_many_steps_but_not_in_the_last_quarter():
    wanted = spec("standard", dead_latents="resample", resample_every=10, steps=100)
    assert [step for step in range(101) if resampling_due(step, wanted)] == [10, 20, 30, 40, 50, 60, 70]
    assert not any(resampling_due(step, spec("standard", resample_every=10, steps=100)) for step in range(101))


def test_dead_latents_fall_and_the_loop_says_how_many_started_again(tmp_path):
    cache = cache_write(tmp_path / "world", dictionary_activations(tokens=4_000)[0])
    shares = {}
    for dead_latents in ("none", "resample"):
        progress = Wishing("none", 10**9)
        wanted = spec("standard", dead_latents=dead_latents, resample_every=60, **KILLING)
        shares[dead_latents] = train(wanted, inputs(tmp_path, cache, dead_latents), progress).saes[0].dead_share
        said = [line["text"] for line in progress.of("event") if "start again" in line["text"]]
        assert bool(said) == (dead_latents == "resample")
    assert shares["none"] > 0.3
    assert shares["resample"] < 0.75 * shares["none"]


def test_resampling_changes_the_weights_and_how_often_too(cache, tmp_path):
    runs = {}
    for every in (None, 8, 12):
        wanted = {"aux_coefficient": 0.0, "dead_after_tokens": 64}
        if every:
            wanted |= {"dead_latents": "resample", "resample_every": every}
        where = inputs(tmp_path, cache, f"every-{every}")
        train(spec(**wanted), where, Progress())
        runs[every] = weights(where)
    assert not same(runs[None], runs[8]) and not same(runs[8], runs[12])
