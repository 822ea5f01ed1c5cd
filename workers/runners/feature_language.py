"""Language analyses: paths before; after, the report into the row and the files beside those of the feature run."""

from pathlib import Path

from apps.core.storage import artifact_place, artifact_remove, data_path, folder_bytes
from apps.features.artifacts import run_folder
from apps.features.language.services import language_folder
from apps.features.models import LanguageAnalysis
from apps.features.services import run_bytes_count
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.jobs.states import Wish
from workers.engine.specs.feature_language import (
    PARSED,
    FeatureLanguageInputs,
    FeatureLanguageResult,
    FeatureLanguageSpec,
)
from workers.runners.base import Runner, folder_take_over

PARSER_BYTES = 640 * 2**20
"""Resident size of the English pipeline with a batch of documents, measured."""


class FeatureLanguageRunner(Runner):
    spec = FeatureLanguageSpec
    inputs = FeatureLanguageInputs
    result = FeatureLanguageResult

    def prepare(self, job: Job, spec: FeatureLanguageSpec, where: dict[str, str]) -> FeatureLanguageInputs:
        analysis: LanguageAnalysis = self.subject(job)
        folder_take_over(analysis, job, PARSED)
        return FeatureLanguageInputs(
            **where,
            run_dir=str(run_folder(analysis.run_id)),
            tokenization_dir=str(data_path("tokenizations", analysis.run.tokenization_id)),
            parsed_dir=str(language_folder(analysis.run_id)),
        )

    def finish(self, job: Job, spec: FeatureLanguageSpec, result: FeatureLanguageResult, out_dir: str) -> None:
        analysis: LanguageAnalysis = self.subject(job)
        analysis.report = result.to_json()
        subject_ready(analysis)
        artifact_remove(data_path("jobs", job.pk, PARSED))
        folder, parsed = language_folder(analysis.run_id), Path(out_dir) / f"{PARSED}.arrow"
        replaced = folder_bytes(folder) if spec.feature is None else 0
        run_bytes_count(run_id=analysis.run_id, coming=folder_bytes(Path(out_dir)) - replaced)
        # Last, because a rename cannot be rolled back.
        if spec.feature is None:
            artifact_place(Path(out_dir), folder)
        elif parsed.exists():
            folder.mkdir(parents=True, exist_ok=True)
            parsed.rename(folder / f"{PARSED}-{job.pk}.arrow")

    def discard(self, job: Job) -> None:
        """A cancelled analysis is not taken up again; a failed one is, by its retry."""
        job.refresh_from_db(fields=["wish"])
        if job.wish == Wish.CANCEL:
            artifact_remove(data_path("jobs", job.pk, PARSED))

    def memory_bytes(self, spec: FeatureLanguageSpec) -> int:
        return PARSER_BYTES
