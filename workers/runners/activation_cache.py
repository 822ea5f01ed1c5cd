"""Cache activations: shards go to activations/<id>/, what was kept and left out into the ActivationCache row."""

from pathlib import Path

from apps.activations.selectors import activation_cache_folder
from apps.core.live.publishing import publish
from apps.core.storage import artifact_place
from apps.datasets.tokenization_selectors import tokenization_folder, tokenization_get, tokenization_ready
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.language_models.selectors import language_model_folder, language_model_get, language_model_ready
from workers.engine.specs.activations import ActivationCacheInputs, ActivationCacheResult, ActivationCacheSpec
from workers.runners.base import Runner
from workers.runners.lm_memory import held_as, lm_weights_bytes

RUNTIME_BYTES = 512 * 2**20
"""What torch and Transformers take before any weight is loaded."""
LIVE_TENSORS = 8
"""Tensors of the residual stream's size that one block holds at once: input, norms, q, k, v, attention's and MLP's output."""
DTYPE_BYTES = {"bfloat16": 2, "float32": 4, "auto": 4}


class ActivationCacheRunner(Runner):
    """Contexts through the language model up to one hook site, or a pair of them."""

    spec = ActivationCacheSpec
    inputs = ActivationCacheInputs
    result = ActivationCacheResult

    def prepare(self, job: Job, spec: ActivationCacheSpec, where: dict[str, str]) -> ActivationCacheInputs:
        self.subject(job)
        tokenizations = [tokenization_ready(pk) for pk in (spec.tokenization, *spec.more_tokenizations)]
        language_model = language_model_ready(spec.language_model)
        return ActivationCacheInputs(
            **where,
            tokenization_dirs=tuple(str(tokenization_folder(tokenization.pk)) for tokenization in tokenizations),
            model_dir=str(language_model_folder(language_model.pk)),
            quantization=held_as(language_model),
        )

    def finish(self, job: Job, spec: ActivationCacheSpec, result: ActivationCacheResult, out_dir: str) -> None:
        cache = self.subject(job)
        artifact_place(Path(out_dir), activation_cache_folder(cache.pk))
        cache.tokens = result.tokens
        cache.d_in = result.d_in
        cache.is_paired = spec.is_paired
        cache.bytes = result.bytes
        cache.sink_threshold = result.sink_threshold
        cache.mean_norm = result.mean_norm
        cache.report = result.to_json()
        subject_ready(cache)
        publish(cache.language_model.topic, cache.tokenization.topic)

    def memory_bytes(self, spec: ActivationCacheSpec) -> int:
        """weights as the row holds them; block = batch × T × (LIVE_TENSORS × d_model + 3 × d_mlp) × dtype, attention
        scores = batch × heads × T² × dtype; plus RUNTIME_BYTES. `auto` counts as float32, the larger."""
        language_model, tokenization = language_model_get(spec.language_model), tokenization_get(spec.tokenization)
        report, each = language_model.report, DTYPE_BYTES[spec.lm_dtype]
        tokens = spec.batch_contexts * tokenization.context_length
        block = tokens * (LIVE_TENSORS * language_model.d_model + 3 * report.get("d_mlp", 0))
        scores = tokens * tokenization.context_length * report.get("heads", 0)
        return lm_weights_bytes(language_model, spec.lm_dtype) + (block + scores) * each + RUNTIME_BYTES
