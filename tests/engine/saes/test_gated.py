"""Gated: what each path learns from, and that the finished SAE has both."""

import pytest
import torch

from tests.engine.saes.worlds import SITE, activations
from workers.engine.saes.base import Batch, StepContext
from workers.engine.saes.gated import GatedTrainingSae
from workers.engine.specs.training import TrainSpec

D, F = 16, 48
X_BD = activations(256, D) / 3
BATCH, CONTEXT = Batch(X_BD, X_BD), StepContext(step=0)


def training_sae(**options) -> GatedTrainingSae:
    spec = TrainSpec(activation_cache=1, architecture="gated", **{"d_sae": F, "sparsity_warmup_steps": 0} | options)
    sae = GatedTrainingSae(spec, D)
    sae.weights += torch.randn(len(sae.weights), generator=torch.Generator().manual_seed(3)) * 0.1
    return sae


def test_the_sparsity_penalty_reaches_the_gate_and_spares_the_magnitudes():
    light, heavy = training_sae(l1_coefficient=0.1), training_sae(l1_coefficient=9.0)
    light.step(BATCH, CONTEXT)
    heavy.step(BATCH, CONTEXT)
    assert torch.equal(light.gradients.r_mag, heavy.gradients.r_mag)
    assert torch.equal(light.gradients.b_mag, heavy.gradients.b_mag)
    assert (heavy.gradients.b_gate > light.gradients.b_gate).float().mean() > 0.9


def test_the_gate_decides_what_fires_and_the_magnitude_how_strongly():
    sae = training_sae()
    before = sae.step(BATCH, CONTEXT)
    sae.parameters.b_mag.add_(50.0)
    louder = sae.step(BATCH, CONTEXT)
    assert torch.equal(louder.losses["aux"], before.losses["aux"])
    assert louder.losses["mse"] > before.losses["mse"]
    sae.parameters.b_gate.fill_(-100.0)
    assert sae.step(BATCH, CONTEXT).fired_F.sum() == 0


def test_a_gate_without_magnitude_does_not_fire():
    sae = training_sae()
    sae.parameters.b_mag.fill_(-100.0)
    out = sae.step(BATCH, CONTEXT)
    assert out.fired_F.sum() == 0
    assert out.losses["l1"] > 0


def test_equal_paths_make_both_reconstructions_one():
    sae = training_sae()
    sae.parameters.r_mag.zero_()
    sae.parameters.b_mag.copy_(sae.parameters.b_gate)
    losses = sae.step(BATCH, CONTEXT).losses
    assert losses["mse"].item() == pytest.approx(losses["aux"].item(), rel=1e-5)


def test_the_finished_biases_are_in_the_units_of_raw_activations_and_the_ratio_stays():
    sae = training_sae()
    finished = sae.finished(0.25, SITE, None)
    norm_F = sae.parameters.W_dec.norm(dim=-1) / 0.25
    assert finished.encode_spec.architecture == "gated"
    assert torch.allclose(finished.b_gate, sae.parameters.b_gate * norm_F)
    assert torch.allclose(finished.b_mag, sae.parameters.b_mag * norm_F)
    assert torch.equal(finished.r_mag, sae.parameters.r_mag)
