"""TopK, BatchTopK and Matryoshka beside SAELens 6.54: equal gradients at the first step, equal losses over a training.

Same weights, same batches, float32, AuxK at work. b_dec starts at 0 in both; a training of ours moves it to the mean
activation before its first step (saes/base.py says why), and tests/truth measures what that changes.

Scores are summed in another order here, so two latents that tie at the cut within rounding may swap: at the first step none
does. Over a training each such swap parts the two weights a little; the losses still agree to 3 digits after 200 steps.
"""

import pytest
import torch
from sae_lens import TrainingSAE

from tests.interop.rival import rival_of
from tests.interop.side_by_side import DEAD_F, D, F, first_step_compare, training_losses
from workers.engine.saes.base import TrainingSae
from workers.engine.saes.registry import training_sae_class
from workers.engine.specs.training import TOPK_FAMILY, TrainSpec

DEAD = {"none": torch.zeros(F, dtype=torch.bool), "a ninth": DEAD_F, "most": torch.arange(F) >= 20}
"""AuxK takes up D / 2 = 32 latents for each token: fewer are dead, or more."""
every_architecture = pytest.mark.parametrize("name", TOPK_FAMILY)


def both(name: str) -> tuple[TrainingSae, TrainingSAE]:
    """Ours and SAELens', untrained."""
    widths = {"matryoshka_widths": (32, 128, F)} if name == "matryoshka" else {}
    spec = TrainSpec(activation_cache=1, architecture=name, d_sae=F, k=8, **widths)
    return training_sae_class(name)(spec, D), rival_of(spec, D)


@every_architecture
@pytest.mark.parametrize("dead", DEAD)
def test_first_step_gradients_equal_saelens(name, dead):
    ours, theirs = first_step_compare(*both(name), DEAD[dead])
    inner = [term for key, term in theirs.items() if key.startswith("inner_mse_loss_")]
    expected = {"mse": theirs["mse_loss"], "aux": theirs["auxiliary_reconstruction_loss"], "inner": sum(inner)}
    for term, value in ours.losses.items():
        assert value.item() == pytest.approx(torch.as_tensor(expected[term]).item(), rel=1e-5), term


@every_architecture
def test_losses_stay_with_saelens_over_a_training(name):
    losses, their_losses = training_losses(*both(name))
    assert losses == pytest.approx(their_losses, rel=1e-3)
    assert losses[-1] < 0.7 * losses[0]
