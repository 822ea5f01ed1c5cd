"""The in-memory SAE against SAELens' equations written out, and its two encoders against each other."""

from dataclasses import replace

import pytest
import torch

from tests.engine.saes.worlds import activations, random_sae
from workers.engine.saes import encoder_chunks
from workers.engine.saes import sae as sae_module
from workers.engine.saes.encoding import TENSORS
from workers.engine.saes.sparse_rows import rows_for
from workers.engine.specs.errors import BadArtifact

ARCHITECTURES = list(TENSORS)
WAYS = sorted({"torch", rows_for("cpu").NAME})


def test_standard_is_relu_of_the_affine_map():
    sae, x = random_sae("standard"), activations()
    expected = torch.relu((x - sae.b_dec) @ sae.W_enc + sae.b_enc)
    assert torch.equal(sae.encode(x), expected)
    assert torch.allclose(sae.decode(expected), expected @ sae.W_dec + sae.b_dec)


def test_topk_keeps_at_most_k_latents_and_the_largest_ones():
    sae, x = random_sae("topk"), activations()
    pre = ((x - sae.b_dec) @ sae.W_enc + sae.b_enc) * sae.W_dec.norm(dim=1)
    f = sae.encode(x)
    assert ((f > 0).sum(1) <= 5).all()
    for row, row_pre in zip(f, pre):
        chosen = set(row.nonzero().flatten().tolist())
        assert chosen <= set(row_pre.topk(5).indices.tolist())
        assert torch.equal(row[row > 0], row_pre[row > 0])


def test_jumprelu_is_strictly_above_its_threshold():
    sae = replace(random_sae("jumprelu"), W_enc=torch.zeros(16, 48), b_enc=torch.full((48,), 2.0))
    at, below, negative = (
        replace(sae, threshold=torch.full((48,), value)).encode(activations()) for value in (2.0, 1.999, -1.0)
    )
    assert (at == 0).all()
    assert (below == 2).all()
    assert (negative == 2).all()
    silent = replace(sae, b_enc=torch.full((48,), -0.5), threshold=torch.full((48,), -1.0))
    assert (silent.encode(activations()) == 0).all()


def test_gated_opens_by_one_path_and_measures_by_the_other():
    sae, x = random_sae("gated"), activations()
    gate = (x - sae.b_dec) @ sae.W_enc + sae.b_gate
    magnitude = torch.relu((x - sae.b_dec) @ (sae.W_enc * sae.r_mag.exp()) + sae.b_mag)
    assert torch.allclose(sae.encode(x), (gate > 0) * magnitude, atol=1e-4)


def test_a_transcoder_answers_another_width_and_a_skip_adds_a_linear_map():
    sae, x = random_sae("skip_transcoder"), activations()
    f = torch.relu(x @ sae.W_enc + sae.b_enc)
    assert torch.allclose(sae.decode(f), f @ sae.W_dec + sae.b_dec)
    assert torch.allclose(sae.reconstruct(x), f @ sae.W_dec + sae.b_dec + x @ sae.W_skip.T, atol=1e-4)
    assert sae.reconstruct(x).shape == (64, 12)


def test_a_transcoder_normalises_what_it_reads_and_answers_as_it_is():
    sae, x = random_sae("transcoder", normalize_activations="layer_norm"), activations()
    assert torch.allclose(sae.reconstruct(x), sae.reconstruct(7 * x), atol=1e-3)


def test_tensors_of_another_architecture_are_refused():
    with pytest.raises(BadArtifact, match="jumprelu has W_dec, W_enc, b_dec, b_enc, threshold"):
        replace(random_sae("jumprelu"), threshold=None)
    with pytest.raises(BadArtifact, match="b_dec belongs to its output"):
        random_sae("transcoder", apply_b_dec_to_input=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_sparse_latents_are_the_dense_ones_in_order(architecture, way, monkeypatch):
    monkeypatch.setattr(sae_module, "rows_for", lambda device: rows_for(device, way))
    monkeypatch.setattr(sae_module, "DENSE_ELEMENTS", 48 * 7)  # several blocks, the last one partial
    monkeypatch.setattr(encoder_chunks, "SMALLEST_CHUNK", 1)
    monkeypatch.setattr(encoder_chunks, "CHUNK_ELEMENTS", {"cpu": 48 * 7})
    sae, x = random_sae(architecture), activations()
    sparse = sae.encode_sparse(x)
    assert torch.allclose(sparse.dense(), sae.encode(x), rtol=1e-5, atol=1e-5)
    place = sparse.token_N * 48 + sparse.latent_N
    assert (place[1:] > place[:-1]).all()
    assert (sparse.value_N > 0).all()
    assert torch.equal(sparse.counts(), (sparse.dense() > 0).sum(0))
    skip = 0 if sae.W_skip is None else x @ sae.W_skip.T
    assert torch.allclose(sae.reconstruct(x), sae.decode(sae.encode(x)) + skip, atol=1e-4)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_unit_gauge_keeps_the_reconstruction_and_scales_the_latents(architecture):
    sae, x = random_sae(architecture), activations()
    unit = sae.with_unit_decoder()
    assert torch.allclose(unit.W_dec.norm(dim=1), torch.ones(48))
    assert torch.allclose(unit.reconstruct(x), sae.reconstruct(x), atol=1e-3)
    scale = sae.decoder_norm_F if architecture != "topk" else torch.ones(48)
    assert torch.allclose(unit.encode(x), sae.encode(x) * scale, atol=1e-3)


def test_topk_without_rescaling_is_left_in_its_gauge():
    sae = random_sae("topk", rescale_acts_by_decoder_norm=False)
    assert sae.with_unit_decoder() is sae


def test_b_dec_is_subtracted_only_when_the_spec_says_so():
    with_bias, x = random_sae("standard"), activations()
    without = random_sae("standard", apply_b_dec_to_input=False)
    assert torch.allclose(without.encode(x), torch.relu(x @ without.W_enc + without.b_enc))
    assert not torch.allclose(without.encode(x), with_bias.encode(x))


@pytest.mark.parametrize("how", ["constant_norm_rescale", "layer_norm"])
def test_normalisation_of_each_token_makes_latents_blind_to_scale(how):
    sae, x = random_sae("standard", normalize_activations=how), activations()
    assert torch.allclose(sae.encode(x), sae.encode(7 * x), atol=1e-3)
    assert torch.allclose(7 * sae.reconstruct(x), sae.reconstruct(7 * x), atol=1e-2)
    with pytest.raises(ValueError, match="needs the activations"):
        sae.decode(sae.encode(x))


def test_a_wrong_width_is_a_clear_error():
    with pytest.raises(BadArtifact, match="width 16; these have 8"):
        random_sae().encode(torch.zeros(2, 8))


def test_no_tokens_give_no_latents():
    sparse = random_sae().encode_sparse(torch.zeros(0, 16))
    assert sparse.tokens == 0
    assert len(sparse.value_N) == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("architecture", ["topk", "standard"])
def test_a_token_that_is_not_a_number_fires_nothing(architecture, way, monkeypatch):
    monkeypatch.setattr(sae_module, "rows_for", lambda device: rows_for(device, way))
    sae, x = random_sae(architecture), activations()
    whole = sae.encode_sparse(x).dense()
    x[3] = torch.nan
    whole[3] = 0
    assert torch.equal(sae.encode_sparse(x).dense(), whole)


def test_unknown_architectures_and_unfolded_factors_are_refused():
    with pytest.raises(BadArtifact, match="'abstopk' cannot be used"):
        replace(random_sae(), encode_spec=replace(random_sae().encode_spec, architecture="abstopk"))
    with pytest.raises(BadArtifact, match="does not carry"):
        random_sae("standard", normalize_activations="expected_average_only_in")
