"""Everything that changes activation caches: create and delete."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.activations.models import ActivationCache, CacheText
from apps.activations.plans import cache_plan, require_room
from apps.activations.selectors import activation_cache_folder
from apps.core.live.publishing import publish
from apps.core.references import references_require_none
from apps.core.storage import artifact_remove
from apps.jobs.services import job_enqueue, jobs_require_none_active
from workers.engine.specs.activations import ActivationCacheSpec


def activation_cache_create(*, spec: ActivationCacheSpec, user: AbstractBaseUser | None = None) -> ActivationCache:
    """Write the row of an activation cache to come, with its further texts, and queue its job.

    AppError as from `cache_plan`; disk or budget too small.
    """
    plan = cache_plan(spec)
    require_room(plan)
    with transaction.atomic():
        cache = ActivationCache.objects.create(
            tokenization=plan.tokenizations[0],
            language_model=plan.language_model,
            is_paired=spec.is_paired,
            layer=spec.layer,
            site=spec.site,
            d_in=plan.d_in,
            created_by=user,
        )
        for text in plan.tokenizations[1:]:
            CacheText.objects.create(activation_cache=cache, tokenization=text)
        job_enqueue(spec=spec, subject=cache, user=user)
        publish(plan.language_model.topic, *[text.topic for text in plan.tokenizations])
    return cache


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
