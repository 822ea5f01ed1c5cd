"""Look up dataset: what the Hub said goes into the DatasetLookup row; no file is kept."""

from apps.datasets.models import DatasetLookup
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from workers.engine.specs.datasets import DatasetLookupInputs, DatasetLookupResult, DatasetLookupSpec
from workers.runners.base import Runner


class DatasetLookupRunner(Runner):
    """A question to the Hub before an import."""

    spec = DatasetLookupSpec
    inputs = DatasetLookupInputs
    result = DatasetLookupResult

    def prepare(self, job: Job, spec: DatasetLookupSpec, where: dict[str, str]) -> DatasetLookupInputs:
        self.subject(job)
        return DatasetLookupInputs(**where)

    def finish(self, job: Job, spec: DatasetLookupSpec, result: DatasetLookupResult, out_dir: str) -> None:
        lookup: DatasetLookup = self.subject(job)
        lookup.repo_id = result.repo_id[:200]
        lookup.report = result.to_json()
        subject_ready(lookup)
