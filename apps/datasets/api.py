"""Datasets as JSON."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from apps.core.api import accepted, api, paged
from apps.core.asking import choice_asked, whole_asked
from apps.core.errors import AppError
from apps.core.json_bodies import fields_check
from apps.core.sources import free_name
from apps.core.spec_forms import spec_from_json
from apps.datasets import services
from apps.datasets.column_filters import column_filter
from apps.datasets.models import Dataset, DatasetLookup
from apps.datasets.row_search import rows_search
from apps.datasets.rows import RowsPage, cell_json, page_count, rows_page
from apps.datasets.selectors import (
    SORTS,
    dataset_get,
    dataset_json,
    dataset_list,
    dataset_ready,
    lookup_get,
    lookup_json,
    mark_json,
    marks_of,
)
from apps.datasets.uploads import upload_remove, upload_store
from apps.jobs.subjects import with_job
from workers.engine.specs.datasets import DatasetImportSpec, DatasetLookupSpec

API_CELL_CHARACTERS = 10_000


@api("GET", "POST", spec=DatasetImportSpec)
def datasets(request: HttpRequest) -> Any:
    """All datasets (?q=, ?sort=); POST imports one, multipart/form-data with `file` and the options uploads one."""
    if request.method == "POST":
        is_upload = request.content_type == "multipart/form-data"
        spec = _upload_spec(request) if is_upload else spec_from_json(DatasetImportSpec, request.json)
        dataset = services.dataset_import(spec=spec, user=request.user)
        return accepted(dataset.job, dataset.get_absolute_url())
    found = dataset_list(
        query=request.GET.get("q", ""), sort=choice_asked(request.GET, "sort", SORTS, default="newest")
    )
    return paged(found, request, dataset_json, filters=("q", "sort"))


def _upload_spec(request: HttpRequest) -> DatasetImportSpec:
    """Keep the file that was sent, then read the options; refused options leave no file behind."""
    file = request.FILES.get("file")
    if file is None:
        raise AppError("no_file", "No file was sent.", "Send it as the part named file.", status=422, field="file")
    name = upload_store(file)
    body = {"name": free_name(Dataset, file.name), **request.POST.dict(), "source": "upload", "upload": name}
    try:
        return spec_from_json(DatasetImportSpec, body)
    except AppError:
        upload_remove(name)
        raise


@api("GET", "POST", spec=DatasetLookupSpec)
def dataset_lookups(request: HttpRequest) -> Any:
    """Look-ups of the last day, newest first; POST {"repo_id"} asks the Hub what a dataset is."""
    if request.method == "POST":
        spec = spec_from_json(DatasetLookupSpec, request.json)
        lookup = services.dataset_lookup(spec=spec, user=request.user)
        return accepted(lookup.job, reverse("api:dataset-lookup", args=[lookup.pk]))
    return paged(DatasetLookup.objects.all(), request, lookup_json)


@api("GET")
def dataset_lookup(request: HttpRequest, pk: int) -> Any:
    """What the Hub said: licence, splits, first rows; and estimated tokens of each split."""
    lookup = lookup_get(pk)
    return with_job(lookup_json(lookup), lookup)


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
    """Rows, 100 on each ?page=; cells are text, clipped at 10,000 characters.

    ?q= (words in the text) and ?col= with ?value= or ?lo= and ?hi= filter: then `next` is the ?from= to go on with.
    """
    found = dataset_ready(pk)
    query, chosen = request.GET.get("q", ""), column_filter(found, request.GET)
    if query or chosen:
        part = rows_search(
            found, query, chosen, start=whole_asked(request.GET, "from", default=0), clip=API_CELL_CHARACTERS
        )
        return {**_rows_json(found, part.page), "searched": part.searched, "next": part.next_start}
    page = whole_asked(request.GET, "page", default=1, least=1)
    shown = rows_page(found, page, clip=API_CELL_CHARACTERS)
    return {**_rows_json(found, shown), "page": page, "pages": page_count(found), "total": found.rows}


def _rows_json(dataset: Dataset, shown: RowsPage) -> dict[str, Any]:
    """Columns and items: cells by column and what is marked."""
    marks = marks_of(dataset, [row.index for row in shown.rows])
    items = [
        {
            "row": row.index,
            "cells": {column: cell_json(cell) for column, cell in zip(shown.columns, row.cells)},
            "mark": mark_json(marks.get(row.index), row.index),
        }
        for row in shown.rows
    ]
    return {"columns": shown.columns, "items": items}
