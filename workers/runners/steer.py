"""Steering: the features' max activations and paths before; the two texts and what was measured after."""

from apps.core.storage import data_path
from apps.datasets.tokenization_selectors import begins_with_first_token
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.steering.models import Experiment, Generation
from apps.steering.services import max_activations_of
from workers.engine.specs.steering import SteerInputs, SteerResult, SteerSpec
from workers.runners.base import Runner
from workers.runners.lm_memory import held_as, warm_bytes


class SteerRunner(Runner):
    spec = SteerSpec
    inputs = SteerInputs
    result = SteerResult

    def prepare(self, job: Job, spec: SteerSpec, where: dict[str, str]) -> SteerInputs:
        experiment: Experiment = self.subject(job)
        return SteerInputs(
            **where,
            sae_dir=str(data_path("saes", experiment.sae_id)),
            model_dir=str(data_path("models", experiment.sae.language_model_id)),
            quantization=held_as(experiment.sae.language_model),
            prepend_bos=begins_with_first_token(experiment.sae.tokenization),
            max_activations=max_activations_of(spec),
        )

    def finish(self, job: Job, spec: SteerSpec, result: SteerResult, out_dir: str) -> None:
        experiment: Experiment = self.subject(job)
        texts = {
            Generation.Condition.BASELINE: (result.baseline, result.baseline_tokens),
            Generation.Condition.STEERED: (result.steered, result.steered_tokens),
        }
        Generation.objects.bulk_create(
            Generation(experiment=experiment, condition=condition, text=text, tokens=list(tokens), seed=spec.seed)
            for condition, (text, tokens) in texts.items()
        )
        experiment.differs = result.differs
        experiment.delta_norm = result.delta_norm
        experiment.activation_norm = result.activation_norm
        experiment.report = result.to_json()
        subject_ready(experiment)

    def memory_bytes(self, spec: SteerSpec) -> int:
        return warm_bytes(spec.sae, spec.lm_dtype)
