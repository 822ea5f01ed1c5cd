"""SAELens 6.54 as the oracle: it reads our folders and computes the same latents; its steps have our gradients."""

import zipfile

import pytest
import torch
from sae_lens import SAE, StandardTrainingSAE, StandardTrainingSAEConfig, TopKTrainingSAE, TopKTrainingSAEConfig
from sae_lens.saes.sae import TrainStepInput
from safetensors.torch import load_file

from tests.engine.saes.worlds import activations, random_sae
from tests.engine.training.worlds import cached, inputs, random_cache, spec
from workers.engine.exports.packing import export
from workers.engine.formats.saelens import sae_read, sae_write
from workers.engine.metrics import FvuMeter
from workers.engine.progress import Progress
from workers.engine.saes.base import StepContext
from workers.engine.saes.registry import training_sae_class
from workers.engine.specs.exports import ExportInputs, ExportSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainSpec
from workers.engine.training.training import train

D, F, K = 16, 48, 5
X_BD = activations(256, D) / 3


def assert_same_latents(ours, theirs):
    """Equal up to the order of summation; TopK may swap latents that tie within that."""
    tolerance = 1e-5 * ours.abs().max()
    differs = ~torch.isclose(ours, theirs, rtol=1e-5, atol=tolerance.item())
    for token in differs.any(1).nonzero().flatten():
        swapped = torch.stack([ours[token][differs[token]], theirs[token][differs[token]]]).amax(0)
        assert swapped.max() - swapped.min() <= 2 * tolerance, "latents differ by more than a tie"


def saelens_training_sae(name: str):
    if name == "topk":
        return TopKTrainingSAE(TopKTrainingSAEConfig(d_in=D, d_sae=F, k=K))
    return StandardTrainingSAE(StandardTrainingSAEConfig(d_in=D, d_sae=F, l1_coefficient=1.5))


def our_training_sae(name: str, seed: int = 0):
    options = {"d_sae": F, "k": K, "l1_coefficient": 1.5, "l1_warmup_steps": 0, "seed": seed}
    return training_sae_class(name)(TrainSpec(activation_cache=1, architecture=name, **options), D)


def give_weights(ours, theirs) -> None:
    """Shake our weights away from their symmetric start and copy them over."""
    ours.weights += torch.randn(len(ours.weights), generator=torch.Generator().manual_seed(3)) * 0.1
    with torch.no_grad():
        theirs.W_enc.copy_(ours.parameters.W_enc.T)
        theirs.W_dec.copy_(ours.parameters.W_dec)
        theirs.b_enc.copy_(ours.parameters.b_enc)
        theirs.b_dec.copy_(ours.parameters.b_dec)


@pytest.mark.parametrize("name", ["standard", "topk"])
def test_the_same_seed_gives_saelens_initial_weights(name):
    torch.manual_seed(7)
    theirs, ours = saelens_training_sae(name), our_training_sae(name, seed=7)
    assert torch.allclose(ours.parameters.W_dec, theirs.W_dec, rtol=1e-6)
    assert torch.allclose(ours.parameters.W_enc, theirs.W_enc.T, rtol=1e-6)


@pytest.mark.parametrize("name, dead", [("standard", 0), ("topk", 0), ("topk", 3), ("topk", 30)])
def test_first_step_gradients_equal_saelens(name, dead):
    """Few dead latents exercise AuxK's scale, many its choice (k_aux = d_in / 2 = 8)."""
    ours, theirs = our_training_sae(name), saelens_training_sae(name)
    give_weights(ours, theirs)
    dead_F = torch.arange(F) < dead
    out = ours.step(X_BD, StepContext(step=0, dead_F=dead_F))
    expected = theirs.training_forward_pass(
        TrainStepInput(
            sae_in=X_BD,
            coefficients={"l1": 1.5},
            dead_neuron_mask=dead_F,
            n_training_steps=0,
            is_logging_step=False,
        )
    )
    expected.loss.backward()
    assert torch.allclose(out.loss, expected.loss, rtol=1e-5)
    their_gradients = (theirs.W_enc.grad.T, theirs.W_dec.grad, theirs.b_enc.grad, theirs.b_dec.grad)
    for our_gradient, their_gradient in zip(ours.gradients, their_gradients):
        assert (our_gradient - their_gradient).norm() / their_gradient.norm() < 1e-5
    assert torch.equal(out.fired_F, (expected.feature_acts > 0).sum(0))


@pytest.mark.parametrize(
    "architecture, options",
    [
        ("standard", {}),
        ("standard", {"apply_b_dec_to_input": False}),
        ("standard", {"normalize_activations": "layer_norm"}),
        ("standard", {"normalize_activations": "constant_norm_rescale"}),
        ("topk", {}),
        ("topk", {"rescale_acts_by_decoder_norm": False}),
    ],
)
def test_saelens_reads_our_folder_and_computes_the_same(architecture, options, tmp_path):
    ours = random_sae(architecture, **options)
    sae_write(ours, tmp_path, metadata={"model_name": "tiny", "hf_hook_name": "model.layers.3.output"})
    theirs = SAE.load_from_disk(tmp_path)
    assert_same_latents(ours.encode(X_BD), theirs.encode(X_BD))
    assert torch.allclose(ours.decode(ours.encode(X_BD), X_BD), theirs(X_BD), rtol=1e-4, atol=1e-4)
    assert theirs.cfg.metadata.hook_name == "blocks.3.hook_resid_post"
    assert theirs.cfg.metadata.hf_hook_name == "model.layers.3.output"
    assert theirs.cfg.metadata.model_name == "tiny"


def test_heads_are_flattened_by_saelens_where_we_capture_them_flat(tmp_path):
    """hook_z: SAELens reshapes (heads, d_head) itself; our captures, and Hugging Face's, are flat already."""
    ours = random_sae("standard", hook_site=HookSite(layer=3, site="attn_z"))
    sae_write(ours, tmp_path)
    theirs = SAE.load_from_disk(tmp_path)
    assert_same_latents(ours.encode(X_BD), theirs.encode(X_BD.view(-1, 4, 4)))


@pytest.mark.parametrize("name", ["standard", "topk"])
def test_we_read_what_saelens_writes(name, tmp_path):
    training = saelens_training_sae(name)
    training.cfg.metadata.hook_name = "blocks.3.hook_resid_post"
    training.save_inference_model(tmp_path)
    theirs, ours = SAE.load_from_disk(tmp_path), sae_read(tmp_path)
    assert_same_latents(ours.encode(X_BD), theirs.encode(X_BD))
    assert torch.allclose(ours.with_unit_decoder().reconstruct(X_BD), theirs(X_BD), atol=1e-5)


def test_the_unit_gauge_is_saelens_fold(tmp_path):
    ours = random_sae("standard")
    sae_write(ours, tmp_path)
    theirs = SAE.load_from_disk(tmp_path, fold_W_dec_norm=True)
    assert_same_latents(ours.with_unit_decoder().encode(X_BD), theirs.encode(X_BD))


@pytest.mark.parametrize("name", ["standard", "topk"])
def test_saelens_reads_a_trained_and_exported_sae(name, tmp_path):
    """The whole way out: training with normalisation, finishing, packing, unpacking, SAELens."""
    where = inputs(tmp_path, random_cache(tmp_path / "cache"), provenance={"model_name": "tiny"})
    result = train(spec(name, steps=60), where, Progress())
    packed = export(
        ExportSpec(sae=1),
        ExportInputs(job_dir=str(tmp_path), out_dir=str(tmp_path), sae_dir=where.out_dir, file_name="sae.zip"),
        Progress(),
    )
    with zipfile.ZipFile(tmp_path / packed.file_name) as archive:
        archive.extractall(tmp_path / "unpacked")
    ours, theirs = sae_read(where.out_dir), SAE.load_from_disk(tmp_path / "unpacked")
    x = cached(tmp_path / "cache")
    assert_same_latents(ours.encode(x), theirs.encode(x))
    meter = FvuMeter()
    meter.add(x, theirs(x))
    assert meter.value() == pytest.approx(result.fvu, abs=0.1)
    assert theirs.cfg.metadata.model_name == "tiny"
    density = load_file(tmp_path / "unpacked" / "sparsity.safetensors")["sparsity"]
    assert density.shape == (theirs.cfg.d_sae,)
