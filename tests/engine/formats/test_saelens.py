"""SAELens folders: round trip, old configurations, damaged files. SAELens itself reads them in tests/interop."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.engine.saes.worlds import SITE, activations, random_sae
from workers.engine.formats.hook_names import hook_name_of, hook_site_of
from workers.engine.formats.saelens import sae_read, sae_write
from workers.engine.saes.encoding import TENSORS
from workers.engine.specs.errors import BadArtifact
from workers.engine.specs.hook_site import SITES, HookSite


@pytest.mark.parametrize("architecture", list(TENSORS))
def test_latents_are_bit_identical_after_a_round_trip(architecture, tmp_path):
    sae, x = random_sae(architecture, sink_threshold=12.5), activations()
    sae_write(sae, tmp_path, metadata={"model_name": "tiny"})
    again = sae_read(tmp_path)
    assert again.encode_spec == sae.encode_spec
    assert torch.equal(again.encode(x), sae.encode(x))
    assert torch.equal(again.reconstruct(x), sae.reconstruct(x))


@pytest.mark.parametrize("architecture", list(TENSORS))
def test_without_encode_json_the_cfg_says_the_same(architecture, tmp_path):
    sae = random_sae(architecture, sink_threshold=12.5)
    sae_write(sae, tmp_path)
    (tmp_path / "encode.json").unlink()
    assert sae_read(tmp_path).encode_spec == sae.encode_spec


def test_encode_json_wins_over_the_cfg(tmp_path):
    sae_write(random_sae("topk"), tmp_path)
    cfg = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(cfg | {"k": 40}))
    assert sae_read(tmp_path).encode_spec.k == 5


def test_metadata_and_version_are_written(tmp_path):
    sae_write(random_sae(), tmp_path, metadata={"model_name": "tiny", "hf_hook_name": "model.layers.3.output"})
    metadata = json.loads((tmp_path / "cfg.json").read_text())["metadata"]
    assert metadata["sae_lens_version"].startswith("6.")
    assert metadata["hook_name"] == "blocks.3.hook_resid_post"
    assert metadata["model_class_name"] == "HookedTransformer"
    assert (metadata["model_name"], metadata["hf_hook_name"]) == ("tiny", "model.layers.3.output")


def test_the_site_that_a_transcoder_answers_is_written_and_missed(tmp_path):
    sae_write(random_sae("transcoder"), tmp_path)
    (tmp_path / "encode.json").unlink()
    cfg = json.loads((tmp_path / "cfg.json").read_text())
    assert cfg["metadata"]["hook_name_out"] == "blocks.3.hook_mlp_out"
    assert cfg["d_out"] == 12
    del cfg["metadata"]["hook_name_out"]
    (tmp_path / "cfg.json").write_text(json.dumps(cfg))
    with pytest.raises(BadArtifact, match="which hook the transcoder answers"):
        sae_read(tmp_path)


def test_densities_are_kept(tmp_path):
    density = torch.linspace(-5, 0, 48)
    sae_write(random_sae(), tmp_path, log10_density=density)
    assert torch.equal(load_file(tmp_path / "sparsity.safetensors")["sparsity"], density)


def test_an_old_flat_cfg_with_a_topk_activation_is_read(tmp_path):
    sae_write(random_sae("topk", rescale_acts_by_decoder_norm=False), tmp_path)
    (tmp_path / "encode.json").unlink()
    old = {"d_in": 16, "d_sae": 48, "dtype": "torch.float32", "hook_point": "blocks.3.hook_resid_post"}
    old |= {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}, "normalize_activations": None}
    (tmp_path / "cfg.json").write_text(json.dumps(old))
    spec = sae_read(tmp_path).encode_spec
    assert (spec.architecture, spec.k, spec.hook_site) == ("topk", 5, SITE)


def test_the_factor_of_an_unfolded_checkpoint_is_folded_or_missed(tmp_path):
    sae, x = random_sae("standard"), activations()
    sae_write(sae, tmp_path)
    (tmp_path / "encode.json").unlink()
    cfg = json.loads((tmp_path / "cfg.json").read_text())
    (tmp_path / "cfg.json").write_text(json.dumps(cfg | {"normalize_activations": "expected_average_only_in"}))
    with pytest.raises(BadArtifact, match="scaled by a factor"):
        sae_read(tmp_path)
    (tmp_path / "activation_scaler.json").write_text('{"scaling_factor": 0.25}')
    assert torch.allclose(sae_read(tmp_path).encode(x), sae.encode(0.25 * x), atol=1e-4)


def test_every_hook_site_survives_its_foreign_name():
    for name in SITES:
        site = HookSite(layer=7, site=name)
        assert hook_site_of(hook_name_of(site)) == site
    assert hook_site_of("model.layers.20.output") == HookSite(layer=20, site="resid_post")
    assert hook_site_of("transformer.h.5") == HookSite(layer=5, site="resid_post")
    with pytest.raises(BadArtifact, match="hook_q"):
        hook_site_of("blocks.1.attn.hook_q")


def break_json(folder):
    (folder / "cfg.json").write_text("{")


def drop_cfg(folder):
    (folder / "cfg.json").unlink()


def drop_weights(folder):
    (folder / "sae_weights.safetensors").unlink()


def truncate_weights(folder):
    path = folder / "sae_weights.safetensors"
    path.write_bytes(path.read_bytes()[:200])


def add_tensor(folder):
    path = folder / "sae_weights.safetensors"
    save_file(load_file(path) | {"threshold": torch.zeros(48)}, path)


def swap_weights(folder):
    sae_write(random_sae(d_sae=20), folder / "other")
    (folder / "other" / "sae_weights.safetensors").rename(folder / "sae_weights.safetensors")


def unknown_architecture(folder):
    (folder / "encode.json").unlink()
    cfg = json.loads((folder / "cfg.json").read_text())
    (folder / "cfg.json").write_text(json.dumps(cfg | {"architecture": "jumprelu"}))


@pytest.mark.parametrize(
    "damage",
    [break_json, drop_cfg, drop_weights, truncate_weights, add_tensor, swap_weights, unknown_architecture],
)
def test_damaged_folders_are_refused_with_a_hint(damage, tmp_path):
    sae_write(random_sae(), tmp_path)
    damage(tmp_path)
    with pytest.raises(BadArtifact) as refusal:
        sae_read(tmp_path)
    assert refusal.value.hint
