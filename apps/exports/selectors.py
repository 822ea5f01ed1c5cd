"""What pages, endpoints and commands read of exports."""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db.models import QuerySet

from apps.core.errors import AppError
from apps.core.search import found_by
from apps.core.selectors import row_of
from apps.core.storage import data_path
from apps.exports.models import Export
from apps.jobs.selectors import job_json, newest_job_state

README = "README.md"
MOST_README_BYTES = 100_000


@dataclass(frozen=True)
class Member:
    """One file of an archive."""

    name: str
    bytes: int


def export_get(pk: int) -> Export:
    """The export; NotFound otherwise."""
    return row_of(Export.objects.select_related("sae__language_model"), "export", pk)


def export_list(*, sae: int | None = None, query: str = "") -> QuerySet[Export]:
    """Exports newest first with `job_state`, that of the newest job; of one SAE or of all; `query` searches names."""
    exports = Export.objects.select_related("sae__language_model").annotate(job_state=newest_job_state(Export.ENTITY))
    exports = found_by(exports, query, "file_name", "sae__name")
    return exports.filter(sae=sae) if sae else exports


def archive_path(export: Export) -> Path:
    """The archive on disk. AppError 409 while it is not packed, 410 when the file is gone."""
    if not export.is_ready:
        raise AppError("export_not_ready", f"{export} is not packed yet.", "Wait for its job.", status=409)
    path = data_path("exports", export.pk, export.file_name)
    if not path.exists():
        raise AppError("archive_gone", f"{export} is no longer on the disk.", "Export the SAE again.", status=410)
    return path


def archive_contents(export: Export) -> tuple[list[Member], str]:
    """Members with their unpacked sizes, and the text of the README ("" when there is none)."""
    with zipfile.ZipFile(archive_path(export)) as archive:
        members = [Member(entry.filename, entry.file_size) for entry in archive.infolist()]
        if README not in archive.namelist():
            return members, ""
        with archive.open(README) as file:
            return members, file.read(MOST_README_BYTES).decode("utf-8", errors="replace")


def export_json(export: Export) -> dict[str, Any]:
    """An export of `export_list` as the API and `--json` show it."""
    return {
        "id": export.pk,
        "sae": {"id": export.sae_id, "name": export.sae.name, "url": export.sae.get_absolute_url()},
        "format": export.format,
        "state": export.job_state,
        "file_name": export.file_name,
        "bytes": export.bytes,
        "sha256": export.sha256,
        "members": export.members,
        "created_at": export.created_at.isoformat(),
        "ready_at": export.ready_at.isoformat() if export.ready_at else None,
        "url": export.get_absolute_url(),
        "topic": export.topic,
    }


def export_json_full(export: Export) -> dict[str, Any]:
    """An export with its job."""
    job = export.job
    export.job_state = job.state if job else None
    return {**export_json(export), "job": job_json(job) if job else None}
