"""What pages, endpoints, commands and other apps read of activation caches."""

from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from apps.activations.models import ActivationCache
from apps.core.errors import AppError, NotFound
from apps.core.storage import data_path
from apps.datasets.models import Tokenization

BFLOAT16_BYTES = 2
SORTS = {"newest": "-id", "tokens": "-tokens", "size": "-bytes", "layer": "layer"}


def activation_cache_get(pk: int) -> ActivationCache:
    """The activation cache; NotFound otherwise."""
    try:
        return _with_names().get(pk=pk)
    except ActivationCache.DoesNotExist:
        raise NotFound("activation cache", pk) from None


def activation_cache_list(*, query: str = "", sort: str = "newest") -> QuerySet[ActivationCache]:
    """Activation caches whose language model or dataset has `query` in its name, sorted by a key of SORTS."""
    found = _with_names()
    if query:
        by_model = found.filter(language_model__name__icontains=query)
        found = by_model | found.filter(tokenization__dataset__name__icontains=query)
    return found.order_by(SORTS.get(sort, "-id"), "-id")


def _with_names() -> QuerySet[ActivationCache]:
    return ActivationCache.objects.select_related(
        "language_model", "tokenization__dataset", "tokenization__language_model"
    )


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


def cache_bytes(tokenization: Tokenization, width: int, max_tokens: int) -> int:
    """Most bytes a cache can take: tokens of the training part but for position 0, × width × 2 (bfloat16)."""
    tokens = min(max_tokens, tokenization.contexts * (tokenization.context_length - 1))
    return tokens * width * BFLOAT16_BYTES


def activation_cache_json(cache: ActivationCache) -> dict[str, Any]:
    """The activation cache as the API and `--json` show it."""
    return {
        "id": cache.pk,
        "name": str(cache),
        "ready": cache.is_ready,
        "language_model": {"id": cache.language_model_id, "name": str(cache.language_model)},
        "tokenization": {"id": cache.tokenization_id, "name": str(cache.tokenization)},
        "layer": cache.layer,
        "site": cache.site,
        "hook_site": cache.hook_site,
        "tokens": cache.tokens,
        "d_in": cache.d_in,
        "bytes": cache.bytes,
        "sink_threshold": cache.sink_threshold,
        "mean_norm": cache.mean_norm,
        "report": cache.report,
        "created_at": cache.created_at.isoformat(),
        "ready_at": cache.ready_at.isoformat() if cache.ready_at else None,
        "url": cache.get_absolute_url(),
        "topic": cache.topic,
    }
