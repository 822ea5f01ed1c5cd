"""SAELens 6.54 as the oracle: it reads our folders and computes the same latents and reconstructions."""

import zipfile
from pathlib import Path

import pytest
import torch
from sae_lens import (
    SAE,
    BatchTopKTrainingSAE,
    BatchTopKTrainingSAEConfig,
    GatedTrainingSAE,
    GatedTrainingSAEConfig,
    JumpReLUTrainingSAE,
    JumpReLUTrainingSAEConfig,
    MatryoshkaBatchTopKTrainingSAE,
    MatryoshkaBatchTopKTrainingSAEConfig,
    StandardTrainingSAE,
    StandardTrainingSAEConfig,
    TopKTrainingSAE,
    TopKTrainingSAEConfig,
)
from safetensors.torch import load_file

from tests.engine.saes.worlds import activations, random_sae
from tests.engine.training.worlds import cached, inputs, random_cache, random_pairs, spec
from workers.engine.activations.cache import ActivationCache
from workers.engine.exports.packing import export
from workers.engine.formats.hook_names import hook_name_of
from workers.engine.formats.saelens import sae_read, sae_write
from workers.engine.metrics import FvuMeter
from workers.engine.progress import Progress
from workers.engine.saes.encoding import RUNTIME_NORMALIZATIONS, TENSORS
from workers.engine.saes.registry import TRAINING_SAES, training_sae_class
from workers.engine.specs.encode import TRANSCODERS
from workers.engine.specs.exports import ExportInputs, ExportSpec
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainedSae, TrainSpec
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


SAELENS_TRAINING = {
    "standard": lambda: StandardTrainingSAE(StandardTrainingSAEConfig(d_in=D, d_sae=F)),
    "gated": lambda: GatedTrainingSAE(GatedTrainingSAEConfig(d_in=D, d_sae=F)),
    "jumprelu": lambda: JumpReLUTrainingSAE(JumpReLUTrainingSAEConfig(d_in=D, d_sae=F)),
    "topk": lambda: TopKTrainingSAE(TopKTrainingSAEConfig(d_in=D, d_sae=F, k=K)),
    "batchtopk": lambda: BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=D, d_sae=F, k=K)),
    "matryoshka": lambda: MatryoshkaBatchTopKTrainingSAE(
        MatryoshkaBatchTopKTrainingSAEConfig(d_in=D, d_sae=F, k=K, matryoshka_widths=[12, F])
    ),
}


@pytest.mark.parametrize("name", ["standard", "topk"])
def test_the_same_seed_gives_saelens_initial_weights(name):
    torch.manual_seed(7)
    theirs = SAELENS_TRAINING[name]()
    ours = training_sae_class(name)(TrainSpec(activation_cache=1, architecture=name, d_sae=F, k=K, seed=7), D)
    assert torch.allclose(ours.parameters.W_dec, theirs.W_dec, rtol=1e-6)
    assert torch.allclose(ours.parameters.W_enc, theirs.W_enc.T, rtol=1e-6)


@pytest.mark.parametrize("architecture", list(TENSORS))
@pytest.mark.parametrize("how", RUNTIME_NORMALIZATIONS)
def test_saelens_reads_our_folder_and_computes_the_same(architecture, how, tmp_path):
    ours = random_sae(architecture, normalize_activations=how)
    sae_write(ours, tmp_path, metadata={"model_name": "tiny", "hf_hook_name": "model.layers.3.output"})
    theirs = SAE.load_from_disk(tmp_path)
    assert theirs.cfg.architecture() == architecture
    assert_same_latents(ours.encode(X_BD), theirs.encode(X_BD))
    assert torch.allclose(ours.reconstruct(X_BD), theirs(X_BD), rtol=1e-4, atol=1e-4)
    assert theirs.cfg.metadata.hook_name == hook_name_of(ours.encode_spec.hook_site)
    assert theirs.cfg.metadata.hf_hook_name == "model.layers.3.output"
    assert theirs.cfg.metadata.model_name == "tiny"
    if architecture in TRANSCODERS:
        assert theirs.cfg.metadata.hook_name_out == "blocks.3.hook_mlp_out"
        assert theirs.cfg.d_out == 12


@pytest.mark.parametrize(
    "architecture, options",
    [("standard", {"apply_b_dec_to_input": False}), ("topk", {"rescale_acts_by_decoder_norm": False})],
)
def test_saelens_reads_the_ways_of_encoding_that_come_from_elsewhere(architecture, options, tmp_path):
    ours = random_sae(architecture, **options)
    sae_write(ours, tmp_path)
    theirs = SAE.load_from_disk(tmp_path)
    assert_same_latents(ours.encode(X_BD), theirs.encode(X_BD))
    assert torch.allclose(ours.reconstruct(X_BD), theirs(X_BD), rtol=1e-4, atol=1e-4)


def test_heads_are_flattened_by_saelens_where_we_capture_them_flat(tmp_path):
    """hook_z: SAELens reshapes (heads, d_head) itself; our captures, and Hugging Face's, are flat already."""
    ours = random_sae("standard", hook_site=HookSite(layer=3, site="attn_z"))
    sae_write(ours, tmp_path)
    theirs = SAE.load_from_disk(tmp_path)
    assert_same_latents(ours.encode(X_BD), theirs.encode(X_BD.view(-1, 4, 4)))


@pytest.mark.parametrize("name", list(SAELENS_TRAINING))
def test_we_read_what_saelens_writes(name, tmp_path):
    training = SAELENS_TRAINING[name]()
    training.cfg.metadata.hook_name = "blocks.3.hook_resid_post"
    training.save_inference_model(tmp_path)
    theirs, ours = SAE.load_from_disk(tmp_path), sae_read(tmp_path)
    assert_same_latents(ours.encode(X_BD), theirs.encode(X_BD))
    assert torch.allclose(ours.with_unit_decoder().reconstruct(X_BD), theirs(X_BD), atol=1e-5)


@pytest.mark.parametrize("architecture", list(TENSORS))
def test_the_unit_gauge_is_saelens_fold(architecture, tmp_path):
    ours = random_sae(architecture)
    sae_write(ours, tmp_path)
    theirs = SAE.load_from_disk(tmp_path, fold_W_dec_norm=True)
    assert_same_latents(ours.with_unit_decoder().encode(X_BD), theirs.encode(X_BD))


def trained_and_exported(name: str, folder: Path, **options) -> tuple[Path, TrainedSae, Path]:
    """The whole way out: training, finishing, packing, unpacking. The cache, what was trained, the unpacked folder."""
    cache = (random_pairs if name in TRANSCODERS else random_cache)(folder / "cache")
    where = inputs(folder, cache, provenance={"model_name": "tiny"})
    (trained,) = train(spec(name, steps=60, **options), where, Progress()).saes
    sae_dir = f"{where.out_dir}/{trained.folder}"
    packing = ExportInputs(job_dir=str(folder), out_dir=str(folder), sae_dir=sae_dir, file_name="sae.zip")
    packed = export(ExportSpec(sae=1), packing, Progress())
    with zipfile.ZipFile(folder / packed.file_name) as archive:
        archive.extractall(folder / "unpacked")
    return cache, trained, folder / "unpacked"


@pytest.mark.parametrize("name", sorted(TRAINING_SAES))
def test_saelens_reads_a_trained_and_exported_sae(name, tmp_path):
    cache, trained, unpacked = trained_and_exported(name, tmp_path)
    ours, theirs = sae_read(unpacked), SAE.load_from_disk(unpacked)
    opened = ActivationCache.open(cache)
    rows = torch.arange(opened.tokens)
    x = opened.rows(rows).float()
    y = opened.targets(rows).float() if name in TRANSCODERS else x
    assert_same_latents(ours.encode(x), theirs.encode(x))
    meter = FvuMeter()
    meter.add(y, theirs(x))
    assert meter.value() == pytest.approx(trained.fvu, abs=0.1)
    assert theirs.cfg.metadata.model_name == "tiny"
    assert theirs.cfg.metadata.training_architecture == name
    density = load_file(unpacked / "sparsity.safetensors")["sparsity"]
    assert density.shape == (theirs.cfg.d_sae,)


@pytest.mark.parametrize("name", ["topk", "standard", "transcoder"])
@pytest.mark.parametrize("how", ["constant_norm_rescale", "layer_norm"])
def test_normalisation_of_each_token_is_saelens_too(name, how, tmp_path):
    """Trained on normalised tokens, the SAE says so in cfg.json, and SAELens scales raw ones alike."""
    cache, _, unpacked = trained_and_exported(name, tmp_path, normalize_activations=how)
    ours, theirs = sae_read(unpacked), SAE.load_from_disk(unpacked)
    assert theirs.cfg.normalize_activations == how
    x = cached(cache) * 3
    assert_same_latents(ours.encode(x), theirs.encode(x))
    assert torch.allclose(ours.reconstruct(x), theirs(x), rtol=1e-4, atol=1e-4)
