"""Import dataset: the rows folder goes to datasets/<id>/, the importer's numbers into the Dataset row.

What arrived from the Hub before an import ended early is kept for its retry; what a cancelled one brought goes away. An
upload goes when its import succeeded or was cancelled.
"""

import shutil
from pathlib import Path

from apps.core.errors import AppError
from apps.core.sources import local_path
from apps.core.storage import artifact_place, artifact_remove, data_path
from apps.datasets.models import Dataset
from apps.datasets.selectors import dataset_folder
from apps.datasets.uploads import upload_path, upload_remove
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.jobs.states import State, Wish
from workers.engine.specs.datasets import FILE_FORMATS, DatasetImportInputs, DatasetImportResult, DatasetImportSpec
from workers.runners.base import Runner

DOWNLOAD = "download"
"""Where the engine keeps what has arrived, below the job's folder."""


class DatasetImportRunner(Runner):
    """Rows of text from the Hub, a local file or an upload."""

    spec = DatasetImportSpec
    inputs = DatasetImportInputs
    result = DatasetImportResult

    def prepare(self, job: Job, spec: DatasetImportSpec, where: dict[str, str]) -> DatasetImportInputs:
        """A local path or upload is looked at again: it may be gone since it was given."""
        dataset = self.subject(job)
        if spec.source == "hub":
            _download_take_over(dataset, job)
        return DatasetImportInputs(**where, path=_source_path(spec))

    def finish(self, job: Job, spec: DatasetImportSpec, result: DatasetImportResult, out_dir: str) -> None:
        dataset = self.subject(job)
        artifact_place(Path(out_dir), dataset_folder(dataset.pk))
        dataset.rows = result.rows
        dataset.bytes = result.bytes
        dataset.text_column = result.text_column[:200]
        dataset.licence = result.licence[:100]
        dataset.content_sha256 = result.content_sha256
        dataset.report = result.to_json()
        subject_ready(dataset)
        _upload_forget(spec)

    def discard(self, job: Job) -> None:
        """A cancelled import keeps nothing; a failed one keeps what arrived: its retry goes on from it."""
        job.refresh_from_db(fields=["wish"])
        if job.wish == Wish.CANCEL:
            artifact_remove(data_path("jobs", job.pk, DOWNLOAD))
            _upload_forget(DatasetImportSpec.from_json(job.spec))


def _source_path(spec: DatasetImportSpec) -> str:
    if spec.source == "file":
        return str(local_path(spec.path, suffixes=FILE_FORMATS, folder=True))
    if spec.source == "upload":
        path = upload_path(spec.upload)
        if not path.is_file():
            raise AppError("no_upload", "The uploaded file is gone.", "Send it again.", field="upload")
        return str(path)
    return ""


def _download_take_over(dataset: Dataset, job: Job) -> None:
    """Move what a failed earlier try kept below this job."""
    earlier = dataset.jobs.filter(pk__lt=job.pk).first()
    if earlier is None or earlier.state != State.FAILED:
        return
    source, target = data_path("jobs", earlier.pk, DOWNLOAD), data_path("jobs", job.pk, DOWNLOAD)
    if source.exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)


def _upload_forget(spec: DatasetImportSpec) -> None:
    if spec.source == "upload":
        upload_remove(spec.upload)
