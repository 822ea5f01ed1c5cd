"""Live fragment of an activation cache: the card of its page."""

from typing import Any

from django.template.loader import render_to_string

from apps.activations.models import ActivationCache
from apps.activations.selectors import activation_cache_list
from apps.core.asking import row_or_none
from apps.core.live.rendering import renders
from apps.core.live.topics import ACTIVATIONS


@renders(ACTIVATIONS)
def activation_cache_card(pk: str) -> str | None:
    """What was kept and left out, or the job under way."""
    cache = row_or_none(activation_cache_list(), pk)
    if cache is None:
        return None
    return render_to_string("activations/detail.html#card", cache_context(cache))


def cache_context(cache: ActivationCache) -> dict[str, Any]:
    """What the card shows: the cache, its job, its further texts and how they follow each other."""
    job = cache.job
    mixing = job.spec.get("mixing", "") if job is not None else ""
    return {"cache": cache, "job": job, "texts": list(cache.texts.all()), "mixing": mixing}
