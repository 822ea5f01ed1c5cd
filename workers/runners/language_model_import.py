"""Import language model: weights and tokenizer go to models/<id>/, what is known of them into the LanguageModel row."""

from pathlib import Path

from apps.core.sources import local_path
from apps.core.storage import artifact_place
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.language_models.selectors import language_model_folder
from workers.engine.specs.language_models import (
    LanguageModelImportInputs,
    LanguageModelImportResult,
    LanguageModelImportSpec,
)
from workers.runners.base import Runner


class LanguageModelImportRunner(Runner):
    """A decoder-only model from the Hub, a folder or a GGUF file."""

    spec = LanguageModelImportSpec
    inputs = LanguageModelImportInputs
    result = LanguageModelImportResult

    def prepare(self, job: Job, spec: LanguageModelImportSpec, where: dict[str, str]) -> LanguageModelImportInputs:
        """A local path is looked at again: it may be gone since it was given."""
        self.subject(job)
        path = ""
        if spec.source == "folder":
            path = str(local_path(spec.path, folder=True))
        elif spec.source == "gguf":
            path = str(local_path(spec.path, suffixes=(".gguf",)))
        return LanguageModelImportInputs(**where, path=path)

    def finish(self, job: Job, spec: LanguageModelImportSpec, result: LanguageModelImportResult, out_dir: str) -> None:
        language_model = self.subject(job)
        artifact_place(Path(out_dir), language_model_folder(language_model.pk))
        language_model.revision = result.revision[:100]
        language_model.licence = result.licence[:100]
        language_model.model_type = result.model_type[:60]
        language_model.layers = result.layers
        language_model.d_model = result.d_model
        language_model.vocab_size = result.vocab_size
        language_model.parameters = result.parameters
        language_model.dtype = result.dtype[:20]
        language_model.bytes = result.bytes
        language_model.tokenizer_sha256 = result.tokenizer_sha256
        language_model.weights_sha256 = result.weights_sha256
        language_model.report = result.to_json()
        subject_ready(language_model)
