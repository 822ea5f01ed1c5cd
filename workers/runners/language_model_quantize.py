"""Quantize language model: the row says from now on how the model is held; its files stay."""

from apps.jobs.models import Job
from apps.language_models.models import LanguageModel
from apps.language_models.selectors import language_model_folder, language_model_ready
from workers.engine.specs.language_models import (
    LanguageModelQuantizeInputs,
    LanguageModelQuantizeResult,
    LanguageModelQuantizeSpec,
)
from workers.runners.base import Runner


class LanguageModelQuantizeRunner(Runner):
    """Job and row meet again in `finish`; a failed try leaves the model as it was."""

    spec = LanguageModelQuantizeSpec
    inputs = LanguageModelQuantizeInputs
    result = LanguageModelQuantizeResult

    def prepare(self, job: Job, spec: LanguageModelQuantizeSpec, where: dict[str, str]) -> LanguageModelQuantizeInputs:
        self.subject(job)
        language_model = language_model_ready(spec.language_model)
        return LanguageModelQuantizeInputs(**where, model_dir=str(language_model_folder(language_model.pk)))

    def finish(
        self, job: Job, spec: LanguageModelQuantizeSpec, result: LanguageModelQuantizeResult, out_dir: str
    ) -> None:
        """`ready_at` stays: the model was ready all along."""
        language_model: LanguageModel = self.subject(job)
        language_model.quantization = result.quantization
        language_model.footprint_bytes = result.footprint_bytes
        language_model.report |= result.to_json()
        language_model.save(update_fields=["quantization", "footprint_bytes", "report"])
