"""Reading and replacing activations: the model stays whole, edits arrive, hooks are gone afterwards."""

import pytest
import torch

from tests.engine.tiny_models import D_MODEL, FAMILIES, LAYERS, tiny_model
from workers.engine.hooks.capture import capture, capture_sites, replaced
from workers.engine.hooks.sites import hook_sites
from workers.engine.specs.errors import EngineError
from workers.engine.specs.hook_site import SITES, HookSite

IDS_BT = torch.randint(2, 390, (2, 11), generator=torch.Generator().manual_seed(1))
MIDDLE = HookSite(layer=1, site="resid_post")


@pytest.fixture(params=FAMILIES)
def model(request):
    return tiny_model(request.param)


def logits_of(model):
    with torch.no_grad():
        return model(IDS_BT, use_cache=False).logits


def hooks_in(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def all_sites(model):
    return [HookSite(layer=found.layer, site=found.site) for found in hook_sites(model)]


def test_capturing_leaves_the_model_whole(model):
    before = logits_of(model)
    for site in all_sites(model):
        assert capture(model, IDS_BT, site).shape == (2, 11, D_MODEL)
    assert hooks_in(model) == 0
    assert torch.equal(logits_of(model), before)


def test_blocks_above_the_site_do_not_run(model):
    capture(model, IDS_BT, MIDDLE)
    above = hook_sites(model)[-1].module.split()[0].replace(".mlp", "")
    ran = []
    hook = model.get_submodule(above).register_forward_hook(lambda *_: ran.append(above))
    capture(model, IDS_BT, MIDDLE)
    hook.remove()
    assert ran == []


def test_what_is_captured_carries_no_gradient(model):
    assert not capture(model, IDS_BT, MIDDLE).requires_grad


def test_the_identity_put_in_place_changes_nothing_at_any_site(model):
    before = logits_of(model)
    for site in all_sites(model):
        with replaced(model, site, lambda x_BTD: x_BTD) as replacement:
            assert torch.equal(logits_of(model), before), site
        assert replacement.calls == 1
    assert hooks_in(model) == 0


def test_an_edit_changes_the_logits_at_every_site(model):
    before = logits_of(model)
    for site in all_sites(model):
        with replaced(model, site, lambda x_BTD: x_BTD + torch.randn_like(x_BTD)):
            assert not torch.allclose(logits_of(model), before, atol=1e-2), site


def test_an_edit_of_the_stream_between_attention_and_mlp_stays_in_the_stream():
    model = tiny_model("llama")
    site = HookSite(layer=1, site="resid_mid")
    mid_BTD = capture(model, IDS_BT, site)
    v_D = torch.randn(D_MODEL)
    block = model.model.layers[1]
    with torch.no_grad():
        expected = mid_BTD + v_D + block.mlp(block.post_attention_layernorm(mid_BTD + v_D))
    with replaced(model, site, lambda x_BTD: x_BTD + v_D):
        seen = capture(model, IDS_BT, HookSite(layer=1, site="resid_post"))
    assert torch.allclose(seen, expected, atol=1e-5)


def test_an_edit_before_the_gain_reaches_the_mlp_with_gain_and_bias():
    model = tiny_model("gpt2")
    norm = model.transformer.h[1].ln_2
    with replaced(model, HookSite(layer=1, site="mlp_in_pregain"), lambda n_BTD: 2 * n_BTD):
        seen = capture(model, IDS_BT, HookSite(layer=1, site="mlp_in"))
    plain = capture(model, IDS_BT, HookSite(layer=1, site="mlp_in"))
    assert torch.allclose(seen, 2 * (plain - norm.bias) + norm.bias, atol=1e-5)


def test_what_is_put_in_place_of_the_last_block_decides_the_logits():
    model = tiny_model("llama")
    put_BTD = torch.randn(2, 11, D_MODEL)
    with replaced(model, HookSite(layer=LAYERS - 1, site="resid_post"), lambda _: put_BTD):
        logits = logits_of(model)
    with torch.no_grad():
        assert torch.allclose(logits, model.lm_head(model.model.norm(put_BTD)), atol=1e-5)


def test_generation_with_cache_and_without_agree_under_an_edit(model):
    v_D = 3 * torch.randn(D_MODEL, generator=torch.Generator().manual_seed(2))
    texts = []
    for use_cache in (True, False):
        with replaced(model, MIDDLE, lambda x_BTD: x_BTD + v_D) as replacement:
            ids = model.generate(IDS_BT[:1], max_new_tokens=6, min_new_tokens=6, do_sample=False, use_cache=use_cache)
        assert replacement.calls == 6
        texts.append(ids)
    assert torch.equal(*texts)


def test_an_error_inside_an_edit_comes_out_and_leaves_no_hook(model):
    def broken(_):
        raise ZeroDivisionError

    for name in ("resid_pre", "resid_post", "mlp_in_pregain"):
        with pytest.raises(ZeroDivisionError), replaced(model, HookSite(layer=0, site=name), broken):
            logits_of(model)
        assert hooks_in(model) == 0


def test_an_edit_of_the_wrong_width_is_refused(model):
    with pytest.raises(EngineError) as caught, replaced(model, MIDDLE, lambda x_BTD: x_BTD[..., :-1]):
        logits_of(model)
    assert caught.value.code == "edit_changed_shape"


def test_a_forward_pass_that_never_comes_by_the_site_is_an_error():
    model = tiny_model("llama")
    hook_sites(model)
    model.model.layers.forward = None
    model.config.num_hidden_layers = 1
    with pytest.raises(EngineError) as caught:
        capture(model, IDS_BT, HookSite(layer=3, site="resid_post"))
    assert caught.value.code == "hook_not_called"


def test_every_site_of_the_vocabulary_is_tried_here():
    assert {site.site for site in all_sites(tiny_model("llama"))} == set(SITES)


def test_several_sites_in_one_pass_are_those_of_single_passes(model):
    sites = all_sites(model)[::-1]  # not in the order in which the model comes by
    for chosen in (sites, sites[:2], sites[-3:]):
        together = capture_sites(model, IDS_BT, chosen)
        for site, x_BTD in zip(chosen, together, strict=True):
            assert torch.equal(x_BTD, capture(model, IDS_BT, site)), site
    assert hooks_in(model) == 0


def test_the_pass_ends_at_the_last_of_several_sites(model):
    above = hook_sites(model)[-1].module.split()[0].replace(".mlp", "")
    ran = []
    hook = model.get_submodule(above).register_forward_hook(lambda *_: ran.append(above))
    capture_sites(model, IDS_BT, [MIDDLE, HookSite(layer=0, site="mlp_in"), HookSite(layer=0, site="mlp_out")])
    hook.remove()
    assert ran == []
