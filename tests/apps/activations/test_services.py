"""What the services of activation caches do and refuse."""

import pytest

from apps.activations.models import ActivationCache
from apps.activations.plans import cache_plan
from apps.activations.services import activation_cache_create, activation_cache_delete
from apps.core.errors import AppError, StillReferenced
from apps.core.storage import data_path
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_services import tokenization_delete
from tests.apps.activations.worlds import PAIRED_SITES, run_on
from tests.apps.prepared import job_about, make_cache, make_language_model, make_tokenization
from workers.engine.specs.activations import ActivationCacheSpec
from workers.runners.activation_cache import RUNTIME_BYTES, ActivationCacheRunner

pytestmark = pytest.mark.django_db


def spec_for(tokenization, **values) -> ActivationCacheSpec:
    values = {"language_model": tokenization.language_model_id, "layer": 1, **values}
    return ActivationCacheSpec(tokenization=tokenization.pk, **values)


def refusal(call, **values) -> AppError:
    with pytest.raises(AppError) as caught:
        call(**values)
    return caught.value


def test_a_cache_knows_its_site_and_width_before_its_job_runs():
    cache = activation_cache_create(spec=spec_for(make_tokenization(), site="mlp_out"))
    assert (cache.hook_site, cache.d_in, cache.is_ready) == ("1.mlp_out", 32, False)
    assert (cache.job.kind, cache.job.device_wish) == ("activation_cache", "auto")


def test_what_does_not_fit_together_is_refused_with_a_code_and_a_field():
    tokenization = make_tokenization()
    other = make_language_model(tokenizer_sha256="o" * 64)
    short = make_language_model()
    short.report["max_context"] = 4
    short.save()
    unready = make_tokenization(is_ready=False)
    for spec, code, field in (
        (spec_for(unready), "not_ready", "tokenization"),
        (spec_for(tokenization, language_model=make_language_model(is_ready=False).pk), "not_ready", "language_model"),
        (spec_for(tokenization, language_model=other.pk), "tokenizer_mismatch", "tokenization"),
        (spec_for(tokenization, language_model=short.pk), "context_too_long", "tokenization"),
        (spec_for(tokenization, layer=2), "no_such_hook_site", "layer"),
        (spec_for(tokenization, site="attn_z"), "no_such_hook_site", "site"),
    ):
        error = refusal(activation_cache_create, spec=spec)
        assert (error.code, error.field) == (code, field)
    assert not ActivationCache.objects.exists()


def test_another_model_with_the_same_tokenizer_serves():
    tokenization, twin = make_tokenization(), make_language_model(name="twin")
    assert activation_cache_create(spec=spec_for(tokenization, language_model=twin.pk)).language_model == twin


def test_a_full_disk_is_said_before_anything_is_queued(monkeypatch):
    monkeypatch.setattr("apps.core.room.disk_free_bytes", lambda: 5000)
    error = refusal(activation_cache_create, spec=spec_for(make_tokenization()))
    # (12 contexts + 1 held out) × 7 positions × 32 × 2 bytes
    assert error.code == "disk_full" and "5.69 KiB" in error.message


def test_further_texts_are_kept_in_the_order_in_which_they_were_named():
    first = make_tokenization()
    second, third = (make_tokenization(language_model=first.language_model) for _ in range(2))
    cache = activation_cache_create(spec=spec_for(first, more_tokenizations=(third.pk, second.pk)))
    assert [text.tokenization for text in cache.texts.all()] == [third, second]
    assert cache.job.spec["more_tokenizations"] == [third.pk, second.pk]
    with pytest.raises(StillReferenced):
        tokenization_delete(tokenization=third)


def test_texts_that_do_not_fit_together_are_refused_at_the_further_ones():
    first = make_tokenization()
    strange = make_tokenization(language_model=make_language_model(tokenizer_sha256="o" * 64))
    longer = make_tokenization(language_model=first.language_model)
    Tokenization.objects.filter(pk=longer.pk).update(context_length=16)
    unready = make_tokenization(language_model=first.language_model, is_ready=False)
    for text, code in (
        (strange, "tokenizer_mismatch"),
        (longer, "context_length_differs"),
        (unready, "not_ready"),
        (first, "text_twice"),
    ):
        error = refusal(activation_cache_create, spec=spec_for(first, more_tokenizations=(text.pk,)))
        assert (error.code, error.field) == (code, "more_tokenizations")
        assert error.hint
    assert not ActivationCache.objects.exists()


def test_a_paired_cache_takes_the_room_of_both_sites_and_needs_them():
    tokenization = make_tokenization(language_model=make_language_model(sites=PAIRED_SITES))
    alone = cache_plan(spec_for(tokenization, site="mlp_in"))
    paired = cache_plan(spec_for(tokenization, site="mlp_in", is_paired=True))
    assert (paired.d_out, paired.bytes) == (32, 2 * alone.bytes)
    assert activation_cache_create(spec=spec_for(tokenization, site="mlp_in", is_paired=True)).is_paired
    lacking = make_tokenization(language_model=make_language_model(sites=PAIRED_SITES[:2]))
    error = refusal(activation_cache_create, spec=spec_for(lacking, site="mlp_in", is_paired=True))
    assert (error.code, error.field) == ("no_such_hook_site", "site")


def test_held_out_rows_are_an_eighth_of_the_others_at_most():
    plan = cache_plan(spec_for(make_tokenization(contexts=2)))
    assert (plan.tokens, plan.held_out_tokens) == (14, 1)


def test_a_budget_refuses_what_exceeds_it_and_names_what_could_go(settings):
    used, unused = make_cache(), make_cache()
    run_on(used)
    each = 5120
    settings.ACTIVATIONS_MAX_BYTES = 2 * each + 6000
    tokenization = make_tokenization()
    promised = activation_cache_create(spec=spec_for(tokenization))
    error = refusal(activation_cache_create, spec=spec_for(tokenization))
    assert (error.code, error.field) == ("activations_budget", "max_tokens")
    assert f"id {unused.pk}, 5 KiB" in error.hint and f"id {used.pk}" not in error.hint
    promised.jobs.update(state="failed")
    assert activation_cache_create(spec=spec_for(tokenization))
    settings.ACTIVATIONS_MAX_BYTES = 1
    unused.delete()
    assert "stands on every cache" in refusal(activation_cache_create, spec=spec_for(tokenization)).hint


def test_without_a_budget_only_the_disk_counts(settings):
    assert settings.ACTIVATIONS_MAX_BYTES is None
    assert activation_cache_create(spec=spec_for(make_tokenization()))


def test_a_cache_under_a_training_run_is_not_deleted():
    cache = make_cache()
    data_path("activations", cache.pk).mkdir(parents=True)
    (data_path("activations", cache.pk) / "shard-00000.safetensors").write_bytes(bytes(1000))
    run = run_on(cache)
    assert isinstance(refusal(activation_cache_delete, activation_cache=cache), StillReferenced)
    run.delete()
    assert activation_cache_delete(activation_cache=cache) == 1000
    assert not ActivationCache.objects.exists()


def test_a_cache_is_not_deleted_while_it_is_written():
    cache = make_cache(is_ready=False)
    job_about(cache, state="running")
    assert refusal(activation_cache_delete, activation_cache=cache).code == "job_active"


def test_the_memory_estimate_counts_weights_block_and_scores():
    spec = spec_for(make_tokenization(), lm_dtype="bfloat16", batch_contexts=4)
    weights, block, scores = 1000, 4 * 8 * (8 * 32 + 3 * 64), 4 * 8 * 8 * 4
    assert ActivationCacheRunner().memory_bytes(spec) == 2 * (weights + block + scores) + RUNTIME_BYTES
