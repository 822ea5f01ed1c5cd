"""Import dataset: the rows folder goes to datasets/<id>/, the importer's numbers into the Dataset row."""

from pathlib import Path

from apps.core.sources import local_path
from apps.core.storage import artifact_place
from apps.datasets.selectors import dataset_folder
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from workers.engine.specs.datasets import FILE_FORMATS, DatasetImportInputs, DatasetImportResult, DatasetImportSpec
from workers.runners.base import Runner


class DatasetImportRunner(Runner):
    """Rows of text from the Hub or a local file."""

    spec = DatasetImportSpec
    inputs = DatasetImportInputs
    result = DatasetImportResult

    def prepare(self, job: Job, spec: DatasetImportSpec, where: dict[str, str]) -> DatasetImportInputs:
        """A local path is looked at again: it may be gone since it was given."""
        self.subject(job)
        is_local = spec.source == "file"
        path = str(local_path(spec.path, suffixes=FILE_FORMATS, folder=True)) if is_local else ""
        return DatasetImportInputs(**where, path=path)

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
