"""Feature runs: paths for the engine before; after, one Feature row per latent, written over without touching words."""

from pathlib import Path

from apps.core.errors import AppError
from apps.core.storage import artifact_place, artifact_remove, data_path
from apps.datasets.models import Tokenization
from apps.features.artifacts import run_folder
from apps.features.models import FeatureRun
from apps.features.run_rows import rows_write, terms_write
from apps.jobs.models import Job
from apps.jobs.services import subject_ready
from apps.jobs.states import Wish
from apps.saes.models import Sae
from workers.engine.specs.features import DescribedSae, FeatureRunInputs, FeatureRunResult, FeatureRunSpec
from workers.engine.specs.training_memory import FLOAT32, GPU_CHUNK_ELEMENTS
from workers.runners.base import Runner, folder_take_over
from workers.runners.lm_memory import held_as, lm_weights_bytes

READING = "reading"
"""Where the engine keeps what it read so far, below the job's folder."""


class FeatureRunRunner(Runner):
    spec = FeatureRunSpec
    inputs = FeatureRunInputs
    result = FeatureRunResult

    def prepare(self, job: Job, spec: FeatureRunSpec, where: dict[str, str]) -> FeatureRunInputs:
        run: FeatureRun = self.subject(job)
        folder_take_over(run, job, READING)
        return FeatureRunInputs(
            **where,
            sae_dirs=tuple(str(data_path("saes", pk)) for pk in spec.saes),
            tokenization_dir=str(data_path("tokenizations", run.tokenization_id)),
            model_dir=str(data_path("models", run.sae.language_model_id)),
            quantization=held_as(run.sae.language_model),
        )

    def finish(self, job: Job, spec: FeatureRunSpec, result: FeatureRunResult, out_dir: str) -> None:
        first: FeatureRun = self.subject(job)
        runs = {run.sae_id: run for run in (first, *first.followers.select_related("sae"))}
        for pk, described in zip(spec.saes, result.saes, strict=True):
            if pk in runs:  # else it was deleted meanwhile
                _run_finish(runs[pk], described, Path(out_dir) / described.folder)

    def discard(self, job: Job) -> None:
        """A cancelled run is not taken up again; a failed one is, by its retry."""
        job.refresh_from_db(fields=["wish"])
        if job.wish == Wish.CANCEL:
            artifact_remove(data_path("jobs", job.pk, READING))

    def memory_bytes(self, spec: FeatureRunSpec) -> int:
        """Weights of model and SAEs, and the latents of one batch; examples lie on disk."""
        saes = Sae.objects.select_related("language_model", "tokenization").in_bulk(spec.saes)
        first = saes[spec.sae]
        tokens = spec.batch_contexts * Tokenization.objects.get(pk=spec.tokenization).context_length
        latents = max(min(tokens * sae.d_sae, GPU_CHUNK_ELEMENTS) for sae in saes.values())
        weights = sum(2 * sae.d_in * sae.d_sae for sae in saes.values())
        return lm_weights_bytes(first.language_model, spec.lm_dtype) + FLOAT32 * (weights + 2 * latents)


def _run_finish(run: FeatureRun, described: DescribedSae, folder: Path) -> None:
    """Rows from the files of one SAE; the folder becomes features/<id>."""
    if described.d_sae != run.sae.d_sae:
        raise AppError(
            "wrong_size",
            f"The run describes {described.d_sae:,} latents, but {run.sae} has {run.sae.d_sae:,}.",
            "Start the run again.",
        )
    rows_write(run, folder, described.d_sae)
    terms_write(run.sae_id, folder)
    run.tokens, run.alive, run.bytes = described.tokens, described.alive, described.bytes
    run.report = described.to_json()
    subject_ready(run)
    # Last, because a rename cannot be rolled back.
    artifact_place(folder, run_folder(run.pk))
