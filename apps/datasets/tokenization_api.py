"""Tokenizations and previews of tokens as JSON."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.asking import whole_asked
from apps.core.spec_forms import spec_from_json
from apps.datasets import tokenization_services
from apps.datasets.dropped_rows import DROPPED_PAGE, dropped_json, dropped_rows, dropped_table
from apps.datasets.selectors import dataset_get, dataset_ready
from apps.datasets.tokenization_selectors import (
    dataset_statistics,
    preview_get,
    preview_json,
    tokenization_get,
    tokenization_json,
    tokenization_list,
    tokenization_ready,
)
from apps.datasets.tokenization_statistics import statistics_json
from apps.jobs.subjects import with_job
from workers.engine.specs.tokenization import TokenizeSpec, TokenPreviewSpec


@api("POST", spec=TokenizeSpec)
def dataset_tokenize(request: HttpRequest, pk: int) -> Any:
    """Cut the dataset into contexts; the body is a TokenizeSpec, `dataset` is taken from the address."""
    body = {**request.json, "dataset": pk}
    dataset_ready(pk)
    tokenization = tokenization_services.tokenization_create(spec=spec_from_json(TokenizeSpec, body), user=request.user)
    return accepted(tokenization.job, tokenization.get_absolute_url())


@api("GET")
def dataset_statistics_view(request: HttpRequest, pk: int) -> Any:
    """The dataset's numbers and those of its tokenizations."""
    return dataset_statistics(dataset_get(pk))


@api("GET")
def dataset_tokenizations(request: HttpRequest, pk: int) -> Any:
    """The dataset's tokenizations."""
    return paged(tokenization_list(dataset=dataset_get(pk)), request, tokenization_json)


@api("GET", "DELETE")
def tokenization(request: HttpRequest, pk: int) -> Any:
    """One tokenization with its full report; DELETE removes it."""
    found = tokenization_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": tokenization_services.tokenization_delete(tokenization=found)}
    return {**with_job(tokenization_json(found), found), "report": found.report}


@api("GET")
def tokenization_statistics(request: HttpRequest, pk: int) -> Any:
    """Numbers of a ready tokenization: its report, the rank-frequency curve, frequent tokens, documents by length."""
    found = tokenization_ready(pk)
    return {**tokenization_json(found), "report": found.report, **statistics_json(found)}


@api("GET")
def tokenization_dropped(request: HttpRequest, pk: int) -> Any:
    """Rows that made no document, 25 on each ?page=; ?reason= is excluded, empty, cleaned, short or junk."""
    found = tokenization_ready(pk)
    table = dropped_table(found, request.GET.get("reason", ""))
    pages = Paginator(range(len(table)), DROPPED_PAGE)
    page = whole_asked(request.GET, "page", default=1, least=1)
    rows = dropped_rows(found, table.slice(min((page - 1) * DROPPED_PAGE, len(table)), DROPPED_PAGE))
    return {
        "items": [dropped_json(row) for row in rows],
        "page": page,
        "pages": pages.num_pages,
        "total": len(table),
    }


@api("POST", spec=TokenPreviewSpec)
def dataset_preview(request: HttpRequest, pk: int) -> Any:
    """Show what a tokenization would make of some rows or of a text; the body is a TokenPreviewSpec without `dataset`."""
    body = {**request.json, "dataset": pk}
    dataset_ready(pk)
    started = tokenization_services.token_preview_start(spec=spec_from_json(TokenPreviewSpec, body), user=request.user)
    return accepted(started.job, f"/api/v1/previews/{started.pk}")


@api("GET")
def preview(request: HttpRequest, pk: int) -> Any:
    """One preview: its rows with tokens, once it is ready. Kept for a day."""
    found = preview_get(pk)
    return with_job(preview_json(found), found)
