"""JumpReLU: every option decides something, thresholds stay at or above 0 and go to the finished SAE."""

import pytest
import torch

from tests.engine.saes.worlds import SITE, activations
from workers.engine.saes.base import Batch, StepContext
from workers.engine.saes.jumprelu import JumpReluTrainingSae
from workers.engine.specs.training import TrainSpec

D, F = 16, 48
X_BD = activations(256, D) / 3
BATCH = Batch(X_BD, X_BD)
CONTEXT = StepContext(step=0, dead_F=torch.arange(F) < 9)
TANH = {"l0_loss": "tanh", "pre_act_coefficient": 0.1}


def training_sae(**options) -> JumpReluTrainingSae:
    usual = {"d_sae": F, "bandwidth": 0.5, "initial_threshold": 0.3, "sparsity_warmup_steps": 0}
    sae = JumpReluTrainingSae(TrainSpec(activation_cache=1, architecture="jumprelu", **usual | options), D)
    sae.parameters.W_enc.mul_(3)
    return sae


def stepped(**options) -> tuple[JumpReluTrainingSae, dict[str, float]]:
    sae = training_sae(**options)
    return sae, {name: term.item() for name, term in sae.step(BATCH, CONTEXT).losses.items()}


def test_thresholds_start_where_the_option_says_and_decide_what_fires():
    low, high = training_sae(initial_threshold=0.1), training_sae(initial_threshold=0.6)
    assert torch.equal(low.parameters.threshold, torch.full((F,), 0.1))
    assert high.step(BATCH, CONTEXT).fired_F.sum() < low.step(BATCH, CONTEXT).fired_F.sum()


def test_the_bandwidth_reaches_the_threshold_alone():
    narrow, _ = stepped(bandwidth=0.1)
    wide, _ = stepped(bandwidth=1.0)
    for name, first, second in zip(narrow.parameters._fields, narrow.gradients, wide.gradients):
        assert torch.allclose(first, second, rtol=1e-4, atol=1e-6) == (name != "threshold"), name


def test_step_counts_what_fires():
    sae, losses = stepped(l0_coefficient=2.0)
    p_BF = (X_BD - sae.parameters.b_dec) @ sae.parameters.W_enc.T
    assert losses["l0"] == pytest.approx(2 * (p_BF > 0.3).sum(1).float().mean().item())


def test_quadratic_aims_at_its_target_from_both_sides():
    _, counted = stepped()
    l0 = counted["l0"]
    for target, sign in ((l0 / 2, -1), (l0 * 2, 1)):
        sae, losses = stepped(l0_loss="quadratic", target_l0=target, l0_coefficient=1000.0)
        assert losses["l0"] > 0
        # so strong a coefficient leaves the squared error no say: too many fire, thresholds rise, and the other way
        assert (sign * sae.gradients.threshold >= 0).float().mean() > 0.9


def test_tanh_comes_closer_to_counting_as_its_scale_grows():
    l0 = stepped()[1]["l0"]
    soft, hard, hardest = (stepped(l0_loss="tanh", tanh_scale=scale)[1]["l0"] for scale in (4.0, 20.0, 100.0))
    assert soft < hard < hardest
    assert hardest == pytest.approx(l0, rel=0.05)


def test_the_pre_activation_loss_pulls_dead_latents_up_and_no_others():
    pulled, losses = stepped(**TANH)
    left, none = stepped(**TANH | {"pre_act_coefficient": 0.0})
    assert losses["pre_act"] > none["pre_act"] == 0
    moved_F = pulled.gradients.b_enc - left.gradients.b_enc
    assert (moved_F[:9] < 0).all()
    assert torch.equal(moved_F[9:], torch.zeros(F - 9))
    assert stepped(**TANH | {"pre_act_coefficient": 0.2})[1]["pre_act"] == pytest.approx(2 * losses["pre_act"])
    assert training_sae(**TANH).step(BATCH, StepContext(step=0)).losses["pre_act"] == 0


def test_thresholds_never_fall_below_0_and_can_leave_it_again():
    sae = training_sae()
    sae.parameters.threshold[:5] = -1.0
    sae.after_update(CONTEXT)
    assert torch.equal(sae.parameters.threshold[:5], torch.zeros(5))
    assert torch.equal(sae.parameters.threshold[5:], torch.full((F - 5,), 0.3))
    sae.step(BATCH, CONTEXT)
    assert (sae.gradients.threshold[:5] != 0).all()


def test_thresholds_are_float32_with_bfloat16_products_too():
    spec = TrainSpec(activation_cache=1, architecture="jumprelu", d_sae=F)
    sae = JumpReluTrainingSae(spec, D, matmul_dtype=torch.bfloat16)
    assert sae.parameters.threshold.dtype == sae.gradients.threshold.dtype == torch.float32


def test_the_finished_threshold_is_in_the_units_of_raw_activations_and_unit_decoder_rows():
    sae = training_sae()
    sae.parameters.W_dec.mul_(torch.arange(1, F + 1)[:, None])
    finished = sae.finished(0.25, SITE, None)
    assert finished.encode_spec.architecture == "jumprelu"
    assert torch.allclose(finished.threshold, 0.3 * sae.parameters.W_dec.norm(dim=-1) / 0.25)


def test_training_brings_the_quadratic_loss_to_its_target():
    sae = training_sae(l0_loss="quadratic", target_l0=5.0, l0_coefficient=30.0)
    adam = torch.optim.Adam([sae.weights], lr=1e-2)
    for step in range(300):
        context = StepContext(step=step)
        out = sae.step(BATCH, context)
        adam.step()
        sae.after_update(context)
    assert out.fired_F.sum().item() / len(X_BD) == pytest.approx(5.0, abs=1.5)
