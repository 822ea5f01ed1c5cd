"""Pages of tokenizations: cutting a dataset, and what came of it."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods

from apps.core.pages import delete_page, spec_page
from apps.datasets.contexts import PARTS, contexts_sample
from apps.datasets.selectors import dataset_get
from apps.datasets.tokenization_selectors import tokenization_account, tokenization_get
from apps.datasets.tokenization_services import tokenization_create, tokenization_delete
from apps.jobs.subjects import subject_topics, with_newest_jobs
from workers.engine.specs.tokenization import TokenizeSpec

SAMPLE_CONTEXTS = 5


@require_http_methods(["GET", "POST"])
def tokenize_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Cut this dataset into contexts."""
    dataset = dataset_get(pk)
    return spec_page(
        request, TokenizeSpec, tokenization_create, "datasets/tokenize.html", initial={"dataset": pk}, dataset=dataset
    )


@require_GET
def tokenization_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One tokenization: its accounting, hashes, and contexts (?part= train or heldout, ?from= the first shown)."""
    tokenization = tokenization_get(pk)
    job = tokenization.job
    context = {"tokenization": tokenization, "job": job, "topics": subject_topics(tokenization, job)}
    context |= tokenization_account(tokenization)
    if tokenization.is_ready:
        context |= _contexts_context(request, tokenization)
        context["caches"] = with_newest_jobs(tokenization.activation_caches.select_related("language_model"))
    return render(request, "datasets/tokenization.html", context)


def _contexts_context(request: HttpRequest, tokenization: Any) -> dict[str, Any]:
    part = request.GET.get("part", "train")
    part = part if part in PARTS else "train"
    total = tokenization.contexts if part == "train" else tokenization.heldout_contexts
    pages = Paginator(range(total), SAMPLE_CONTEXTS)
    page = pages.get_page(request.GET.get("page"))
    start = max(0, page.start_index() - 1)
    samples = contexts_sample(tokenization, part=part, start=start, count=SAMPLE_CONTEXTS)
    parts = [("train", "Training", tokenization.contexts), ("heldout", "Held out", tokenization.heldout_contexts)]
    return {"part": part, "parts": parts, "page": page, "samples": samples}


@require_http_methods(["GET", "POST"])
def tokenization_delete_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete a tokenization."""
    tokenization = tokenization_get(pk)
    return delete_page(
        request,
        tokenization,
        lambda: tokenization_delete(tokenization=tokenization),
        back_url=tokenization.dataset.get_absolute_url(),
    )
