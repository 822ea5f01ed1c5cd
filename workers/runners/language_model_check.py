"""Check language model: the row says when its weights were last found to be those of the import."""

from django.utils import timezone

from apps.jobs.models import Job
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_folder, language_model_ready
from workers.engine.specs.language_models import (
    LanguageModelCheckInputs,
    LanguageModelCheckResult,
    LanguageModelCheckSpec,
)
from workers.runners.base import Runner


class LanguageModelCheckRunner(Runner):
    """Weights that have changed fail the job."""

    spec = LanguageModelCheckSpec
    inputs = LanguageModelCheckInputs
    result = LanguageModelCheckResult

    def prepare(self, job: Job, spec: LanguageModelCheckSpec, where: dict[str, str]) -> LanguageModelCheckInputs:
        language_model = language_model_ready(spec.language_model)
        folder = language_model_folder(language_model.pk)
        return LanguageModelCheckInputs(**where, model_dir=str(folder), weights_sha256=language_model.weights_sha256)

    def finish(self, job: Job, spec: LanguageModelCheckSpec, result: LanguageModelCheckResult, out_dir: str) -> None:
        language_model: LanguageModel = self.subject(job)
        language_model.report["weights_checked_at"] = timezone.now().isoformat()
        language_model.save(update_fields=["report"])

    def discard(self, job: Job) -> None:
        """What an earlier check found counts no longer."""
        language_model: LanguageModel = self.subject(job)
        if language_model.report.pop("weights_checked_at", None):
            language_model.save(update_fields=["report"])
