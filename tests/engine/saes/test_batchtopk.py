"""BatchTopK and Matryoshka: who is chosen, the threshold that takes the batch's place, and the nested levels."""

import pytest
import torch

from tests.engine.saes.worlds import SITE, activations
from workers.engine.saes.base import Batch, StepContext
from workers.engine.saes.batchtopk import BatchTopKTrainingSae
from workers.engine.saes.registry import training_sae_class
from workers.engine.specs.training import TrainSpec

D, F, K = 16, 48, 5
X_BD = activations(256, D) / 3
CONTEXT = StepContext(step=0)
both = pytest.mark.parametrize("name", ["batchtopk", "matryoshka"])


def training_sae(name: str = "batchtopk", **options) -> BatchTopKTrainingSae:
    """Decoder rows of different lengths, encoder apart from decoder."""
    spec = TrainSpec(activation_cache=1, architecture=name, d_sae=F, k=K, **options)
    sae = training_sae_class(name)(spec, D)
    sae.weights += torch.randn(len(sae.weights), generator=torch.Generator().manual_seed(3)) * 0.1
    return sae


def step(sae, x_BD=X_BD):
    return sae.step(Batch(x_BD, x_BD), CONTEXT)


@both
def test_k_latents_fire_on_average_and_tokens_differ(name):
    sae = training_sae(name)
    assert step(sae).fired_F.sum() == K * len(X_BD)
    per_token = torch.bincount(sae._choose(X_BD - sae.parameters.b_dec)[0].token_N, minlength=len(X_BD))
    assert per_token.min() < K < per_token.max()


@pytest.mark.parametrize("running", [0.0, 0.5, 1e6])
def test_the_running_threshold_never_decides_who_is_chosen(running):
    usual, other = training_sae(), training_sae()
    step(usual)
    other.kept["threshold"].fill_(running)
    step(other)
    assert torch.equal(usual.weights.grad, other.weights.grad)


def test_the_running_threshold_follows_the_smallest_value_chosen():
    sae = training_sae()
    step(sae)
    p_BF = (X_BD - sae.parameters.b_dec) @ sae.parameters.W_enc.T + sae.parameters.b_enc
    score_N = (p_BF * sae.parameters.W_dec.norm(dim=-1)).flatten()
    smallest = score_N.topk(K * len(X_BD)).values[-1].item()
    assert sae.kept["threshold"].item() == pytest.approx(smallest, rel=1e-5)
    step(sae, X_BD * 2)
    assert sae.kept["threshold"].item() == pytest.approx(smallest * 1.01, rel=2e-3)


@both
def test_a_calibrated_threshold_fires_k_latents_on_average(name):
    sae = training_sae(name)
    sae.calibrate(X_BD)
    finished = sae.finished(0.25, SITE, None)
    assert (finished.encode(X_BD / 0.25) > 0).sum() == K * len(X_BD)
    unseen = activations(4096, D, seed=9) / 3
    assert (finished.encode(unseen / 0.25) > 0).sum(1).double().mean().item() == pytest.approx(K, rel=0.05)


def test_fewer_positive_values_than_wanted_put_the_threshold_at_zero():
    sae = training_sae()
    sae.parameters.b_enc.fill_(-1e6)
    sae.calibrate(X_BD)
    assert sae.kept["threshold"] == 0
    assert step(sae).fired_F.sum() == 0


def test_a_latent_of_an_inner_level_learns_from_every_level_above():
    """With one level more, the rows behind it keep their gradient and those before it get another."""
    plain, nested = training_sae("batchtopk"), training_sae("matryoshka", matryoshka_widths=(12,))
    plain_loss, nested_loss = step(plain).losses, step(nested).losses
    assert torch.equal(plain_loss["mse"], nested_loss["mse"])
    assert nested_loss["inner"] > 0
    assert torch.allclose(plain.gradients.W_dec[12:], nested.gradients.W_dec[12:], atol=1e-6)
    assert not torch.allclose(plain.gradients.W_dec[:12], nested.gradients.W_dec[:12], rtol=0.1)


@pytest.mark.parametrize(
    "widths, levels", [((), (3, 6, 12, 24, 48)), ((8, 20), (8, 20, 48)), ((8, 48), (8, 48))], ids=str
)
def test_levels_end_at_the_whole_dictionary(widths, levels):
    assert training_sae("matryoshka", matryoshka_widths=widths).levels() == levels


@both
def test_nan_shows_in_the_loss(name):
    sae = training_sae(name)
    step(sae)
    sae.weights[:3] = torch.nan
    assert step(sae).loss.isnan()
