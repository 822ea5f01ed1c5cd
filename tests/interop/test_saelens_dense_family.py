"""Standard, Gated and JumpReLU beside SAELens 6.54: equal gradients at the first step, equal losses over a training.

Same weights, same batches, float32. The trainings pass from dense to active-set steps or back on the way, as the last
assertion makes sure, so both are held against SAELens.

Rounding alone parts two trainings in time: sums in another order decide otherwise about a latent at its threshold, and
Adam makes a whole step of it. Losses agree to 7 digits until then, to 3 at the end with a learning rate of 1e-3; with
3e-3 they part by 1 % within 200 steps, in SAELens against itself too when its weights are moved by 1e-7.
"""

import pytest
import torch
from sae_lens import (
    GatedTrainingSAE,
    GatedTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
)
from sae_lens.saes.sae import TrainStepInput
from torch.nn.utils import clip_grad_norm_

from workers.engine.saes import pairwise
from workers.engine.saes.base import Batch, StepContext, TrainingSae
from workers.engine.saes.pairs import ActivePairs, DensePairs
from workers.engine.saes.registry import training_sae_class
from workers.engine.specs.training import TrainSpec

D, F, BATCH, STEPS = 64, 512, 128, 200
COEFFICIENT = 3.0
JUMPRELU = {"bandwidth": 0.3, "initial_threshold": 0.1}
CASES = {
    "standard": {},
    "gated": {},
    "jumprelu": {"l0_loss": "step"},
    "jumprelu tanh": {"l0_loss": "tanh", "tanh_scale": 2.0, "pre_act_coefficient": 0.01},
    "jumprelu quadratic": {"l0_loss": "quadratic", "target_l0": 20.0},
}
SHARES = {"standard": 0.3, "gated": 0.3, "jumprelu": 0.7, "jumprelu tanh": 0.5, "jumprelu quadratic": 0.7}
"""Shares of touched pairs that each training crosses."""
every_case = pytest.mark.parametrize("case", CASES)


def sparse_world(tokens: int) -> torch.Tensor:
    """Activations (tokens, D): sums of about 6 of 128 directions, their mean norm √D."""
    generator = torch.Generator().manual_seed(5)
    directions = torch.randn(128, D, generator=generator)
    fires = torch.rand(tokens, 128, generator=generator) < 0.05
    x_BD = (fires * torch.rand(tokens, 128, generator=generator)) @ directions
    return x_BD * (D**0.5 / x_BD.norm(dim=-1).mean())


def our_sae(case: str) -> TrainingSae:
    name = case.split()[0]
    options = {"d_sae": F, "sparsity_warmup_steps": 0, **CASES[case]} | (JUMPRELU if name == "jumprelu" else {})
    spec = TrainSpec(
        activation_cache=1, architecture=name, l1_coefficient=COEFFICIENT, l0_coefficient=coefficient(case), **options
    )
    return training_sae_class(name)(spec, D)


def coefficient(case: str) -> float:
    return 0.02 if "quadratic" in case else COEFFICIENT if case in ("standard", "gated") else 0.5


def saelens_sae(case: str):
    own = CASES[case]
    if case == "standard":
        return StandardTrainingSAE(StandardTrainingSAEConfig(d_in=D, d_sae=F))
    if case == "gated":
        return GatedTrainingSAE(GatedTrainingSAEConfig(d_in=D, d_sae=F))
    config = JumpReLUTrainingSAEConfig(
        d_in=D,
        d_sae=F,
        jumprelu_bandwidth=JUMPRELU["bandwidth"],
        jumprelu_sparsity_loss_mode=own["l0_loss"],
        jumprelu_tanh_scale=own.get("tanh_scale", 4.0),
        pre_act_loss_coefficient=own.get("pre_act_coefficient"),
        target_l0=own.get("target_l0"),
    )
    return JumpReLUTrainingSAE(config)


@torch.no_grad()
def give_weights(ours: TrainingSae, theirs) -> None:
    for name, parameter in zip(ours.parameters._fields, ours.parameters):
        getattr(theirs, name).copy_(parameter.T if name == "W_enc" else parameter)


def saelens_loss(theirs, case: str, x_BD: torch.Tensor, dead_F: torch.Tensor):
    coefficients = dict.fromkeys(("l1", "l0"), coefficient(case))
    known = {"coefficients": coefficients, "n_training_steps": 0, "is_logging_step": False}
    return theirs.training_forward_pass(TrainStepInput(sae_in=x_BD, dead_neuron_mask=dead_F, **known))


@every_case
def test_first_step_gradients_equal_saelens(case):
    ours, theirs, x_BD = our_sae(case), saelens_sae(case), sparse_world(BATCH)
    # away from the symmetric start, where W_enc = W_dec and every bias is 0
    ours.weights += torch.randn(len(ours.weights), generator=torch.Generator().manual_seed(3)) * 0.05
    ours.after_update(StepContext(step=0))
    give_weights(ours, theirs)
    dead_F = torch.arange(F) % 9 == 0
    out = ours.step(Batch(x_BD, x_BD), StepContext(step=0, dead_F=dead_F))
    expected = saelens_loss(theirs, case, x_BD, dead_F)
    expected.loss.backward()
    assert torch.allclose(out.loss, expected.loss, rtol=1e-5)
    assert torch.equal(out.fired_F, (expected.feature_acts > 0).sum(0))
    for name, gradient in zip(ours.gradients._fields, ours.gradients):
        their_gradient = getattr(theirs, name).grad
        their_gradient = their_gradient.T if name == "W_enc" else their_gradient
        assert their_gradient.norm() > 0, name
        assert (gradient - their_gradient).norm() < 1e-5 * their_gradient.norm(), name


@every_case
def test_losses_stay_with_saelens_over_a_training(case, monkeypatch):
    monkeypatch.setattr(pairwise, "DENSE_SHARE", SHARES[case])
    ours, theirs, x_BD = our_sae(case), saelens_sae(case), sparse_world(20 * BATCH)
    give_weights(ours, theirs)
    our_adam = torch.optim.Adam([ours.weights], lr=1e-3, fused=True)
    their_adam = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    dead_F = torch.arange(F) % 9 == 0
    losses, their_losses, ways = [], [], set()
    learn = ours._learn
    monkeypatch.setattr(ours, "_learn", lambda piece: ways.add(type(piece.pairs)) or learn(piece))
    for step in range(STEPS):
        part_BD = x_BD[step % 20 * BATCH :][:BATCH]
        context = StepContext(step=step, dead_F=dead_F)
        out = ours.step(Batch(part_BD, part_BD), context)
        clip_grad_norm_([ours.weights], 1.0)
        our_adam.step()
        ours.after_update(context)

        expected = saelens_loss(theirs, case, part_BD, dead_F)
        their_adam.zero_grad()
        expected.loss.backward()
        clip_grad_norm_(theirs.parameters(), 1.0)
        their_adam.step()
        losses.append(out.loss.item())
        their_losses.append(expected.loss.item())
    assert losses == pytest.approx(their_losses, rel=1e-3)
    assert ways == {DensePairs, ActivePairs}
