"""Pages of datasets: list, import, rows with their marks."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.core.errors import NotFound
from apps.core.name_form import NameForm
from apps.core.pages import delete_page, spec_page
from apps.core.storage import disk_free_bytes
from apps.datasets.forms import RowMarkForm
from apps.datasets.models import Dataset
from apps.datasets.rows import PAGE_ROWS, row_whole, rows_between, rows_search
from apps.datasets.selectors import SORTS, dataset_get, dataset_list, mark_json, marks_of
from apps.datasets.services import dataset_delete, dataset_import, dataset_rename, row_mark
from apps.datasets.tokenization_selectors import tokenization_list
from apps.jobs.subjects import subject_list_page, subject_topics, with_newest_jobs
from workers.engine.specs.datasets import DatasetImportSpec


@require_GET
def dataset_list_page(request: HttpRequest) -> HttpResponse:
    """All datasets: ?q= searches, ?sort= is a key of SORTS."""
    return subject_list_page(request, dataset_list, SORTS, "datasets/list.html")


@require_http_methods(["GET", "POST"])
def dataset_new(request: HttpRequest) -> HttpResponse:
    """Import a dataset."""
    return spec_page(request, DatasetImportSpec, dataset_import, "datasets/new.html", free_bytes=disk_free_bytes())


@require_GET
def dataset_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One dataset: its numbers, tokenizations and rows (?page=, or ?q= to search the text from row ?from= on)."""
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
    query = request.GET.get("q", "")
    if query:
        start = request.GET.get("from", "0")
        found = rows_search(dataset, query, start=int(start) if start.isdecimal() else 0)
        shown, context = found.page, {"query": query, "search": found}
    else:
        page = Paginator(range(dataset.rows), PAGE_ROWS).get_page(request.GET.get("page"))
        first = page.start_index() - 1
        shown, context = rows_between(dataset, first, first + PAGE_ROWS), {"page": page}
    marks = marks_of(dataset, [row.index for row in shown.rows])
    lines = [(row, mark_json(marks.get(row.index), row.index)) for row in shown.rows]
    return {"columns": shown.columns, "lines": lines, **context}


@require_POST
def dataset_rename_submit(request: HttpRequest, pk: int) -> HttpResponse:
    """Give a dataset another name."""
    dataset = dataset_rename(dataset=dataset_get(pk), name=request.POST.get("name", ""))
    return redirect(dataset)


@require_http_methods(["GET", "POST"])
def dataset_delete_page(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask, then delete a dataset."""
    dataset = dataset_get(pk)
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
