"""Import language model: weights and tokenizer go to models/<id>/, what is known of them into the LanguageModel row."""

import shutil
from pathlib import Path

from apps.core.sources import local_path
from apps.core.storage import artifact_place, artifact_remove, data_path
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.jobs.states import Wish
from apps.language_models.models import LanguageModel
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
        """A local path is looked at again: it may be gone since it was given. What an earlier try downloaded is taken
        over."""
        language_model = self.subject(job)
        _download_take_over(language_model, job)
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
        language_model.quantization = result.quantization
        language_model.footprint_bytes = result.footprint_bytes
        language_model.tokenizer_sha256 = result.tokenizer_sha256
        language_model.weights_sha256 = result.weights_sha256
        language_model.report = result.to_json()
        subject_ready(language_model)

    def discard(self, job: Job) -> None:
        """A cancelled import leaves nothing; a failed one keeps what has arrived for its retry."""
        job.refresh_from_db(fields=["wish"])
        if job.wish == Wish.CANCEL:
            artifact_remove(_download(job.pk))


def _download(job: int) -> Path:
    """Where the engine keeps what has arrived, below the job's folder."""
    return data_path("jobs", job, "download")


def _download_take_over(language_model: LanguageModel, job: Job) -> None:
    """Move what the newest earlier try received below this job; older remains go."""
    target = _download(job.pk)
    for earlier in (
        language_model.jobs.filter(kind=job.kind, pk__lt=job.pk).order_by("-pk").values_list("pk", flat=True)
    ):
        source = _download(earlier)
        if source.exists() and target.exists():
            artifact_remove(source)
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(source, target)
