"""Files sent by a browser or the API: kept in uploads/ under a name of our own until their import has read them."""

import secrets
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db.models import QuerySet
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.storage import data_path, disk_free_bytes
from apps.core.templatetags.studio import bytes_words
from apps.datasets.models import Dataset
from apps.jobs.models import Job
from workers.engine.specs.datasets import FILE_FORMATS, DatasetImportSpec

UPLOADS_KEPT = timedelta(days=1)


def upload_path(name: str) -> Path:
    """Where the upload of this name lies, or lay."""
    return data_path("uploads", name)


def upload_store(file: UploadedFile) -> str:
    """Keep a file that was sent; returns its name in uploads/, for DatasetImportSpec.upload.

    AppError "upload_format" (422), "upload_too_large" (413), "upload_empty" (422) or "disk_full" (507). Uploads of
    earlier days that no import waits for are swept.
    """
    suffix = _upload_check(file)
    uploads_sweep()
    name = f"{secrets.token_hex(16)}{suffix}"
    draft, final = data_path("tmp", f"upload-{name}"), upload_path(name)
    final.parent.mkdir(exist_ok=True)
    with draft.open("wb") as out:
        for chunk in file.chunks():
            out.write(chunk)
    draft.rename(final)
    return name


def _upload_check(file: UploadedFile) -> str:
    """The suffix of a file that may be kept."""
    suffix, size = Path(file.name or "").suffix.lower(), file.size or 0
    limit = settings.UPLOAD_MAX_BYTES
    if suffix not in FILE_FORMATS:
        raise _refusal("upload_format", f"{file.name} cannot be taken.", f"Supported: {', '.join(FILE_FORMATS)}.", 422)
    if size > limit:
        raise _refusal(
            "upload_too_large",
            f"The file has {bytes_words(size)}; at most {bytes_words(limit)} are taken.",
            "Import it from a path on the studio's machine, or raise MISTUDIO_UPLOAD_MAX_MB.",
            413,
        )
    if size == 0:
        raise _refusal("upload_empty", f"{file.name} is empty.", "Choose another file.", 422)
    if size > disk_free_bytes():
        raise _refusal("disk_full", f"The disk has no {bytes_words(size)} left.", "Delete what is not needed.", 507)
    return suffix


def _refusal(code: str, message: str, hint: str, status: int) -> AppError:
    return AppError(code, message, hint, status=status, field="upload")


def upload_remove(name: str) -> int:
    """Delete an upload; returns the bytes freed. One that is gone frees nothing."""
    freed = upload_bytes(name)
    upload_path(name).unlink(missing_ok=True)
    return freed


def upload_bytes(name: str) -> int:
    """Its size on disk; 0 when it is gone."""
    path = upload_path(name)
    return path.stat().st_size if path.is_file() else 0


def uploads_of(dataset: Dataset) -> set[str]:
    """Names of the uploads that the dataset's imports were told to read."""
    return _names(dataset.jobs) if dataset.source == "upload" else set()


def uploads_sweep() -> int:
    """Delete uploads older than a day that no dataset on its way waits for; returns how many went."""
    unready = Dataset.objects.filter(source="upload", ready_at=None).values("pk")
    wanted = _names(Job.objects.filter(subject_entity=Dataset.ENTITY, subject_id__in=unready))
    oldest = (timezone.now() - UPLOADS_KEPT).timestamp()
    old = [path for path in data_path("uploads").glob("*") if path.stat().st_mtime < oldest]
    gone = [path for path in old if path.name not in wanted]
    for path in gone:
        path.unlink(missing_ok=True)
    return len(gone)


def _names(jobs: QuerySet[Job]) -> set[str]:
    return {name for name in jobs.filter(kind=DatasetImportSpec.KIND).values_list("spec__upload", flat=True) if name}
