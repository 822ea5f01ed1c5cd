"""Try text: paths before, the answer into the row after; no file is written."""

from apps.core.storage import data_path
from apps.datasets.tokenization_selectors import begins_with_first_token
from apps.features.artifacts import run_folder
from apps.features.models import TriedText
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from workers.engine.specs.try_text import TryTextInputs, TryTextResult, TryTextSpec
from workers.runners.base import Runner
from workers.runners.lm_memory import held_as, warm_bytes


class TryTextRunner(Runner):
    """The warm child answers: it keeps the language model between texts."""

    spec = TryTextSpec
    inputs = TryTextInputs
    result = TryTextResult

    def prepare(self, job: Job, spec: TryTextSpec, where: dict[str, str]) -> TryTextInputs:
        tried: TriedText = self.subject(job)
        run = tried.sae.feature_runs.filter(ready_at__isnull=False).first()
        return TryTextInputs(
            **where,
            sae_dir=str(data_path("saes", tried.sae_id)),
            prepend_bos=begins_with_first_token(tried.sae.tokenization),
            run_dir=str(run_folder(run.pk)) if run else "",
            model_dir=str(data_path("models", tried.sae.language_model_id)),
            quantization=held_as(tried.sae.language_model),
        )

    def finish(self, job: Job, spec: TryTextSpec, result: TryTextResult, out_dir: str) -> None:
        tried: TriedText = self.subject(job)
        tried.report = result.to_json()
        subject_ready(tried)

    def memory_bytes(self, spec: TryTextSpec) -> int:
        return warm_bytes(spec.sae, spec.lm_dtype)
