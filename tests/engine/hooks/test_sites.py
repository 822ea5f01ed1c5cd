"""Hook sites against what Hugging Face itself calls hidden states, and against sums worked out by hand."""

from itertools import pairwise

import pytest
import torch
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM, GraniteConfig, GraniteForCausalLM, OPTConfig, OPTForCausalLM

from tests.engine.tiny_models import D_MLP, D_MODEL, FAMILIES, HEADS, LAYERS, VOCAB_SIZE, tiny_config, tiny_model
from workers.engine.hooks.capture import capture
from workers.engine.hooks.sites import hook_point, hook_sites
from workers.engine.specs.errors import EngineError
from workers.engine.specs.hook_site import SITES, HookSite

IDS_BT = torch.randint(2, 390, (2, 17), generator=torch.Generator().manual_seed(0))
SEQUENTIAL = tuple(family for family in FAMILIES if family != "gpt_neox")
ATTENTION_OUT = {"gemma2": "post_attention_layernorm"}
MLP_OUT = {"gemma2": "post_feedforward_layernorm"}


@pytest.fixture(params=FAMILIES)
def family(request):
    return request.param


@pytest.fixture
def model(family):
    return tiny_model(family)


def at(model, layer, site):
    return capture(model, IDS_BT, HookSite(layer=layer, site=site))


def output_of(model, module):
    """What a plain forward hook on `module` sees in a full forward pass."""
    seen = []
    hook = module.register_forward_hook(lambda _, args, output: seen.append(output))
    with torch.no_grad():
        model(IDS_BT)
    hook.remove()
    return seen[0] if torch.is_tensor(seen[0]) else seen[0][0]


def test_resid_post_is_the_next_hidden_state_of_hugging_face(model):
    with torch.no_grad():
        hidden = model(IDS_BT, output_hidden_states=True).hidden_states
    for layer in range(LAYERS - 1):
        assert torch.equal(at(model, layer, "resid_post"), hidden[layer + 1])


def test_resid_post_of_the_last_layer_is_before_the_final_norm(model):
    last = hook_point(model, HookSite(layer=LAYERS - 1, site="resid_post")).module
    with torch.no_grad():
        after_norm = model(IDS_BT, output_hidden_states=True).hidden_states[-1]
    captured = at(model, LAYERS - 1, "resid_post")
    assert torch.equal(captured, output_of(model, last))
    assert not torch.allclose(captured, after_norm)


def test_resid_pre_is_the_resid_post_of_the_block_below(model):
    for below, above in pairwise(range(LAYERS)):
        assert torch.equal(at(model, above, "resid_pre"), at(model, below, "resid_post"))


def test_attn_z_through_the_output_projection_is_what_attention_gives(model, family):
    blocks = model.transformer.h if family == "gpt2" else model.base_model.layers
    block = blocks[2]
    attention = next(getattr(block, n) for n in ("attn", "self_attn", "attention") if hasattr(block, n))
    projection = next(getattr(attention, n) for n in ("c_proj", "o_proj", "dense") if hasattr(attention, n))
    z_BTZ = at(model, 2, "attn_z")
    assert z_BTZ.shape[-1] == D_MODEL
    with torch.no_grad():
        assert torch.allclose(projection(z_BTZ), output_of(model, attention), atol=1e-6)


@pytest.mark.parametrize("family", SEQUENTIAL)
def test_attention_and_mlp_add_up_along_the_residual_stream(family):
    model = tiny_model(family)
    for layer in range(LAYERS):
        mid = at(model, layer, "resid_mid")
        assert torch.allclose(at(model, layer, "resid_pre") + at(model, layer, "attn_out"), mid, atol=1e-5)
        assert torch.allclose(mid + at(model, layer, "mlp_out"), at(model, layer, "resid_post"), atol=1e-5)


def test_a_parallel_block_adds_attention_and_mlp_at_once():
    model = tiny_model("gpt_neox")
    total = at(model, 1, "resid_pre") + at(model, 1, "attn_out") + at(model, 1, "mlp_out")
    assert torch.allclose(total, at(model, 1, "resid_post"), atol=1e-5)


def test_mlp_in_is_what_the_mlp_turns_into_its_output(model, family):
    point = hook_point(model, HookSite(layer=1, site="mlp_in"))
    assert point.path.endswith("mlp")
    with torch.no_grad():
        made = point.module(at(model, 1, "mlp_in"))
    if family == "gemma2":
        made = model.model.layers[1].post_feedforward_layernorm(made)
    assert torch.allclose(made, at(model, 1, "mlp_out"), atol=1e-5)


@pytest.mark.parametrize("family", SEQUENTIAL)
def test_mlp_in_pregain_is_the_mid_stream_normalised_without_gain(family):
    model = tiny_model(family)
    mid = at(model, 1, "resid_mid").double()
    if family == "gpt2":
        mid = mid - mid.mean(-1, keepdim=True)
    eps = 1e-5 if family == "gpt2" else 1e-6
    by_hand = mid / (mid.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    assert torch.allclose(at(model, 1, "mlp_in_pregain").double(), by_hand, atol=1e-5)
    assert not torch.allclose(at(model, 1, "mlp_in_pregain"), at(model, 1, "mlp_in"), atol=1e-2)


def test_gemma_2_adds_what_its_post_norms_give():
    model = tiny_model("gemma2")
    assert hook_point(model, HookSite(layer=0, site="attn_out")).path.endswith("post_attention_layernorm")
    assert hook_point(model, HookSite(layer=0, site="mlp_out")).path.endswith("post_feedforward_layernorm")
    assert hook_point(model, HookSite(layer=0, site="resid_mid")).path.endswith("pre_feedforward_layernorm")


@pytest.mark.parametrize("family", SEQUENTIAL)
def test_a_sequential_block_has_every_site(family):
    found = hook_sites(tiny_model(family))
    assert [(f.layer, f.site) for f in found] == [(layer, site) for layer in range(LAYERS) for site in SITES]
    assert {f.width for f in found} == {D_MODEL}


def test_a_parallel_block_has_no_stream_between_attention_and_mlp():
    model = tiny_model("gpt_neox")
    with pytest.raises(EngineError, match="resid_mid") as caught:
        hook_point(model, HookSite(layer=0, site="resid_mid"))
    assert caught.value.code == "no_such_site"
    assert "resid_post" in caught.value.hint and "resid_mid" not in caught.value.hint


def test_the_same_architecture_with_sequential_blocks_has_one():
    config = tiny_config("gpt_neox", VOCAB_SIZE)
    config.use_parallel_residual = False
    assert isinstance(config, GPTNeoXConfig)
    model = GPTNeoXForCausalLM(config).eval()
    mid = at(model, 1, "resid_mid")
    assert torch.allclose(mid + at(model, 1, "mlp_out"), at(model, 1, "resid_post"), atol=1e-5)


def test_a_layer_beyond_the_last_is_refused(model):
    with pytest.raises(EngineError, match="0 to 3") as caught:
        hook_point(model, HookSite(layer=LAYERS, site="resid_post"))
    assert caught.value.code == "layer_out_of_range"


def test_a_block_that_flattens_its_tokens_has_the_stream_before_and_after_it():
    """OPT has no MLP module, and runs its two matrices on (B × T, D)."""
    config = OPTConfig(
        vocab_size=400, hidden_size=D_MODEL, ffn_dim=D_MLP, num_hidden_layers=2, num_attention_heads=HEADS
    )
    model = OPTForCausalLM(config).eval()
    assert {found.site for found in hook_sites(model)} == {"resid_pre", "resid_post"}
    assert at(model, 0, "resid_post").shape == (2, 17, D_MODEL)


def test_a_model_that_scales_what_it_adds_has_no_site_for_it():
    """Granite multiplies before it adds, so no module's output is what MLP or attention add."""
    config = GraniteConfig(
        vocab_size=400,
        hidden_size=D_MODEL,
        intermediate_size=D_MLP,
        num_hidden_layers=2,
        num_attention_heads=HEADS,
        residual_multiplier=0.3,
    )
    sites = {found.site for found in hook_sites(GraniteForCausalLM(config).eval())}
    assert sites == set(SITES) - {"attn_out", "mlp_out"}


def test_bfloat16_models_have_the_same_sites(family):
    assert hook_sites(tiny_model(family).bfloat16()) == hook_sites(tiny_model(family))
