"""Feature maps: the weights and the newest feature run before; the layout's file and its facts after."""

from pathlib import Path

from apps.core.storage import artifact_place, data_path
from apps.features.artifacts import run_folder
from apps.features.models import FeatureMap
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.saes.models import Sae
from workers.engine.specs.feature_map import FeatureMapInputs, FeatureMapResult, FeatureMapSpec
from workers.engine.specs.training_memory import FLOAT32
from workers.runners.base import Runner


class FeatureMapRunner(Runner):
    spec = FeatureMapSpec
    inputs = FeatureMapInputs
    result = FeatureMapResult

    def prepare(self, job: Job, spec: FeatureMapSpec, where: dict[str, str]) -> FeatureMapInputs:
        made: FeatureMap = self.subject(job)
        run = made.sae.feature_runs.filter(ready_at__isnull=False).first()
        return FeatureMapInputs(
            **where, sae_dir=str(data_path("saes", made.sae_id)), run_dir=str(run_folder(run.pk)) if run else ""
        )

    def finish(self, job: Job, spec: FeatureMapSpec, result: FeatureMapResult, out_dir: str) -> None:
        made: FeatureMap = self.subject(job)
        made.method, made.bytes, made.report = result.method, result.bytes, result.to_json()
        subject_ready(made)
        # Last, because a rename cannot be rolled back.
        artifact_place(Path(out_dir), made.folder)

    def memory_bytes(self, spec: FeatureMapSpec) -> int:
        """Encoder and decoder, and the directions once more."""
        sae = Sae.objects.get(pk=spec.sae)
        return 3 * sae.d_in * sae.d_sae * FLOAT32
