"""TransformerLens 3 as the oracle of hook sites: its bridge loads the same tiny models and caches the same activations.

Site of this studio -> TransformerLens hook of the same block:

    resid_pre       hook_resid_pre
    resid_mid       hook_resid_mid
    resid_post      hook_resid_post
    attn_z          attn.hook_z           ours is flat: (B, T, heads × d_head)
    attn_out        hook_attn_out         behind the post-norm where there is one (Gemma 2 and 3, OLMo 2)
    mlp_in          mlp.hook_in           gain included; TransformerLens' hook_mlp_in is resid_mid
    mlp_in_pregain  ln2.hook_normalized   ln1.hook_normalized where attention and MLP share a norm (Phi, GPT-J)
    mlp_out         hook_mlp_out          behind the post-norm where there is one

Where TransformerLens means something else, or does not compute what Hugging Face does:

- OLMo 2: its ln2 is the norm after the MLP, so ln2.hook_normalized is no input of anything; there is no mlp_in_pregain.
- OLMo 1: the norms have no gain, so mlp_in_pregain would be mlp_in; there is one site for it, mlp_in.
- Falcon with grouped keys and values (40B): TransformerLens does not load it. Falcon with ALiBi, Cohere: its attention
  differs from Hugging Face's. These are compared with Hugging Face's own modules by plain forward hooks.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from tests.engine.tiny_families import LACKS, tiny_family
from tests.engine.tiny_models import tiny_tokenizer
from workers.engine.formats.hook_names import TRANSFORMER_LENS, hook_name_of, hook_site_of
from workers.engine.hooks.capture import capture, replaced
from workers.engine.hooks.sites import hook_point, hook_sites
from workers.engine.specs.errors import EngineError
from workers.engine.specs.hook_site import SITES, HookSite

LAYERS = 3
IDS_BT = torch.randint(2, 390, (2, 20), generator=torch.Generator().manual_seed(0))
SHARED_NORM = ("phi", "gptj", "falcon")
ELSEWHERE = {(family, "mlp_in_pregain"): "ln1.hook_normalized" for family in SHARED_NORM}
BRIDGED = [family for family in LACKS if family not in ("falcon_40b", "falcon_alibi", "cohere")]


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory):
    """Folders of tiny models with the tiny tokenizer, written once."""
    made: dict[str, Path] = {}

    def folder(family: str) -> Path:
        if family not in made:
            made[family] = tmp_path_factory.mktemp(family)
            tiny_family(family).save_pretrained(made[family])
            tiny_tokenizer().save_pretrained(made[family])
        return made[family]

    return folder


@pytest.fixture(scope="session")
def bridge_cache(folder_of):
    """What TransformerLens caches for IDS_BT, by hook name."""
    made: dict[str, dict] = {}

    def cache(family: str) -> dict:
        if family not in made:
            bridge = TransformerBridge.boot_transformers(str(folder_of(family)), device="cpu")
            with torch.no_grad():
                made[family] = dict(bridge.run_with_cache(IDS_BT)[1].items())
        return made[family]

    return cache


@pytest.fixture(scope="session")
def model_of(folder_of):
    made: dict[str, torch.nn.Module] = {}

    def model(family: str):
        if family not in made:
            made[family] = AutoModelForCausalLM.from_pretrained(folder_of(family), dtype=torch.float32).eval()
        return made[family]

    return model


def sites_of(model):
    return [HookSite(layer=found.layer, site=found.site) for found in hook_sites(model)]


def logits_of(model, ids_BT=IDS_BT):
    with torch.no_grad():
        return model(ids_BT, use_cache=False).logits


def assert_no_such_site(model, layer, name):
    with pytest.raises(EngineError, match=name) as caught:
        hook_point(model, HookSite(layer=layer, site=name))
    assert caught.value.code == "no_such_site"
    assert caught.value.hint.startswith("There are: resid_pre")


@pytest.mark.parametrize("family", BRIDGED)
def test_every_site_holds_what_transformer_lens_caches_there(family, model_of, bridge_cache):
    model, cache = model_of(family), bridge_cache(family)
    for site in sites_of(model):
        name = ELSEWHERE.get((family, site.site), TRANSFORMER_LENS[site.site])
        theirs = cache[f"blocks.{site.layer}.{name}"].flatten(2)
        assert torch.allclose(capture(model, IDS_BT, site), theirs, atol=2e-5), (family, site)


@pytest.mark.parametrize("family", LACKS)
def test_each_family_has_exactly_its_sites_and_says_which_it_lacks(family, model_of):
    model = model_of(family)
    for layer, lacks in enumerate(LACKS[family]):
        assert [site.site for site in sites_of(model) if site.layer == layer] == [s for s in SITES if s not in lacks]
        for name in lacks:
            assert_no_such_site(model, layer, name)


@pytest.mark.parametrize("family", BRIDGED)
def test_our_names_are_hooks_of_transformer_lens(family, model_of, bridge_cache):
    """Except that the norm which attention shares with the MLP is ln1 there."""
    for site in sites_of(model_of(family)):
        assert hook_site_of(hook_name_of(site)) == site
        assert (hook_name_of(site) in bridge_cache(family)) == ((family, site.site) not in ELSEWHERE), (family, site)


def hugging_face_at(model, path, side):
    """What a plain forward hook sees at a module of a full forward pass: its first input or output tensor."""
    seen = []

    def hook(_, args, kwargs, output):
        x = (args or list(kwargs.values()))[0] if side == "in" else output
        seen.append((x[0] if isinstance(x, tuple) else x).clone())  # Falcon adds to it in place

    handle = model.get_submodule(path).register_forward_hook(hook, with_kwargs=True)
    logits_of(model)
    handle.remove()
    return seen[0]


HUGGING_FACE = {
    "cohere": ("model.layers", "self_attn", "self_attn.o_proj", "mlp"),
    "falcon_40b": ("transformer.h", "self_attention", "self_attention.dense", "mlp"),
    "falcon_alibi": ("transformer.h", "self_attention", "self_attention.dense", "mlp"),
}


@pytest.mark.parametrize("family", HUGGING_FACE)
def test_sites_of_families_beyond_transformer_lens_are_hugging_face_modules(family, model_of):
    model = model_of(family)
    blocks, attention, projection, mlp = HUGGING_FACE[family]

    def at(site):
        return capture(model, IDS_BT, HookSite(layer=1, site=site))

    block = f"{blocks}.1"
    assert torch.equal(at("resid_pre"), hugging_face_at(model, block, "in"))
    assert torch.equal(at("resid_post"), hugging_face_at(model, block, "out"))
    assert torch.equal(at("attn_z"), hugging_face_at(model, f"{block}.{projection}", "in"))
    assert torch.equal(at("mlp_in"), hugging_face_at(model, f"{block}.{mlp}", "in"))
    if family == "falcon_alibi":  # sequential
        assert torch.equal(at("resid_mid"), hugging_face_at(model, f"{block}.post_attention_layernorm", "in"))
    total = at("resid_pre") + at("attn_out") + at("mlp_out")
    assert torch.allclose(total, at("resid_post"), atol=1e-5)
    assert torch.equal(at("attn_out"), hugging_face_at(model, f"{block}.{attention}", "out"))
    assert torch.equal(at("mlp_out"), hugging_face_at(model, f"{block}.{mlp}", "out"))


@pytest.mark.parametrize("family", LACKS)
def test_an_identity_edit_leaves_logits_bit_identical_and_another_edit_does_not(family, model_of):
    model = model_of(family)
    before = logits_of(model)
    for site in sites_of(model):
        with replaced(model, site, lambda x_BTD: x_BTD) as replacement:
            assert torch.equal(logits_of(model), before), site
        assert replacement.calls == 1
        with replaced(model, site, lambda x_BTD: x_BTD + torch.randn_like(x_BTD)):
            assert not torch.allclose(logits_of(model), before, atol=1e-3), site


@pytest.mark.parametrize("family", LACKS)
def test_an_edit_moves_the_stream_by_what_it_adds(family, model_of):
    """resid_mid: the stream itself moves, not only what the MLP reads of it; addends move it by as much."""
    model, v_D = model_of(family), torch.randn(32, generator=torch.Generator().manual_seed(1))
    post = HookSite(layer=1, site="resid_post")
    for name in ("resid_mid", "mlp_out"):
        site, addend = HookSite(layer=1, site=name), HookSite(layer=1, site="mlp_out")
        if {site, addend} <= set(sites_of(model)):
            mid_BTD = capture(model, IDS_BT, HookSite(layer=1, site="resid_mid")) if name == "resid_mid" else None
            with replaced(model, site, lambda x_BTD: x_BTD + v_D):
                moved_BTD, addend_BTD = capture(model, IDS_BT, post), capture(model, IDS_BT, addend)
            start = mid_BTD + v_D + addend_BTD if name == "resid_mid" else capture(model, IDS_BT, post) + v_D
            assert torch.allclose(moved_BTD, start, atol=2e-5), site


@pytest.mark.parametrize("family", SHARED_NORM)
def test_an_edit_before_the_mlps_gain_does_not_reach_attention_through_a_shared_norm(family, model_of):
    model = model_of(family)
    attn_out, mlp_out = HookSite(layer=1, site="attn_out"), HookSite(layer=1, site="mlp_out")
    plain = {site: hugging_face_at(model, hook_point(model, site).path, "out") for site in (attn_out, mlp_out)}
    with replaced(model, HookSite(layer=1, site="mlp_in_pregain"), lambda n_BTD: 2 * n_BTD):
        assert torch.equal(hugging_face_at(model, hook_point(model, attn_out).path, "out"), plain[attn_out])
        assert not torch.allclose(hugging_face_at(model, hook_point(model, mlp_out).path, "out"), plain[mlp_out])


@pytest.mark.parametrize("family", LACKS)
def test_neither_other_rows_nor_padding_behind_a_text_change_its_activations(family, model_of):
    model = model_of(family)
    padded_BT = torch.cat([IDS_BT, torch.zeros(2, 7, dtype=torch.long)], dim=1)
    for site in sites_of(model):
        together = capture(model, IDS_BT, site)
        assert torch.allclose(capture(model, IDS_BT[1:], site), together[1:], atol=2e-5), site
        assert torch.allclose(capture(model, padded_BT, site)[:, : IDS_BT.shape[1]], together, atol=2e-5), site


def test_the_decoder_is_told_from_a_vision_tower_with_as_many_layers():
    """Gemma 3 from 4B on loads with its vision tower."""
    model = tiny_family("gemma3_with_vision")
    found = hook_sites(model)
    assert {site.site for site in found} == set(SITES)
    assert all(".language_model.layers." in site.module for site in found)


def test_a_model_with_several_residual_streams_is_refused():
    with pytest.raises(EngineError, match="residual stream") as caught:
        hook_sites(tiny_family("gemma3n"))
    assert caught.value.code == "no_residual_stream"


@pytest.mark.slow
def test_sites_do_not_depend_on_the_hash_seed():
    program = (
        "from tests.engine.tiny_families import LACKS, tiny_family\n"
        "from workers.engine.hooks.sites import hook_sites\n"
        "print([hook_sites(tiny_family(family)) for family in LACKS])"
    )
    running = [
        subprocess.Popen(
            [sys.executable, "-c", program], env=os.environ | {"PYTHONHASHSEED": seed}, stdout=-1, text=True
        )
        for seed in ("0", "1", "4242")
    ]
    printed = {process.communicate()[0] for process in running}
    assert len(printed) == 1 and "resid_mid" in printed.pop()


QUANTIZED = {
    "int8": BitsAndBytesConfig(load_in_8bit=True),
    "nf4": BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32),
}


@pytest.mark.parametrize("quantization", QUANTIZED)
@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "phi"])
def test_a_quantized_model_has_the_sites_of_the_whole_one(family, quantization, tmp_path):
    whole = tiny_family(family, packs=True)
    whole.save_pretrained(tmp_path)
    config = QUANTIZED[quantization]
    model = AutoModelForCausalLM.from_pretrained(tmp_path, quantization_config=config, device_map="cpu").eval()
    assert any(type(module).__name__.startswith(("Linear8bit", "Linear4bit")) for module in model.modules())
    assert hook_sites(model) == hook_sites(whole)
    before = logits_of(model)
    for site in sites_of(model):
        assert capture(model, IDS_BT, site).shape == (*IDS_BT.shape, 64)
        with replaced(model, site, lambda x_BTD: x_BTD):
            assert torch.equal(logits_of(model), before), site
        with replaced(model, site, lambda x_BTD: x_BTD + torch.randn_like(x_BTD)):
            assert not torch.allclose(logits_of(model), before, atol=1e-3), site
