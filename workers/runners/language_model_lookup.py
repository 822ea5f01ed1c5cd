"""Look up language model: what the Hub says goes into the LanguageModelLookup row; no file is kept."""

from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.language_models.models import LanguageModelLookup
from workers.engine.specs.language_models import (
    LanguageModelLookupInputs,
    LanguageModelLookupResult,
    LanguageModelLookupSpec,
)
from workers.runners.base import Runner


class LanguageModelLookupRunner(Runner):
    """A question to the Hub, before anything is downloaded."""

    spec = LanguageModelLookupSpec
    inputs = LanguageModelLookupInputs
    result = LanguageModelLookupResult

    def prepare(self, job: Job, spec: LanguageModelLookupSpec, where: dict[str, str]) -> LanguageModelLookupInputs:
        self.subject(job)
        return LanguageModelLookupInputs(**where)

    def finish(self, job: Job, spec: LanguageModelLookupSpec, result: LanguageModelLookupResult, out_dir: str) -> None:
        lookup: LanguageModelLookup = self.subject(job)
        lookup.repo_id = result.repo_id[:200]
        lookup.report = result.to_json()
        subject_ready(lookup)
