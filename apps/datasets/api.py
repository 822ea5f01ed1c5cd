"""Datasets as JSON."""

from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.errors import AppError
from apps.core.json_bodies import fields_check
from apps.core.spec_forms import spec_from_json
from apps.datasets import services
from apps.datasets.models import Dataset
from apps.datasets.rows import PAGE_ROWS, rows_page
from apps.datasets.selectors import dataset_get, dataset_json, dataset_list, dataset_ready, mark_json, marks_of
from apps.jobs.subjects import with_job
from workers.engine.specs.datasets import DatasetImportSpec

API_CELL_CHARACTERS = 10_000


@api("GET", "POST", spec=DatasetImportSpec)
def datasets(request: HttpRequest) -> Any:
    """All datasets (?q=, ?sort=); POST imports one."""
    if request.method == "POST":
        dataset = services.dataset_import(spec=spec_from_json(DatasetImportSpec, request.json), user=request.user)
        return accepted(dataset.job, dataset.get_absolute_url())
    found = dataset_list(query=request.GET.get("q", ""), sort=request.GET.get("sort", "newest"))
    return paged(found, request, dataset_json)


@api("GET", "PATCH", "DELETE")
def dataset(request: HttpRequest, pk: int) -> Any:
    """One dataset; PATCH {"name"} renames it, or {"row", "excluded", "tags", "text", "note"} marks a row; DELETE."""
    found = dataset_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": services.dataset_delete(dataset=found)}
    if request.method == "PATCH":
        return _dataset_patch(found, request.json)
    return with_job(dataset_json(found), found)


def _dataset_patch(found: Dataset, body: Any) -> dict[str, Any]:
    """Rename the dataset or mark one of its rows."""
    kinds = {"name": str, "row": int, "excluded": bool, "tags": str, "text": str, "note": str}
    fields_check(body, kinds)
    if "name" in body:
        services.dataset_rename(dataset=found, name=body["name"])
    if "row" not in body:
        return with_job(dataset_json(found), found)
    marks = {name: value for name, value in body.items() if name not in ("name", "row")}
    return mark_json(services.row_mark(dataset=found, row=body["row"], **marks), body["row"])


@api("POST")
def dataset_download(request: HttpRequest, pk: int) -> Any:
    """Start the import again after it failed, or name the one under way."""
    found = dataset_get(pk)
    return accepted(services.dataset_import_again(dataset=found, user=request.user), found.get_absolute_url())


@api("GET")
def dataset_samples(request: HttpRequest, pk: int) -> Any:
    """Rows of the dataset, 100 on each ?page=; cells are text, clipped at 10,000 characters."""
    found = dataset_ready(pk)
    pages = Paginator(range(found.rows), PAGE_ROWS)
    text = request.GET.get("page", "1")
    if not text.isdecimal() or int(text) < 1:
        raise AppError("bad_page", f"page={text!r} is not a whole number from 1.", "Correct the address.", field="page")
    shown = rows_page(found, int(text), clip=API_CELL_CHARACTERS)
    marks = marks_of(found, [row.index for row in shown.rows])
    items = [
        {
            "row": row.index,
            "cells": {
                column: {"text": cell.text, "kind": cell.kind, "clipped": cell.is_clipped}
                for column, cell in zip(shown.columns, row.cells)
            },
            "mark": mark_json(marks.get(row.index), row.index),
        }
        for row in shown.rows
    ]
    return {"columns": shown.columns, "items": items, "page": int(text), "pages": pages.num_pages, "total": found.rows}
