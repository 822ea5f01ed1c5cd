"""Everything that changes activation caches: create and delete."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.activations.models import ActivationCache
from apps.activations.selectors import activation_cache_folder, cache_bytes
from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.references import references_require_none
from apps.core.storage import artifact_remove, disk_free_bytes
from apps.core.templatetags.studio import bytes_words
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_selectors import tokenization_ready
from apps.jobs.services import job_enqueue, jobs_require_none_active
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_ready, site_width
from workers.engine.specs.activations import ActivationCacheSpec


def activation_cache_create(*, spec: ActivationCacheSpec, user: AbstractBaseUser | None = None) -> ActivationCache:
    """Write the row of an activation cache to come and queue its job.

    AppError: references not ready, another tokenizer, no such hook site, contexts too long, disk too full.
    """
    tokenization, language_model = tokenization_ready(spec.tokenization), language_model_ready(spec.language_model)
    require_same_tokenizer(tokenization, language_model)
    width = site_width(language_model, spec.layer, spec.site)
    _require_disk(cache_bytes(tokenization, width, spec.max_tokens))
    with transaction.atomic():
        cache = ActivationCache.objects.create(
            tokenization=tokenization,
            language_model=language_model,
            layer=spec.layer,
            site=spec.site,
            d_in=width,
            created_by=user,
        )
        job_enqueue(spec=spec, subject=cache, user=user)
        publish(language_model.topic, tokenization.topic)
    return cache


def require_same_tokenizer(tokenization: Tokenization, language_model: LanguageModel) -> None:
    """Tokens mean nothing to a model with another tokenizer: AppError "tokenizer_mismatch". Also checks the length."""
    if tokenization.tokenizer_sha256 != language_model.tokenizer_sha256:
        raise AppError(
            "tokenizer_mismatch",
            f"{tokenization} was cut with another tokenizer than that of {language_model}.",
            f"Tokenize {tokenization.dataset} with {language_model}.",
            field="tokenization",
        )
    longest = language_model.report.get("max_context") or tokenization.context_length
    if tokenization.context_length > longest:
        raise AppError(
            "context_too_long",
            f"{language_model} takes at most {longest:,} tokens in a context.",
            "Choose a tokenization with shorter contexts.",
            field="tokenization",
        )


def _require_disk(needed: int) -> None:
    free = disk_free_bytes()
    if needed > free:
        raise AppError(
            "disk_full",
            f"The cache may take {bytes_words(needed)}; {bytes_words(free)} are free.",
            "Cache fewer tokens, or delete what is no longer needed.",
            field="max_tokens",
        )


def activation_cache_delete(*, activation_cache: ActivationCache) -> int:
    """Delete an activation cache and its shards; returns the bytes freed.

    StillReferenced (409) when training runs stand on it; AppError "job_active" while a job works on it.
    """
    pk = activation_cache.pk
    with transaction.atomic():
        jobs_require_none_active(entity=ActivationCache.ENTITY, pk=pk, name=str(activation_cache))
        references_require_none(activation_cache)
        publish(activation_cache.topic)
        activation_cache.delete()
    return artifact_remove(activation_cache_folder(pk))
