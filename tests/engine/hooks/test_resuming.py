"""Going on with a forward pass: the same to the bit as the whole one, in every family, and nothing stays behind."""

import pytest
import torch

from tests.engine.tiny_families import LACKS, LAYERS, tiny_family
from workers.engine.hooks.capture import capture, replaced
from workers.engine.hooks.resuming import Passed, blocks_before, capture_passing, resumed
from workers.engine.hooks.sites import hook_sites
from workers.engine.specs.hook_site import HookSite

IDS_BT = torch.randint(2, 390, (2, 11), generator=torch.Generator().manual_seed(1))


def logits_of(model):
    with torch.no_grad():
        return model(IDS_BT, use_cache=False).logits


def ran_in(model):
    """Paths of modules inside the blocks that run while logits are read."""
    ran = []
    inside = [(path, m) for path, m in model.named_modules() if path.count(".") > 2 and not list(m.children())]
    handles = [m.register_forward_hook(lambda *_, path=path: ran.append(path)) for path, m in inside]
    logits_of(model)
    for handle in handles:
        handle.remove()
    return ran


@pytest.mark.parametrize("family", LACKS)
def test_a_pass_goes_on_from_any_site_as_if_it_were_whole(family):
    model = tiny_family(family)
    whole = logits_of(model)
    for found in hook_sites(model):
        site = HookSite(layer=found.layer, site=found.site)
        before = blocks_before(site)
        (x_BTD,), passed = capture_passing(model, IDS_BT, [site], before)
        assert torch.equal(x_BTD, capture(model, IDS_BT, site))
        with replaced(model, site, lambda x: 0.5 * x):
            edited = logits_of(model)
            with resumed(model, passed):
                assert torch.equal(logits_of(model), edited), site
        assert not torch.equal(edited, whole), site
        with resumed(model, passed):
            assert torch.equal(logits_of(model), whole), site
            assert torch.equal(logits_of(model), whole), "the first pass must not have changed what was kept"
    assert torch.equal(logits_of(model), whole)


def test_blocks_that_are_passed_do_not_run_again():
    model = tiny_family("llama")
    every = ran_in(model)
    _, passed = capture_passing(model, IDS_BT, [HookSite(layer=1, site="resid_post")], 2)
    with resumed(model, passed):
        ran = ran_in(model)
    assert ran and len(ran) == len([path for path in every if ".layers.2." in path or ".layers." not in path])
    assert passed.nbytes == 2 * 11 * 32 * 4


def test_with_no_block_below_nothing_is_skipped():
    model = tiny_family("gpt2")
    (x_BTD,), passed = capture_passing(model, IDS_BT, [HookSite(layer=0, site="resid_pre")], 0)
    assert passed == Passed(0) and passed.nbytes == 0
    assert torch.equal(x_BTD, capture(model, IDS_BT, HookSite(layer=0, site="resid_pre")))
    with resumed(model, passed):
        assert torch.equal(logits_of(model), logits_of(model))


def test_a_forward_that_a_block_had_of_its_own_comes_back():
    model = tiny_family("llama")
    block, calls = model.model.layers[0], []
    usual = block.forward
    block.forward = lambda *args, **kwargs: calls.append(1) or usual(*args, **kwargs)
    _, passed = capture_passing(model, IDS_BT, [HookSite(layer=LAYERS - 1, site="mlp_out")], LAYERS - 1)
    seen = len(calls)
    with pytest.raises(ZeroDivisionError), resumed(model, passed):
        raise ZeroDivisionError
    logits_of(model)
    assert len(calls) == seen + 1
    assert "forward" not in model.model.layers[1].__dict__


@pytest.mark.parametrize(("site", "blocks"), [("resid_pre", 2), ("resid_mid", 2), ("mlp_out", 2), ("resid_post", 3)])
def test_a_site_at_the_end_of_its_block_needs_the_block_no_more(site, blocks):
    assert blocks_before(HookSite(layer=2, site=site)) == blocks
