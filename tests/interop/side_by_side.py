"""One step, and one training, of ours and of SAELens on the same weights and the same batches, in float32."""

import torch
from sae_lens import TrainingSAE
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from tests.interop.rival import give_weights, rival_loss
from workers.engine.saes.base import Batch, StepContext, StepOutput, TrainingSae

D, F, BATCH, STEPS = 64, 512, 128, 200
DEAD_F = torch.arange(F) % 9 == 0
"""Latents that count as dead throughout."""


def sparse_world(tokens: int) -> Tensor:
    """Activations (tokens, D): sums of about 6 of 128 directions, their mean norm √D."""
    generator = torch.Generator().manual_seed(5)
    directions = torch.randn(128, D, generator=generator)
    fires = torch.rand(tokens, 128, generator=generator) < 0.05
    x_BD = (fires * torch.rand(tokens, 128, generator=generator)) @ directions
    return x_BD * (D**0.5 / x_BD.norm(dim=-1).mean())


def first_step_compare(
    ours: TrainingSae, theirs: TrainingSAE, dead_F: Tensor = DEAD_F, coefficient: float = 0.0
) -> tuple[StepOutput, dict[str, Tensor]]:
    """Assert equal loss, firings and gradients (1e-5, relative) of the first step; ours, and SAELens' loss terms."""
    x_BD = sparse_world(BATCH)
    # away from the symmetric start, where W_enc = W_dec and every bias is 0
    ours.weights += torch.randn(len(ours.weights), generator=torch.Generator().manual_seed(3)) * 0.05
    ours.after_update(StepContext(step=0))
    give_weights(ours, theirs)
    out = ours.step(Batch(x_BD, x_BD), StepContext(step=0, dead_F=dead_F))
    expected = rival_loss(theirs, x_BD, dead_F, coefficient)
    expected.loss.backward()
    assert torch.allclose(out.loss, expected.loss, rtol=1e-5)
    assert torch.equal(out.fired_F, (expected.feature_acts > 0).sum(0))
    for name, gradient in zip(ours.gradients._fields, ours.gradients):
        their_gradient = getattr(theirs, name).grad
        their_gradient = their_gradient.T if name == "W_enc" else their_gradient
        assert their_gradient.norm() > 0, name
        assert (gradient - their_gradient).norm() < 1e-5 * their_gradient.norm(), name
    return out, expected.losses


def training_losses(
    ours: TrainingSae, theirs: TrainingSAE, coefficient: float = 0.0
) -> tuple[list[float], list[float]]:
    """The loss of each step of two trainings of 200 steps at a learning rate of 1e-3, gradients clipped at 1."""
    x_BD = sparse_world(20 * BATCH)
    give_weights(ours, theirs)
    our_adam = torch.optim.Adam([ours.weights], lr=1e-3, fused=True)
    their_adam = torch.optim.Adam(theirs.parameters(), lr=1e-3)
    losses, their_losses = [], []
    for step in range(STEPS):
        part_BD = x_BD[step % 20 * BATCH :][:BATCH]
        context = StepContext(step=step, dead_F=DEAD_F)
        out = ours.step(Batch(part_BD, part_BD), context)
        clip_grad_norm_([ours.weights], 1.0)
        our_adam.step()
        ours.after_update(context)

        expected = rival_loss(theirs, part_BD, DEAD_F, coefficient)
        their_adam.zero_grad()
        expected.loss.backward()
        clip_grad_norm_(theirs.parameters(), 1.0)
        their_adam.step()
        losses.append(out.loss.item())
        their_losses.append(expected.loss.item())
    return losses, their_losses
