"""Pages of tokenizations: what came of cutting a dataset. The form and its preview are in preview_views.py."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods

from apps.core.pages import delete_page
from apps.datasets.contexts import PARTS, contexts_sample
from apps.datasets.dropped_rows import DROPPED_PAGE, dropped_rows, dropped_table
from apps.datasets.models import Tokenization
from apps.datasets.tokenization_account import tokenization_account
from apps.datasets.tokenization_selectors import tokenization_get, tokenization_ready
from apps.datasets.tokenization_services import tokenization_delete
from apps.datasets.tokenization_statistics import length_chart, rank_chart, statistics_read, top_tokens
from apps.jobs.subjects import subject_topics, with_newest_jobs

SAMPLE_CONTEXTS = 5
MANY_DUPLICATES = 0.2


@require_GET
def tokenization_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One tokenization: accounting, statistics, and contexts (?part= train or heldout, ?page= of them)."""
    tokenization = tokenization_get(pk)
    job = tokenization.job
    context = {"tokenization": tokenization, "job": job, "topics": subject_topics(tokenization, job)}
    context |= tokenization_account(tokenization)
    context["many_duplicates"] = (context["duplicates"] or 0) > MANY_DUPLICATES
    if tokenization.is_ready:
        context |= _contexts_context(request, tokenization) | _statistics_context(tokenization)
        context["caches"] = with_newest_jobs(tokenization.activation_caches.select_related("language_model"))
    return render(request, "datasets/tokenization.html", context)


def _contexts_context(request: HttpRequest, tokenization: Tokenization) -> dict[str, Any]:
    part = request.GET.get("part", "train")
    part = part if part in PARTS else "train"
    total = tokenization.contexts if part == "train" else tokenization.heldout_contexts
    pages = Paginator(range(total), SAMPLE_CONTEXTS)
    page = pages.get_page(request.GET.get("page"))
    start = max(0, page.start_index() - 1)
    samples = contexts_sample(tokenization, part=part, start=start, count=SAMPLE_CONTEXTS)
    parts = [("train", "Training", tokenization.contexts), ("heldout", "Held out", tokenization.heldout_contexts)]
    return {"part": part, "parts": parts, "page": page, "samples": samples}


def _statistics_context(tokenization: Tokenization) -> dict[str, Any]:
    """Charts and the most frequent tokens; `charts` is empty for tokenizations made without statistics."""
    context: dict[str, Any] = {"charts": []}
    statistics = statistics_read(tokenization)
    if statistics is not None:
        context["charts"] = [rank_chart(statistics), length_chart(tokenization, statistics)]
        context["top_tokens"] = top_tokens(tokenization, statistics)
    return context


@require_GET
def dropped_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Rows that made no document; ?reason= is a key of DROP_REASONS, ?page=."""
    tokenization = tokenization_ready(pk)
    reason = request.GET.get("reason", "")
    table = dropped_table(tokenization, reason)
    page = Paginator(range(len(table)), DROPPED_PAGE).get_page(request.GET.get("page"))
    rows = dropped_rows(tokenization, table.slice(max(0, page.start_index() - 1), DROPPED_PAGE))
    context = {"tokenization": tokenization, "reason": reason, "page": page, "rows": rows}
    return render(request, "datasets/dropped.html", context | tokenization_account(tokenization))


@require_http_methods(["GET", "POST"])
def tokenization_delete_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete a tokenization."""
    tokenization = tokenization_get(pk)
    return delete_page(
        request,
        tokenization,
        lambda: tokenization_delete(tokenization=tokenization),
        back_url=tokenization.dataset.get_absolute_url(),
        back_words=str(tokenization.dataset),
    )
