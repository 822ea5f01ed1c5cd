"""What the services of activation caches do and refuse."""

import pytest

from apps.activations import services
from apps.activations.models import ActivationCache
from apps.activations.services import activation_cache_create, activation_cache_delete
from apps.core.errors import AppError, StillReferenced
from apps.core.storage import data_path
from apps.training.models import TrainingRun
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
    monkeypatch.setattr(services, "disk_free_bytes", lambda: 5000)
    error = refusal(activation_cache_create, spec=spec_for(make_tokenization()))
    # 12 contexts × 7 positions × 32 × 2 bytes
    assert error.code == "disk_full" and "5.25 KiB" in error.message


def test_a_cache_under_a_training_run_is_not_deleted():
    cache = make_cache()
    data_path("activations", cache.pk).mkdir(parents=True)
    (data_path("activations", cache.pk) / "shard-00000.safetensors").write_bytes(bytes(1000))
    run = TrainingRun.objects.create(
        activation_cache=cache,
        language_model=cache.language_model,
        tokenization=cache.tokenization,
        architecture="topk",
        d_sae=64,
        steps=10,
        spec={},
    )
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
