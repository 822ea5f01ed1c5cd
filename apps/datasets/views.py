"""Pages of datasets: list, import, rows with their marks."""

from functools import partial
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import HttpResponseClientRedirect

from apps.core.asking import row_or_none, whole_or_none
from apps.core.errors import NotFound
from apps.core.name_form import NameForm
from apps.core.pages import delete_page, form_start, spec_page
from apps.core.spec_forms import spec_form
from apps.core.storage import disk_free_bytes
from apps.datasets.column_filters import column_filter, histograms_of
from apps.datasets.forms import DatasetImportForm, RowMarkForm
from apps.datasets.lookups import lookup_context
from apps.datasets.models import Dataset, DatasetLookup
from apps.datasets.row_search import rows_search
from apps.datasets.rows import PAGE_ROWS, row_whole, rows_between
from apps.datasets.selectors import SORTS, dataset_disk_bytes, dataset_get, dataset_list, mark_json, marks_of
from apps.datasets.services import dataset_delete, dataset_import, dataset_lookup, dataset_rename, row_mark
from apps.datasets.token_view import TOKEN_ROWS, token_values, token_view_context
from apps.datasets.tokenization_selectors import tokenization_list
from apps.jobs.subjects import subject_list_page, subject_topics, with_newest_jobs
from workers.engine.specs.datasets import DatasetImportSpec, DatasetLookupSpec

LOOKUP_IDS = "lookup_%s"
"""Two forms of the import page have a field named repo_id: their elements' ids differ."""


@require_GET
def dataset_list_page(request: HttpRequest) -> HttpResponse:
    """All datasets: ?q= searches, ?sort= is a key of SORTS."""
    return subject_list_page(request, dataset_list, SORTS, "datasets/list.html")


@require_http_methods(["GET", "POST"])
def dataset_new(request: HttpRequest) -> HttpResponse:
    """Look a dataset up on the Hub and import it; ?lookup= shows what was found and offers what there is to choose."""
    lookup = _lookup_asked(request)
    return spec_page(
        request,
        DatasetImportSpec,
        dataset_import,
        "datasets/new.html",
        initial=_import_initial(lookup),
        form_class=partial(DatasetImportForm, found=lookup.report if lookup else None),
        lookup_form=spec_form(DatasetLookupSpec)(initial=_lookup_initial(lookup), auto_id=LOOKUP_IDS),
        **_lookup_page_context(lookup),
    )


@require_http_methods(["GET", "POST"])
def dataset_lookup_submit(request: HttpRequest) -> HttpResponse:
    """Ask the Hub about a dataset, then show the answer above the import form.

    `again` comes from the import form, when another configuration was chosen in it: its splits are others.
    """
    if request.method == "GET":
        return redirect("datasets:new")
    values = request.POST.copy()
    if "again" in values:
        values["split"] = ""
    form = spec_form(DatasetLookupSpec)(values, auto_id=LOOKUP_IDS)
    lookup = form_start(form, dataset_lookup, request)
    if lookup is None:
        context = {"form": DatasetImportForm(), "lookup_form": form, **_lookup_page_context(None)}
        return render(request, "datasets/new.html", context, status=422)
    typed = {name: values[name] for name in ("name", "row_cap") if values.get(name)}
    url = f"{lookup.get_absolute_url()}&{urlencode(typed)}" if typed else lookup.get_absolute_url()
    return HttpResponseClientRedirect(url) if request.htmx else redirect(url)


def _lookup_asked(request: HttpRequest) -> DatasetLookup | None:
    """The look-up of ?lookup=; one that is gone, they are kept for a day, is as if it was not asked for."""
    return row_or_none(DatasetLookup.objects.all(), request.GET.get("lookup"))


def _lookup_page_context(lookup: DatasetLookup | None) -> dict[str, Any]:
    if lookup is None:
        return {"free_bytes": disk_free_bytes()}
    return {**lookup_context(lookup), "topics": subject_topics(lookup, lookup.job)}


def _lookup_initial(lookup: DatasetLookup | None) -> dict[str, Any]:
    return {"repo_id": lookup.repo_id} if lookup else {}


def _import_initial(lookup: DatasetLookup | None) -> dict[str, Any]:
    """What the import form starts with: the repository looked up, at its revision, with its configuration and split."""
    if lookup is None:
        return {}
    known = {name: lookup.report[name] for name in ("revision", "config", "split") if lookup.is_ready}
    return {"source": "hub", "repo_id": lookup.repo_id, **known}


@require_GET
def dataset_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One dataset: its numbers, tokenizations and rows.

    ?page= pages through all; ?q= searches the text and ?col= with ?value= or ?lo= and ?hi= filters, from row ?from= on;
    ?tokens= shows them as tokens of that language model.
    """
    dataset = dataset_get(pk)
    job = dataset.job
    context = {
        "dataset": dataset,
        "job": job,
        "topics": subject_topics(dataset, job),
        "name_form": NameForm(initial={"name": dataset.name}),
        "tokenizations": with_newest_jobs(tokenization_list(dataset=dataset)),
        "excluded_count": dataset.marks.filter(excluded=True).count(),
    }
    if dataset.is_ready:
        context |= _rows_context(request, dataset)
    return render(request, "datasets/detail.html", context)


def _rows_context(request: HttpRequest, dataset: Dataset) -> dict[str, Any]:
    query, chosen = request.GET.get("q", ""), column_filter(dataset, request.GET)
    tokens = token_view_context(dataset, request.GET)
    if tokens["tokenizer"]:
        page = Paginator(range(dataset.rows), TOKEN_ROWS).get_page(request.GET.get("page"))
        first = max(page.start_index() - 1, 0)
        values = token_values(tokens["tokenizer"], first, TOKEN_ROWS)
        return {"page": page, "token_values": values, **tokens, **_same_row_pages(first)}
    if query or chosen:
        start = whole_or_none(request.GET.get("from")) or 0
        found = rows_search(dataset, query, chosen, start=start)
        shown, context = (
            found.page,
            {"query": query, "chosen": chosen, "search": found, "unfiltered": urlencode({"q": query} if query else {})},
        )
    else:
        page = Paginator(range(dataset.rows), PAGE_ROWS).get_page(request.GET.get("page"))
        first = page.start_index() - 1
        shown, context = rows_between(dataset, first, first + PAGE_ROWS), {"page": page, **_same_row_pages(first)}
    marks = marks_of(dataset, [row.index for row in shown.rows])
    lines = [(row, mark_json(marks.get(row.index), row.index)) for row in shown.rows]
    histograms = histograms_of(dataset, chosen, query)
    columns = [(column, histograms.get(column)) for column in shown.columns]
    return {"columns": columns, "lines": lines, **context, **tokens}


def _same_row_pages(first: int) -> dict[str, int]:
    """The pages of text and of tokens that hold a row: whoever changes between the two stays where they were."""
    return {"text_page": max(first, 0) // PAGE_ROWS + 1, "token_page": max(first, 0) // TOKEN_ROWS + 1}


@require_POST
def dataset_rename_submit(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a dataset another name."""
    dataset = dataset_rename(dataset=dataset_get(pk), name=request.POST.get("name", ""))
    return redirect(dataset)


@require_http_methods(["GET", "POST"])
def dataset_delete_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete a dataset."""
    dataset = dataset_get(pk)
    dataset.bytes = dataset_disk_bytes(dataset)
    return delete_page(
        request,
        dataset,
        lambda: dataset_delete(dataset=dataset),
        back_url=reverse("datasets:list"),
        note="What is marked on its rows goes too.",
    )


@require_http_methods(["GET", "POST"])
def row_page(request: HttpRequest, pk: int, row: int) -> HttpResponse:
    """One row in full, and the form for what is marked on it."""
    dataset = dataset_get(pk)
    if not (dataset.is_ready and row < dataset.rows):
        raise NotFound("row", row)
    mark = mark_json(marks_of(dataset, [row]).get(row), row)
    form = RowMarkForm(request.POST if request.method == "POST" else None, initial=mark)
    if form.is_bound and form.is_valid():
        row_mark(dataset=dataset, row=row, **form.cleaned_data)
        return redirect("datasets:row", pk, row)
    cells = row_whole(dataset, row)
    context = {"dataset": dataset, "row": row, "cells": cells, "mark": mark, "form": form, "last": dataset.rows - 1}
    context |= token_view_context(dataset, request.GET)
    if context["tokenizer"]:
        context["token_values"] = token_values(context["tokenizer"], row, 1)
    return render(request, "datasets/row.html", context, status=422 if form.errors else 200)


@require_POST
def row_exclude_toggle(request: HttpRequest, pk: int, row: int) -> HttpResponse:
    """Leave a row out of new tokenizations, or take it in again; htmx gets the row's marks, others the page they left."""
    dataset = dataset_get(pk)
    mark = row_mark(dataset=dataset, row=row, excluded=request.POST.get("excluded") == "1")
    if request.htmx:
        context = {"dataset": dataset, "mark": mark_json(mark, row)}
        return render(request, "datasets/detail.html#row_mark", context)
    return redirect(f"{dataset.get_absolute_url()}?page={row // PAGE_ROWS + 1}#row-{row}")
