"""Ablations: the feature run's files and the text it read before, the numbers into the row after; no file is written."""

from apps.core.storage import data_path
from apps.features.artifacts import run_folder
from apps.features.models import Ablation
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from workers.engine.specs.ablation import AblateInputs, AblateResult, AblateSpec
from workers.runners.base import Runner
from workers.runners.lm_memory import held_as, warm_bytes


class AblateRunner(Runner):
    """The warm child answers: it keeps the language model between features."""

    spec = AblateSpec
    inputs = AblateInputs
    result = AblateResult

    def prepare(self, job: Job, spec: AblateSpec, where: dict[str, str]) -> AblateInputs:
        ablation: Ablation = self.subject(job)
        sae = ablation.feature.sae
        return AblateInputs(
            **where,
            sae_dir=str(data_path("saes", sae.pk)),
            run_dir=str(run_folder(ablation.run_id)),
            tokenization_dir=str(data_path("tokenizations", ablation.run.tokenization_id)),
            model_dir=str(data_path("models", sae.language_model_id)),
            quantization=held_as(sae.language_model),
        )

    def finish(self, job: Job, spec: AblateSpec, result: AblateResult, out_dir: str) -> None:
        ablation: Ablation = self.subject(job)
        ablation.report = result.to_json()
        subject_ready(ablation)

    def memory_bytes(self, spec: AblateSpec) -> int:
        return warm_bytes(spec.sae, spec.lm_dtype)
