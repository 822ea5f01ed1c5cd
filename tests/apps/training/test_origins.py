"""Where activations come from: what does not fit is refused at its field, and a cache that fits is found."""

import pytest

from apps.core.errors import AppError
from apps.training.origins import cache_that_fits, origin_of
from tests.apps.training.worlds import D_IN, cache_make, spec_make, text_spec_make, tokenization_more
from workers.engine.specs.hook_site import HookSite

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]
POST = HookSite(layer=3, site="resid_post")


def refusal(spec) -> AppError:
    with pytest.raises(AppError) as refused:
        origin_of(spec)
    return refused.value


def test_a_cache_brings_its_model_text_site_and_width():
    cache = cache_make()
    origin = origin_of(spec_make(cache))
    assert (origin.cache, origin.language_model, origin.tokenizations) == (
        cache,
        cache.language_model,
        (cache.tokenization,),
    )
    assert (origin.hook_sites, origin.widths) == ((POST,), ((D_IN, D_IN),))


def test_text_brings_every_hook_site_with_its_width():
    cache = cache_make()
    more = tokenization_more(cache)
    sites = ("3.resid_post", "2.resid_post")
    origin = origin_of(text_spec_make(cache, hook_sites=sites, more_tokenizations=(more.pk,)))
    assert origin.cache is None and origin.tokenizations == (cache.tokenization, more)
    assert [str(site) for site in origin.hook_sites] == list(sites) and origin.widths == ((D_IN, D_IN),) * 2


def test_a_cache_that_does_not_suit_is_refused_at_its_field():
    cache = cache_make()
    assert (e := refusal(spec_make(cache, batch_size=4096))).code == "too_few_tokens" and e.field == "batch_size"
    unpaired = refusal(spec_make(cache, architecture="transcoder"))
    assert (unpaired.code, unpaired.field) == ("cache_not_paired", "activation_cache")
    assert (e := refusal(spec_make(cache).__class__(activation_cache=99))).code == "cache_not_ready"
    assert e.field == "activation_cache"


def test_texts_that_do_not_suit_are_refused_at_their_field():
    cache = cache_make()
    cache.language_model.report |= {"max_context": 128}
    cache.language_model.save()
    other_cut = tokenization_more(cache, tokenizer_sha256="o" * 64)
    longer = tokenization_more(cache, context_length=64)
    too_long = tokenization_more(cache, context_length=4_096)
    found = {
        "other tokenizer": refusal(text_spec_make(cache, tokenization=other_cut.pk)),
        "other tokenizer, further text": refusal(text_spec_make(cache, more_tokenizations=(other_cut.pk,))),
        "other length": refusal(text_spec_make(cache, more_tokenizations=(longer.pk,))),
        "too long": refusal(text_spec_make(cache, tokenization=too_long.pk)),
        "twice": refusal(text_spec_make(cache, more_tokenizations=(cache.tokenization_id,))),
        "no such site": refusal(text_spec_make(cache, hook_sites=("9.resid_post",))),
    }
    assert {name: (error.code, error.field) for name, error in found.items()} == {
        "other tokenizer": ("tokenizer_mismatch", "tokenization"),
        "other tokenizer, further text": ("tokenizer_mismatch", "more_tokenizations"),
        "other length": ("context_length_mismatch", "more_tokenizations"),
        "too long": ("context_too_long", "tokenization"),
        "twice": ("text_twice", "more_tokenizations"),
        "no such site": ("no_such_hook_site", "hook_sites"),
    }
    assert all(error.hint for error in found.values())


def test_a_training_on_text_finds_the_cache_that_holds_it():
    cache = cache_make()
    spec = text_spec_make(cache, use_cache=True, steps=30)  # 3,000 tokens, all that are cached
    assert cache_that_fits(spec, origin_of(spec)) == cache


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"steps": 31}, "it has fewer tokens than the steps take, and not all of the text"),
        ({"hook_sites": ("2.resid_post",)}, "it is of another hook site"),
        ({"hook_sites": ("3.resid_post", "2.resid_post")}, "one cache has one site"),
        ({"use_cache": False}, "none is looked for"),
        ({"lm_dtype": "bfloat16"}, "it was made in another precision"),
        ({"leave_out_special": True}, "it holds special tokens too"),
    ],
)
def test_a_cache_is_passed_over_when(change, why):
    cache = cache_make()
    spec = text_spec_make(cache, **{"use_cache": True, "steps": 30, **change})
    assert cache_that_fits(spec, origin_of(spec)) is None, why


def test_a_cache_of_a_model_that_was_held_otherwise_is_passed_over():
    cache = cache_make()
    cache.report |= {"quantization": "fp32"}
    cache.save()
    spec = text_spec_make(cache, use_cache=True, steps=30)
    for held, found in (("fp32", cache), ("nf4", None)):
        type(cache.language_model).objects.update(quantization=held)
        assert cache_that_fits(spec, origin_of(spec)) == found


def test_a_cache_of_the_whole_text_serves_any_number_of_steps():
    cache = cache_make()
    cache.report |= {"contexts": cache.tokenization.contexts}
    cache.save()
    spec = text_spec_make(cache, use_cache=True, steps=10_000)
    assert cache_that_fits(spec, origin_of(spec)) == cache


def test_a_cache_of_one_text_does_not_stand_for_two():
    cache = cache_make()
    spec = text_spec_make(cache, use_cache=True, steps=30, more_tokenizations=(tokenization_more(cache).pk,))
    assert cache_that_fits(spec, origin_of(spec)) is None


def test_transcoders_pass_over_a_cache_without_pairs():
    cache = cache_make()
    type(cache).objects.update(site="mlp_in")
    spec = text_spec_make(cache, use_cache=True, steps=30, architecture="transcoder", hook_sites=("3.mlp_in",))
    assert cache_that_fits(spec, origin_of(spec)) is None
    type(cache).objects.update(is_paired=True)
    assert cache_that_fits(spec, origin_of(spec)) == cache
