"""Pages of activation caches: list, the form with its estimate, one cache."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from apps.activations.live import cache_context
from apps.activations.plans import cache_plan, require_room, taken_bytes
from apps.activations.selectors import SORTS, activation_cache_get, activation_cache_list
from apps.activations.services import activation_cache_create, activation_cache_delete
from apps.core.asking import whole_or_none
from apps.core.errors import AppError
from apps.core.pages import delete_page, spec_page
from apps.core.spec_forms import spec_form
from apps.core.storage import disk_free_bytes
from apps.datasets.models import Tokenization
from apps.jobs.subjects import subject_list_page, subject_topics, with_newest_jobs
from workers.engine.specs.activations import ActivationCacheSpec


@require_GET
def activation_cache_list_page(request: HttpRequest) -> HttpResponse:
    """All activation caches: ?q= searches, ?sort= is a key of SORTS."""
    budget = settings.ACTIVATIONS_MAX_BYTES
    return subject_list_page(request, activation_cache_list, SORTS, "activations/list.html", budget_bytes=budget)


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
    for name, column in (("tokenization", "pk"), ("language_model", "language_model")):
        pk = whole_or_none(asked.get(name))
        ready = ready if pk is None else ready.filter(**{column: pk})
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
    """The plan of the cache as far as it is chosen; None as long as that says nothing, or `refused` says why not."""
    filled = chosen.copy()
    for name, value in _likely(chosen).items():
        if not filled.get(name):
            filled[name] = str(value)
    form = spec_form(ActivationCacheSpec)(filled)
    context: dict[str, Any] = {"plan": None, "refused": "", "free_bytes": disk_free_bytes()}
    context |= {"budget_bytes": settings.ACTIVATIONS_MAX_BYTES, "taken_bytes": taken_bytes()}
    if form.is_valid():
        try:
            context["plan"] = cache_plan(form.spec())
            require_room(context["plan"])
        except AppError as error:
            context["refused"] = f"{error.message} {error.hint}".strip()
    return context


@require_GET
def activation_cache_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One activation cache: what was kept, what was left out and why, what was trained on it."""
    cache = activation_cache_get(pk)
    context = {
        **cache_context(cache),
        "topics": subject_topics(cache, cache.job),
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
