"""What pages, endpoints, commands and other apps read of activation caches."""

from pathlib import Path
from typing import Any

from django.db.models import Prefetch, QuerySet

from apps.activations.models import ActivationCache, CacheText
from apps.core.errors import AppError
from apps.core.search import found_by
from apps.core.selectors import row_of
from apps.core.storage import data_path

SORTS = {"newest": "-id", "tokens": "-tokens", "size": "-bytes", "layer": "layer"}


def activation_cache_get(pk: int) -> ActivationCache:
    """The activation cache; NotFound otherwise."""
    return row_of(_with_names(), "activation cache", pk)


def activation_cache_list(*, query: str = "", sort: str = "newest") -> QuerySet[ActivationCache]:
    """Activation caches whose language model or dataset has `query` in its name, sorted by a key of SORTS."""
    names = ("language_model__name", "tokenization__dataset__name", "texts__tokenization__dataset__name")
    return found_by(_with_names(), query, *names).order_by(SORTS.get(sort, "-id"), "-id")


def _with_names() -> QuerySet[ActivationCache]:
    named = ActivationCache.objects.select_related(
        "language_model", "tokenization__dataset", "tokenization__language_model"
    )
    texts = CacheText.objects.select_related("tokenization__dataset", "tokenization__language_model")
    return named.prefetch_related(Prefetch("texts", texts), "training_runs")


def activation_cache_folder(pk: int) -> Path:
    """Where its shards lie."""
    return data_path("activations", pk)


def activation_cache_ready(pk: int) -> ActivationCache:
    """The activation cache, written whole; AppError "not_ready" otherwise."""
    cache = activation_cache_get(pk)
    if not cache.is_ready:
        raise AppError(
            "not_ready",
            f"The activation cache {cache} is not ready yet.",
            "Wait for its job, or repeat it.",
            status=409,
            field="activation_cache",
        )
    return cache


def used_by(cache: ActivationCache) -> list[Any]:
    """What stands on the cache: its training runs, newest first."""
    return list(cache.training_runs.all())


def activation_cache_json(cache: ActivationCache) -> dict[str, Any]:
    """The activation cache as the API and `--json` show it."""
    return {
        "id": cache.pk,
        "name": str(cache),
        "ready": cache.is_ready,
        "language_model": {"id": cache.language_model_id, "name": str(cache.language_model)},
        "tokenization": {"id": cache.tokenization_id, "name": str(cache.tokenization)},
        "more_tokenizations": [
            {"id": text.tokenization_id, "name": str(text.tokenization)} for text in cache.texts.all()
        ],
        "layer": cache.layer,
        "site": cache.site,
        "hook_site": cache.hook_site,
        "tokens": cache.tokens,
        "d_in": cache.d_in,
        "is_paired": cache.is_paired,
        "d_out": cache.report.get("d_out"),
        "held_out_tokens": cache.report.get("held_out_tokens"),
        "training_runs": [{"id": run.pk, "name": str(run), "url": run.get_absolute_url()} for run in used_by(cache)],
        "bytes": cache.bytes,
        "sink_threshold": cache.sink_threshold,
        "mean_norm": cache.mean_norm,
        "report": cache.report,
        "created_at": cache.created_at.isoformat(),
        "ready_at": cache.ready_at.isoformat() if cache.ready_at else None,
        "url": cache.get_absolute_url(),
        "topic": cache.topic,
    }
