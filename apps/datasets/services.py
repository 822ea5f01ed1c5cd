"""Everything that changes datasets and the marks on their rows, and what is asked of the Hub before an import."""

from dataclasses import replace
from pathlib import PurePath

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.references import references_require_none
from apps.core.sources import free_name, given_name, local_path
from apps.core.storage import artifact_remove
from apps.datasets.models import Dataset, DatasetLookup, RowMark
from apps.datasets.selectors import dataset_folders
from apps.datasets.uploads import upload_path, upload_remove, uploads_of
from apps.jobs.models import Job
from apps.jobs.services import job_again, job_enqueue, jobs_require_none_active, passing_subjects_delete
from workers.engine.specs.datasets import FILE_FORMATS, DatasetImportSpec, DatasetLookupSpec
from workers.engine.specs.hub_ids import hub_id
from workers.engine.text.decoding import safe_text


def dataset_lookup(*, spec: DatasetLookupSpec, user: AbstractBaseUser | None = None) -> DatasetLookup:
    """Queue a question to the Hub; look-ups that are older than a day go. BadRepository for what is no repository."""
    spec = replace(spec, repo_id=hub_id(spec.repo_id))
    with transaction.atomic():
        passing_subjects_delete(DatasetLookup.objects.all())
        lookup = DatasetLookup.objects.create(repo_id=spec.repo_id[:200], created_by=user)
        job_enqueue(spec=spec, subject=lookup, user=user)
    return lookup


def dataset_import(*, spec: DatasetImportSpec, user: AbstractBaseUser | None = None) -> Dataset:
    """Write the row of a dataset to come and queue its import. AppError for a bad path, repository or upload."""
    spec = _source_checked(spec)
    origin = _origin(spec)
    with transaction.atomic():
        dataset = Dataset.objects.create(
            name=spec.name or free_name(Dataset, origin.rstrip("/").rsplit("/", 1)[-1]),
            source=spec.source,
            origin=" · ".join(part for part in (origin, *_subset(spec)) if part)[:500],
            created_by=user,
        )
        job_enqueue(spec=spec, subject=dataset, user=user)
    return dataset


def _origin(spec: DatasetImportSpec) -> str:
    """What a reader learns of where the rows came from."""
    if spec.source == "file":
        return PurePath(spec.path).name
    return spec.repo_id if spec.source == "hub" else f"upload of {spec.name or spec.upload}"


def _source_checked(spec: DatasetImportSpec) -> DatasetImportSpec:
    """The Spec with a bare repository id, an absolute path or an upload that is there, and a usable name."""
    name = given_name(spec.name) if spec.name else ""
    if spec.source == "hub":
        return replace(spec, name=name, repo_id=hub_id(spec.repo_id))
    if spec.source == "upload":
        if not upload_path(spec.upload).is_file():
            raise AppError("no_upload", "The uploaded file is gone.", "Send it again.", field="upload")
        return replace(spec, name=name)
    return replace(spec, name=name, path=str(local_path(spec.path, suffixes=FILE_FORMATS, folder=True)))


def _subset(spec: DatasetImportSpec) -> tuple[str, ...]:
    return (spec.config, spec.split) if spec.source == "hub" else ()


def dataset_import_again(*, dataset: Dataset, user: AbstractBaseUser | None = None) -> Job:
    """The import's job: the one under way, or a new try of one that failed. AppError when the dataset is ready."""
    return job_again(subject=dataset, hint="Delete it to import again.", user=user)


def dataset_rename(*, dataset: Dataset, name: str) -> Dataset:
    """Give a dataset another name."""
    dataset.name = given_name(name)
    dataset.save(update_fields=["name"])
    publish(dataset.topic)
    return dataset


def dataset_delete(*, dataset: Dataset) -> int:
    """Delete a dataset, its rows on disk, its marks and what a broken import left; returns the bytes freed.

    StillReferenced (409) while it has tokenizations; AppError "job_active" while a job works on it.
    """
    folders, uploads = dataset_folders(dataset), uploads_of(dataset)
    with transaction.atomic():
        jobs_require_none_active(entity=Dataset.ENTITY, pk=dataset.pk, name=str(dataset))
        references_require_none(dataset)
        publish(dataset.topic)
        dataset.delete()
    return sum(map(artifact_remove, folders)) + sum(map(upload_remove, uploads))


def row_mark(
    *,
    dataset: Dataset,
    row: int,
    excluded: bool | None = None,
    tags: str | None = None,
    text: str | None = None,
    note: str | None = None,
) -> RowMark | None:
    """Change what is marked on one row; None leaves a part as it is, "" takes it away.

    Returns the mark, or None when nothing is left of it. New tokenizations honour `excluded` and `text`.
    """
    if not 0 <= row < dataset.rows:
        raise AppError(
            "no_such_row",
            f"{dataset} has no row {row}.",
            f"Its rows are 0 to {dataset.rows - 1}.",
            status=404,
            field="row",
        )
    mark = RowMark.objects.filter(dataset=dataset, row=row).first() or RowMark(dataset=dataset, row=row)
    if excluded is not None:
        mark.excluded = excluded
    if tags is not None:
        mark.tags = _tags(tags)
    if text is not None:
        mark.text = safe_text(text).text or None
    if note is not None:
        mark.note = safe_text(note).text
    publish(dataset.topic)
    if mark.excluded or mark.tags or mark.text or mark.note:
        mark.save()
        return mark
    if mark.pk:
        mark.delete()
    return None


def _tags(text: str) -> str:
    """Tags in their stored form: one space after each comma, each once."""
    words = dict.fromkeys(word.strip() for word in safe_text(text).text.split(","))
    tags = ", ".join(word for word in words if word)
    if len(tags) > 200:
        raise AppError(
            "tags_too_long", "The tags have more than 200 characters.", "Use fewer or shorter.", field="tags"
        )
    return tags
