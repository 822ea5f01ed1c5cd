"""Transcoder, skip transcoder and Skip SAE: their fast step against autograd, what they finish as, and that they learn.

The paired world: sparse causes fire, more of them than dimensions; x is their sum along one dictionary, y along another. The
skip worlds add what a linear path is for: to y a dense linear map of x, to x a few dense directions.
"""

from functools import cache

import pytest
import torch

from tests.engine.saes.worlds import MLP_IN, SITE, activations
from workers.engine.metrics import FvuMeter
from workers.engine.saes.base import Batch, StepContext, TrainingSae
from workers.engine.saes.registry import training_sae_class
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainSpec

D, E, F = 16, 12, 48
CAUSES = 64
WITH_SKIP = ("skip_transcoder", "skip")


def training_sae(name: str, *, d_in: int = D, d_out: int | None = None, **options) -> TrainingSae:
    options = {"d_sae": F, "sparsity_warmup_steps": 0, "skip_rank": 3} | options
    d_out = d_out or (d_in if name == "skip" else E)
    return training_sae_class(name)(TrainSpec(activation_cache=1, architecture=name, **options), d_in, d_out)


def pair(name: str, tokens: int = 256) -> Batch:
    x_BD = activations(tokens, D) / 3
    return Batch(x_BD, x_BD if name == "skip" else activations(tokens, E, seed=2) / 2)


def shaken(sae: TrainingSae) -> TrainingSae:
    sae.weights += torch.randn(len(sae.weights), generator=torch.Generator().manual_seed(3)) * 0.1
    return sae


@pytest.mark.parametrize("name", ["transcoder", *WITH_SKIP])
@pytest.mark.parametrize("bias", [0.0, -3.0], ids=["many fire", "few fire"])
def test_the_fast_step_has_the_gradients_of_autograd(name, bias):
    fast, reference = shaken(training_sae(name)), shaken(training_sae(name))
    for sae in (fast, reference):
        sae.parameters.b_enc.add_(bias * sae.parameters.W_enc.norm(dim=1))
    quick = fast.step(pair(name), StepContext(step=0))
    plain = TrainingSae.step(reference, pair(name), StepContext(step=0))
    for ours, autograd in zip(fast.gradients, reference.gradients):
        assert (ours - autograd).norm() / autograd.norm() < 1e-5
    assert torch.allclose(quick.loss, plain.loss, rtol=1e-5)
    assert torch.equal(quick.fired_F, plain.fired_F)
    assert set(quick.reported) == set(fast.REPORTED)
    for key, value in quick.reported.items():
        assert torch.allclose(value, plain.reported[key], rtol=1e-5)


@pytest.mark.parametrize("name", ["transcoder", *WITH_SKIP])
def test_the_finished_one_reads_and_answers_raw_activations(name):
    sae, factor, target_factor = shaken(training_sae(name)), 0.25, 0.25 if name == "skip" else 8.0
    batch = pair(name)
    finished = sae.finished(factor, SITE if name == "skip" else MLP_IN, 30.0, target_factor=target_factor)
    mse = sae.step(batch, StepContext(step=0)).losses["mse"]
    error = finished.reconstruct(batch.x_BD / factor) * target_factor - batch.y_BE
    assert error.square().sum(-1).mean().item() == pytest.approx(mse.item(), rel=1e-4)
    assert torch.allclose(finished.W_dec.norm(dim=1), torch.ones(F))


def test_a_transcoder_answers_mlp_out_of_its_layer_and_a_skip_sae_its_own_site():
    transcoder = training_sae("transcoder").finished(1.0, MLP_IN, None).encode_spec
    assert (transcoder.architecture, transcoder.d_out) == ("transcoder", E)
    assert transcoder.site_out == HookSite(layer=3, site="mlp_out")
    skip = training_sae("skip").finished(1.0, SITE, None).encode_spec
    assert (skip.architecture, skip.site_out) == ("skip_transcoder", SITE)
    assert not skip.is_transcoder


@pytest.mark.parametrize("name", WITH_SKIP)
def test_the_linear_path_starts_at_0(name):
    sae, batch = training_sae(name), pair(name)
    assert sae.finished(1.0, SITE, None).W_skip.abs().max() == 0
    assert sae.step(batch, StepContext(step=0)).reported["skip_fvu"].item() == pytest.approx(1.0)


def test_the_biases_of_a_transcoder_start_at_the_mean_of_the_targets():
    sae, target_mean = training_sae("transcoder"), torch.randn(E)
    sae.center(torch.zeros(D), target_mean)
    assert torch.equal(sae.parameters.b_dec, target_mean)


def test_a_path_that_could_copy_its_input_is_refused():
    with pytest.raises(SpecInvalid, match="could copy") as refusal:
        training_sae("skip", skip_rank=9)
    assert refusal.value.field == "skip_rank"


@pytest.mark.parametrize("name", WITH_SKIP)
def test_a_linear_path_takes_no_normalisation_of_each_token(name):
    """It would have to be undone in the middle of the sum, which no format can say."""
    with pytest.raises(SpecInvalid, match="linear path") as refusal:
        training_sae(name, normalize_activations="layer_norm")
    assert refusal.value.field == "normalize_activations"


def paired_world(name: str, tokens: int, seed: int) -> Batch:
    """Activations of mean norm √width; the same dictionaries whatever the seed."""
    fixed, drawn = torch.Generator().manual_seed(11), torch.Generator().manual_seed(seed)
    reads, answers = torch.randn(2, CAUSES, 32, generator=fixed)
    dense = torch.randn(4, 32, generator=fixed)
    mixing = torch.linalg.qr(torch.randn(32, 32, generator=fixed)).Q
    cause = (torch.rand(tokens, CAUSES, generator=drawn) < 0.04) * (0.5 + torch.rand(tokens, CAUSES, generator=drawn))
    x_BD, y_BE = cause @ reads, cause @ answers
    if name == "skip":
        x_BD = x_BD + 2 * torch.randn(tokens, 4, generator=drawn) @ dense
        y_BE = x_BD
    if name == "skip_transcoder":
        y_BE = y_BE + 2 * x_BD @ mixing
    return Batch(*(v * (32**0.5 / v.norm(dim=-1).mean()) for v in (x_BD, y_BE)))


@cache
def fvu_and_l0(name: str, world: str, decoder: str = "trained") -> tuple[float, float]:
    """On unseen tokens of a paired world, after a training on it."""
    sae = training_sae(name, d_in=32, d_out=32, d_sae=128, l1_coefficient=0.5, skip_rank=4, decoder=decoder)
    seen, unseen, meter = paired_world(world, 16_384, seed=0), paired_world(world, 4096, seed=1), FvuMeter()
    optimizer = torch.optim.Adam([sae.weights], lr=3e-3)
    sae.center(seen.x_BD.mean(0), seen.y_BE.mean(0))
    for step in range(400):
        rows = slice(step * 512 % 16_384, step * 512 % 16_384 + 512)
        sae.step(Batch(seen.x_BD[rows], seen.y_BE[rows]), StepContext(step=step))
        optimizer.step()
        sae.after_update(StepContext(step=step))
    finished = sae.finished(1.0, MLP_IN, None)
    meter.add(unseen.y_BE, finished.reconstruct(unseen.x_BD))
    return meter.value(), finished.encode_sparse(unseen.x_BD).counts().sum().item() / 4096


@pytest.mark.parametrize("name", ["transcoder", *WITH_SKIP])
def test_a_trained_one_beats_a_random_decoder_clearly(name):
    fvu, l0 = fvu_and_l0(name, world=name)
    control_fvu, control_l0 = fvu_and_l0(name, world=name, decoder="random")
    assert fvu < 0.5 * control_fvu
    assert l0 < control_l0


@pytest.mark.parametrize("name, alone", [("skip_transcoder", "transcoder"), ("skip", "standard")])
def test_the_linear_path_carries_what_is_dense(name, alone):
    """On the same world, better and sparser than the same latents alone."""
    fvu, l0 = fvu_and_l0(name, world=name)
    fvu_alone, l0_alone = fvu_and_l0(alone, world=name)
    assert fvu < 0.7 * fvu_alone
    assert l0 < 0.7 * l0_alone
