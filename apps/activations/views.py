"""Pages of activation caches: list, the form with its estimate, one cache."""

from typing import Any

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from apps.activations.selectors import (
    SORTS,
    activation_cache_get,
    activation_cache_list,
    cache_bytes,
)
from apps.activations.services import activation_cache_create, activation_cache_delete
from apps.core.pages import delete_page, spec_page
from apps.core.storage import disk_free_bytes
from apps.datasets.models import Tokenization
from apps.jobs.subjects import subject_list_page, subject_topics, with_newest_jobs
from apps.language_models.models import LanguageModel
from workers.engine.specs.activations import ActivationCacheSpec


@require_GET
def activation_cache_list_page(request: HttpRequest) -> HttpResponse:
    """All activation caches: ?q= searches, ?sort= is a key of SORTS."""
    return subject_list_page(request, activation_cache_list, SORTS, "activations/list.html")


@require_http_methods(["GET", "POST"])
def activation_cache_new(request: HttpRequest) -> HttpResponse:
    """Cache activations; ?language_model=, ?tokenization=, ?layer=, ?site= prefill the form."""
    return spec_page(
        request,
        ActivationCacheSpec,
        activation_cache_create,
        "activations/new.html",
        initial=_likely(request.GET),
        has_tokenizations=Tokenization.objects.filter(ready_at__isnull=False).exists(),
        **_estimate(request.POST or request.GET),
    )


def _likely(asked: QueryDict) -> dict[str, Any]:
    """What fits what was asked for: the model of the tokenization, its newest tokenization, its middle layer."""
    ready = Tokenization.objects.filter(ready_at__isnull=False).select_related("language_model")
    if asked.get("tokenization", "").isdecimal():
        ready = ready.filter(pk=asked["tokenization"])
    if asked.get("language_model", "").isdecimal():
        ready = ready.filter(language_model=asked["language_model"])
    tokenization = ready.first()
    if tokenization is None:
        return {}
    language_model = tokenization.language_model
    return {
        "tokenization": tokenization.pk,
        "language_model": language_model.pk,
        "layer": language_model.layers // 2,
    }


@require_GET
def estimate(request: HttpRequest) -> HttpResponse:
    """What the chosen cache may take on disk, asked for while the form is filled in."""
    return render(request, "activations/new.html#estimate", _estimate(request.GET))


def _estimate(chosen: QueryDict) -> dict[str, Any]:
    """Most bytes of the cache as far as it is chosen; `estimated_bytes` is None as long as that says nothing."""
    likely = {**_likely(chosen), "max_tokens": 1_000_000, "site": "resid_post"}
    values = {
        name: chosen.get(name) or likely.get(name) for name in ("tokenization", "language_model", "layer", "site")
    }
    values["max_tokens"] = chosen.get("max_tokens") or likely["max_tokens"]
    numbers = [str(values[name] or "") for name in ("tokenization", "language_model", "layer", "max_tokens")]
    context: dict[str, Any] = {"estimated_bytes": None, "width": None, "free_bytes": disk_free_bytes()}
    if not all(number.isdecimal() for number in numbers):
        return context
    tokenization = Tokenization.objects.filter(pk=values["tokenization"]).first()
    language_model = LanguageModel.objects.filter(pk=values["language_model"]).first()
    if tokenization is None or language_model is None:
        return context
    place = (int(values["layer"]), values["site"])
    sites = {(entry["layer"], entry["site"]): entry["width"] for entry in language_model.report.get("hook_sites", [])}
    if place not in sites:
        return context
    return context | {
        "estimated_bytes": cache_bytes(tokenization, sites[place], int(values["max_tokens"])),
        "width": sites[place],
    }


@require_GET
def activation_cache_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One activation cache: what was kept, what was left out and why, what was trained on it."""
    cache = activation_cache_get(pk)
    job = cache.job
    context = {
        "cache": cache,
        "job": job,
        "topics": subject_topics(cache, job),
        "train_url": f"{reverse('training:new')}?activation_cache={cache.pk}",
        "runs": with_newest_jobs(cache.training_runs.all()),
    }
    return render(request, "activations/detail.html", context)


@require_http_methods(["GET", "POST"])
def activation_cache_delete_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete an activation cache."""
    cache = activation_cache_get(pk)
    return delete_page(
        request,
        cache,
        lambda: activation_cache_delete(activation_cache=cache),
        back_url=reverse("activations:list"),
        note="It can be made again from the same contexts.",
    )
