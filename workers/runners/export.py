"""Exports: an SAE's folder in, one archive in exports/<id>/ out."""

from pathlib import Path

from apps.core.live.publishing import publish
from apps.core.live.topics import SAES, topic
from apps.core.storage import artifact_place, data_path
from apps.exports.services import archive_name
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from workers.engine.specs.exports import ExportInputs, ExportResult, ExportSpec
from workers.runners.base import Runner


class ExportRunner(Runner):
    spec = ExportSpec
    inputs = ExportInputs
    result = ExportResult

    def prepare(self, job: Job, spec: ExportSpec, where: dict[str, str]) -> ExportInputs:
        export = self.subject(job)
        return ExportInputs(
            **where,
            sae_dir=str(data_path("saes", export.sae_id)),
            file_name=archive_name(export.sae, spec.format),
        )

    def finish(self, job: Job, spec: ExportSpec, result: ExportResult, out_dir: str) -> None:
        export = self.subject(job)
        artifact_place(Path(out_dir), data_path("exports", export.pk))
        export.file_name, export.bytes = result.file_name, result.bytes
        export.sha256, export.members = result.sha256, list(result.members)
        subject_ready(export)
        publish(topic(SAES, export.sae_id))
