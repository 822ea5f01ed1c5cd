"""Evaluations: numbers into the row, densities into saes/<sae id>/evaluations/<id>/."""

from pathlib import Path

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.live.topics import SAES, topic
from apps.core.storage import artifact_place, data_path
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.saes.models import Sae
from apps.saes.reading import trained_as
from workers.engine.specs.saes import EvaluateInputs, EvaluateResult, EvaluateSpec
from workers.runners.base import Runner
from workers.runners.lm_memory import held_as, lm_weights_bytes

FLOAT32 = 4


class EvaluateRunner(Runner):
    spec = EvaluateSpec
    inputs = EvaluateInputs
    result = EvaluateResult

    def prepare(self, job: Job, spec: EvaluateSpec, where: dict[str, str]) -> EvaluateInputs:
        evaluation = self.subject(job)
        return EvaluateInputs(
            **where,
            sae_dir=str(data_path("saes", evaluation.sae_id)),
            tokenization_dir=str(data_path("tokenizations", evaluation.tokenization_id)),
            model_dir=str(data_path("models", evaluation.sae.language_model_id)),
            quantization=held_as(evaluation.sae.language_model),
            trained_context_length=trained_as(evaluation.sae).context_length or None,
        )

    def memory_bytes(self, spec: EvaluateSpec) -> int:
        """The language model, its logits for one batch (clean and spliced), the SAE and its latents of one batch."""
        sae = Sae.objects.select_related("language_model", "tokenization").filter(pk=spec.sae).first()
        if sae is None:
            raise AppError("subject_gone", f"SAE {spec.sae} was deleted.", "Choose another.", status=410)
        lm = sae.language_model
        length = sae.tokenization.context_length if sae.tokenization else 1024
        positions = spec.batch_contexts * length
        logits = 2 * positions * lm.vocab_size * FLOAT32
        return lm_weights_bytes(lm, spec.lm_dtype) + logits + (2 * sae.d_in + positions) * sae.d_sae * FLOAT32

    def finish(self, job: Job, spec: EvaluateSpec, result: EvaluateResult, out_dir: str) -> None:
        evaluation = self.subject(job)
        artifact_place(Path(out_dir), data_path("saes", evaluation.sae_id, "evaluations", evaluation.pk))
        for name in ("tokens", "fvu", "fvu_with_sinks", "l0", "dead_share", "ce_recovered"):
            setattr(evaluation, name, getattr(result, name))
        evaluation.report = result.to_json()
        subject_ready(evaluation)
        publish(topic(SAES, evaluation.sae_id))
