"""Activation caches as JSON."""

from typing import Any

from django.http import HttpRequest

from apps.activations import services
from apps.activations.selectors import SORTS, activation_cache_get, activation_cache_json, activation_cache_list
from apps.core.api import accepted, api, paged
from apps.core.asking import choice_asked
from apps.core.spec_forms import spec_from_json
from apps.jobs.subjects import with_job
from workers.engine.specs.activations import ActivationCacheSpec


@api("GET", "POST", spec=ActivationCacheSpec)
def activation_caches(request: HttpRequest) -> Any:
    """All activation caches (?q=, ?sort=); POST makes one."""
    if request.method == "POST":
        spec = spec_from_json(ActivationCacheSpec, request.json)
        cache = services.activation_cache_create(spec=spec, user=request.user)
        return accepted(cache.job, cache.get_absolute_url())
    found = activation_cache_list(
        query=request.GET.get("q", ""), sort=choice_asked(request.GET, "sort", SORTS, default="newest")
    )
    return paged(found, request, activation_cache_json, filters=("q", "sort"))


@api("GET", "DELETE")
def activation_cache(request: HttpRequest, pk: int) -> Any:
    """One activation cache; DELETE removes it and its files."""
    found = activation_cache_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": services.activation_cache_delete(activation_cache=found)}
    return with_job(activation_cache_json(found), found)
