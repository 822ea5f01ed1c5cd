"""What every registered architecture owes the trainer: autograd's gradients, a seed that decides, an end."""

import pytest
import torch

from tests.engine.saes.worlds import SITE, activations
from workers.engine.saes.base import Batch, StepContext, TrainingSae
from workers.engine.saes.registry import TRAINING_SAES, training_sae_class
from workers.engine.specs.errors import SpecInvalid
from workers.engine.specs.training import ARCHITECTURES, TRANSCODERS, TrainSpec

D, F = 16, 48
X_BD = activations(256, D) / 3
BATCH = Batch(X_BD, X_BD)
NONE_DEAD = torch.zeros(F, dtype=torch.bool)
every_architecture = pytest.mark.parametrize("name", sorted(TRAINING_SAES))


def training_sae(name, *, dtype=torch.float32, **options) -> TrainingSae:
    spec = TrainSpec(
        activation_cache=1, architecture=name, d_sae=F, **{"k": 5, "sparsity_warmup_steps": 0, "skip_rank": 3} | options
    )
    return training_sae_class(name)(spec, D, matmul_dtype=dtype)


def shaken(sae: TrainingSae) -> TrainingSae:
    """Decoder rows of different lengths, encoder apart from decoder, biases away from 0."""
    sae.weights += torch.randn(len(sae.weights), generator=torch.Generator().manual_seed(3)) * 0.1
    sae.after_update(StepContext(step=0))  # thresholds stay at 0 or above
    return sae


def relative_difference(a, b):
    return ((a - b).norm() / b.norm()).item()


def test_the_registry_and_the_spec_name_the_same_architectures():
    assert sorted(TRAINING_SAES) == sorted(name for name, _ in ARCHITECTURES)
    with pytest.raises(SpecInvalid, match="sparse coding") as refusal:
        training_sae_class("sparse coding")
    assert "standard, topk" in refusal.value.hint


@every_architecture
def test_decoder_rows_start_at_a_tenth_and_the_encoder_equals_them(name):
    parameters = training_sae(name).parameters
    assert torch.allclose(parameters.W_dec.norm(dim=1), torch.full((F,), 0.1))
    if name not in TRANSCODERS:
        assert torch.equal(parameters.W_enc, parameters.W_dec)
    biases = [vector for field, vector in parameters._asdict().items() if field.startswith("b_")]
    assert all(bias.abs().sum() == 0 for bias in biases)


@every_architecture
def test_the_seed_decides_the_first_weights(name):
    first, again, other = (training_sae(name, seed=seed).weights for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@every_architecture
def test_the_step_fills_the_gradient_of_its_loss(name):
    sae = shaken(training_sae(name))
    out = sae.step(BATCH, StepContext(step=0, dead_F=NONE_DEAD))
    assert set(out.losses) == set(sae.LOSSES)
    assert torch.allclose(out.loss, sum(out.losses.values()))
    # moving against the gradient lowers the loss by about what it promises; TopK's choice may change on the way
    gradient = sae.weights.grad.clone()
    epsilon = 1e-2 / gradient.norm()
    sae.weights -= epsilon * gradient
    lower = sae.step(BATCH, StepContext(step=0, dead_F=NONE_DEAD)).loss
    assert (out.loss - lower).item() == pytest.approx((epsilon * gradient.square().sum()).item(), rel=0.5)


@every_architecture
@pytest.mark.parametrize("dead", [0, 3, 30])
def test_the_fast_step_has_the_gradients_of_autograd(name, dead):
    context = StepContext(step=0, dead_F=torch.arange(F) < dead)
    fast, reference = shaken(training_sae(name)), shaken(training_sae(name))
    quick = fast.step(BATCH, context)
    plain = TrainingSae.step(reference, BATCH, context)
    assert relative_difference(fast.weights.grad, reference.weights.grad) < 1e-5
    for ours, autograd in zip(fast.gradients, reference.gradients):
        assert relative_difference(ours, autograd) < 1e-5
    assert torch.allclose(quick.loss, plain.loss, rtol=1e-5)
    assert torch.equal(quick.fired_F, plain.fired_F)


@every_architecture
def test_bfloat16_products_change_the_gradient_little(name):
    context = StepContext(step=0, dead_F=torch.arange(F) < 10)
    exact, coarse = shaken(training_sae(name)), shaken(training_sae(name, dtype=torch.bfloat16))
    exact.step(BATCH, context)
    coarse.step(BATCH, context)
    assert 0 < relative_difference(coarse.weights.grad, exact.weights.grad) < 0.1


@every_architecture
def test_the_finished_sae_reads_raw_activations_and_has_unit_decoder_rows(name):
    sae, factor = shaken(training_sae(name)), 0.25
    sae.calibrate(X_BD)  # BatchTopK and Matryoshka: the threshold that chooses what this batch chooses
    finished = sae.finished(factor, SITE, 30.0)
    assert torch.allclose(finished.W_dec.norm(dim=1), torch.ones(F))
    mse = sae.step(BATCH, StepContext(step=0)).losses["mse"]
    error = finished.reconstruct(X_BD / factor) * factor - X_BD
    assert error.square().sum(-1).mean().item() == pytest.approx(mse.item(), rel=1e-4)
    assert finished.encode_spec.sink_threshold == 30.0
    assert torch.equal((finished.encode(X_BD / factor) > 0).sum(0), sae.step(BATCH, StepContext(step=0)).fired_F)


def test_topk_fires_k_latents_a_token():
    out = training_sae("topk", k=7).step(BATCH, StepContext(step=0))
    assert out.fired_F.sum() <= 7 * len(X_BD)
    assert out.fired_F.sum() > 6 * len(X_BD)


@pytest.mark.parametrize("option", [{"aux_k": 2}, {"aux_coefficient": 0.5}])
def test_the_options_of_auxk_change_the_loss(option):
    context = StepContext(step=0, dead_F=torch.arange(F) < 10)
    usual = shaken(training_sae("topk")).step(BATCH, context).losses["aux"]
    other = shaken(training_sae("topk", **option)).step(BATCH, context).losses["aux"]
    assert usual > 0
    assert not torch.allclose(usual, other)


def test_auxk_switched_off_costs_nothing():
    out = training_sae("topk", aux_coefficient=0.0).step(BATCH, StepContext(step=0, dead_F=~NONE_DEAD))
    assert out.losses["aux"] == 0


def test_auxk_moves_only_dead_rows_and_b_dec():
    with_dead, without = shaken(training_sae("topk")), shaken(training_sae("topk"))
    with_dead.step(BATCH, StepContext(step=0, dead_F=torch.arange(F) < 4))
    without.step(BATCH, StepContext(step=0))
    moved = (with_dead.gradients.W_dec != without.gradients.W_dec).any(1)
    assert moved[:4].all()
    assert not moved[4:].any()


def test_the_l1_coefficient_scales_its_term_and_warms_up():
    def term(step, **options):
        return training_sae("standard", **options).step(BATCH, StepContext(step=step)).losses["l1"]

    assert torch.allclose(term(0, l1_coefficient=2.0), 2 * term(0, l1_coefficient=1.0))
    assert term(0, sparsity_warmup_steps=10) == 0
    assert torch.allclose(term(5, sparsity_warmup_steps=10), 0.5 * term(99, sparsity_warmup_steps=10))
