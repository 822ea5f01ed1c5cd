"""What every architecture inherits: held decoders, normalised rows, folding of factors, normalisation of each token."""

import pytest
import torch

from tests.engine.saes.worlds import MLP_IN, SITE, activations
from workers.engine.formats.saelens import sae_read, sae_write
from workers.engine.saes.base import DECODER_INIT_NORM, Batch, StepContext, TrainingSae
from workers.engine.saes.encoding import normalized
from workers.engine.saes.registry import TRAINING_SAES, training_sae_class
from workers.engine.specs.training import TrainSpec

D, F = 16, 48
X_BD = activations(256, D) / 3
CONTEXT = StepContext(step=0)
every_architecture = pytest.mark.parametrize("name", sorted(TRAINING_SAES))


def training_sae(name: str, **options) -> TrainingSae:
    options = {"k": 5, "sparsity_warmup_steps": 0, "skip_rank": 3} | options
    spec = TrainSpec(activation_cache=1, architecture=name, d_sae=F, **options)
    return training_sae_class(name)(spec, D)


def trained(sae: TrainingSae, steps: int = 5) -> TrainingSae:
    """`sae` after some steps of Adam, taken as the trainer takes them."""
    optimizer = torch.optim.Adam([sae.weights], lr=1e-2)
    for step in range(steps):
        sae.step(Batch(X_BD, X_BD), StepContext(step=step))
        optimizer.step()
        sae.after_update(StepContext(step=step))
    return sae


@every_architecture
@pytest.mark.parametrize("decoder", ["frozen", "random"])
def test_a_held_decoder_stays_bit_by_bit_while_the_rest_learns(name, decoder):
    sae = training_sae(name, decoder=decoder)
    start = sae.weights.clone()
    first_W_dec, first_W_enc = sae.parameters.W_dec.clone(), sae.parameters.W_enc.clone()
    trained(sae)
    assert torch.equal(sae.parameters.W_dec, first_W_dec)
    assert not torch.equal(sae.parameters.W_enc, first_W_enc)
    assert not torch.equal(sae.weights, start)


@every_architecture
def test_a_trained_decoder_moves(name):
    sae = training_sae(name)
    first = sae.parameters.W_dec.clone()
    assert not torch.equal(trained(sae).parameters.W_dec, first)


@every_architecture
def test_frozen_rows_start_as_the_encoders_and_random_ones_apart(name):
    usual, frozen, random = (training_sae(name, decoder=how).parameters for how in ("trained", "frozen", "random"))
    assert torch.equal(frozen.W_dec, usual.W_dec)
    assert torch.equal(frozen.W_enc, random.W_enc)
    cosine_F = torch.cosine_similarity(random.W_dec, random.W_enc)
    assert cosine_F.abs().mean() < 0.4
    assert torch.allclose(random.W_dec.norm(dim=1), torch.full((F,), DECODER_INIT_NORM))


@every_architecture
def test_normalised_rows_stay_at_length_1_and_their_gradient_beside_them(name):
    sae = training_sae(name, normalize_decoder=True)
    assert torch.allclose(sae.parameters.W_dec.norm(dim=1), torch.ones(F))
    first = sae.parameters.W_dec.clone()
    trained(sae)
    assert torch.allclose(sae.parameters.W_dec.norm(dim=1), torch.ones(F))
    assert not torch.allclose(sae.parameters.W_dec, first)
    sae.step(Batch(X_BD, X_BD), CONTEXT)
    along_F = (sae.gradients.W_dec * sae.parameters.W_dec).sum(1)
    assert along_F.abs().max() < 1e-5 * sae.gradients.W_dec.norm(dim=1).max()


@every_architecture
def test_projecting_the_gradient_changes_nothing_else(name):
    free, held = training_sae(name), training_sae(name, normalize_decoder=True)
    free.weights.copy_(held.weights)
    for sae in (free, held):
        sae.step(Batch(X_BD, X_BD), CONTEXT)
    for field, ours, usual in zip(held.gradients._fields, held.gradients, free.gradients):
        assert torch.equal(ours, usual) == (field != "W_dec")


@every_architecture
def test_the_factor_folds_into_the_weights_with_equal_outputs(name):
    sae, factor = trained(training_sae(name)), 0.25
    sae.calibrate(X_BD)
    scaled, raw = sae.finished(1.0, MLP_IN, None, target_factor=1.0), sae.finished(factor, MLP_IN, None)
    assert raw.encode_spec.normalize_activations == "none"
    assert torch.allclose(factor * raw.reconstruct(X_BD / factor), scaled.reconstruct(X_BD), atol=1e-4)
    assert torch.equal(raw.encode(X_BD / factor) > 0, scaled.encode(X_BD) > 0)


@every_architecture
def test_finished_weights_may_be_others_than_the_last(name):
    sae = training_sae(name)
    first = sae.weights.clone()
    early = sae.finished(1.0, MLP_IN, None)
    trained(sae)
    assert torch.equal(sae.finished(1.0, MLP_IN, None, weights=first).W_enc, early.W_enc)


@pytest.mark.parametrize("name", ["standard", "topk", "transcoder"])
@pytest.mark.parametrize("how", ["constant_norm_rescale", "layer_norm"])
def test_normalisation_of_each_token_goes_with_the_sae(name, how, tmp_path):
    """Training sees normalised activations; the finished SAE reads raw ones and gives the same latents."""
    site = MLP_IN if name == "transcoder" else SITE
    sae = training_sae(name, normalize_activations=how)
    plain = training_sae(name, normalize_activations="none")
    plain.weights.copy_(trained(sae).weights)
    sae_write(sae.finished(1.0, site, None), tmp_path)
    finished = sae_read(tmp_path)
    assert finished.encode_spec.normalize_activations == how
    raw_BD = activations(64, D, seed=9) * 20 + 3
    expected = plain.finished(1.0, site, None).encode(normalized(raw_BD, how))
    assert (expected > 0).any()
    assert torch.allclose(finished.encode(raw_BD), expected, atol=1e-5)
