"""What pages, endpoints, commands and other apps read of datasets."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db.models import Count, QuerySet

from apps.core.errors import AppError
from apps.core.search import found_by
from apps.core.selectors import row_of
from apps.core.storage import data_path, folder_bytes
from apps.datasets.lookups import splits_estimated
from apps.datasets.models import Dataset, DatasetLookup, RowMark
from apps.datasets.uploads import upload_bytes, uploads_of

SORTS = {"newest": "-id", "name": "name", "size": "-bytes", "rows": "-rows"}


def dataset_get(pk: int) -> Dataset:
    """The dataset; NotFound otherwise."""
    return row_of(Dataset.objects, "dataset", pk)


def dataset_list(*, query: str = "", sort: str = "newest") -> QuerySet[Dataset]:
    """Datasets whose name or origin contains `query`, sorted by a key of SORTS, with `tokenization_count`."""
    found = found_by(Dataset.objects.all(), query, "name", "origin")
    found = found.annotate(tokenization_count=Count("tokenizations"))
    return found.order_by(SORTS.get(sort, "-id"), "-id")


def dataset_folder(pk: int) -> Path:
    """Where its rows lie."""
    return data_path("datasets", pk)


def dataset_folders(dataset: Dataset) -> list[Path]:
    """Its folder, and what a download that broke left with the jobs of its import."""
    downloads = [data_path("jobs", job, "download") for job in dataset.jobs.values_list("pk", flat=True)]
    return [dataset_folder(dataset.pk), *downloads]


def dataset_disk_bytes(dataset: Dataset) -> int:
    """Bytes that its deletion frees."""
    return sum(map(folder_bytes, dataset_folders(dataset))) + sum(map(upload_bytes, uploads_of(dataset)))


def lookup_get(pk: int) -> DatasetLookup:
    """The look-up; NotFound otherwise."""
    return row_of(DatasetLookup.objects, "look-up of a dataset", pk)


def lookup_json(lookup: DatasetLookup) -> dict[str, Any]:
    """The look-up as the API and `--json` show it; `found` is what the Hub said, {} before it answered."""
    return {
        "id": lookup.pk,
        "repo_id": lookup.repo_id,
        "ready": lookup.is_ready,
        "found": lookup.report,
        "splits": [split.to_json() for split in splits_estimated(lookup.report)],
        "created_at": lookup.created_at.isoformat(),
        "url": lookup.get_absolute_url(),
        "topic": lookup.topic,
    }


def dataset_ready(pk: int) -> Dataset:
    """The dataset, imported whole; AppError "not_ready" otherwise."""
    dataset = dataset_get(pk)
    if not dataset.is_ready:
        raise AppError(
            "not_ready",
            f"The dataset {dataset} is not imported yet.",
            "Wait for its import, or repeat it.",
            status=409,
            field="dataset",
        )
    return dataset


def marks_of(dataset: Dataset, rows: Sequence[int]) -> dict[int, RowMark]:
    """Row → its mark, for those of `rows` that have one."""
    return {mark.row: mark for mark in dataset.marks.filter(row__in=rows)}


def mark_json(mark: RowMark | None, row: int) -> dict[str, Any]:
    """What is marked on a row, as the API and `--json` show it; the same shape without a mark."""
    mark = mark or RowMark(row=row)
    return {"row": row, "excluded": mark.excluded, "tags": mark.tags, "text": mark.text or "", "note": mark.note}


def dataset_json(dataset: Dataset) -> dict[str, Any]:
    """The dataset as the API and `--json` show it."""
    report = dataset.report
    return {
        "id": dataset.pk,
        "name": dataset.name,
        "ready": dataset.is_ready,
        "source": dataset.source,
        "origin": dataset.origin,
        "licence": dataset.licence,
        "rows": dataset.rows,
        "bytes": dataset.bytes,
        "columns": report.get("columns", []),
        "text_column": dataset.text_column,
        "content_sha256": dataset.content_sha256,
        "created_at": dataset.created_at.isoformat(),
        "ready_at": dataset.ready_at.isoformat() if dataset.ready_at else None,
        "url": dataset.get_absolute_url(),
        "topic": dataset.topic,
    }
