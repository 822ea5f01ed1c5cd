"""Everything that changes training runs from the web side: start, rename, retry, delete. The job does the rest."""

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.activations.models import ActivationCache
from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.references import references_require_none
from apps.core.sources import given_name
from apps.core.storage import artifact_remove, data_path
from apps.jobs.models import Job
from apps.jobs.services import job_enqueue, job_retry, jobs_require_none_active
from apps.training.models import Checkpoint, TrainingRun
from apps.training.selectors import training_job
from workers.engine.specs.training import TrainSpec

ARCHITECTURE_NAMES = {"topk": "TopK", "standard": "Standard"}


def training_start(*, spec: TrainSpec, user: AbstractBaseUser | None = None) -> TrainingRun:
    """Create the run and its job. AppError when the cache is not ready or holds fewer tokens than one batch."""
    cache = _cache_for(spec)
    with transaction.atomic():
        run = TrainingRun.objects.create(
            name=given_name(spec.name) if spec.name.strip() else default_name(spec, cache.hook_site),
            activation_cache=cache,
            spec=spec.to_json(),
            architecture=spec.architecture,
            d_sae=spec.d_sae,
            steps=spec.steps,
            created_by=user,
        )
        job_enqueue(spec=spec, subject=run, user=user)
    return run


def _cache_for(spec: TrainSpec) -> ActivationCache:
    cache = ActivationCache.objects.filter(pk=spec.activation_cache, ready_at__isnull=False).first()
    if cache is None:
        raise AppError(
            "cache_not_ready",
            f"Activation cache {spec.activation_cache} does not exist or is not ready.",
            "Choose a ready one, or wait until its job has ended.",
            field="activation_cache",
        )
    if cache.tokens < spec.batch_size:
        raise AppError(
            "too_few_tokens",
            f"The cache holds {cache.tokens:,} tokens, fewer than one batch of {spec.batch_size:,}.",
            "Choose a smaller batch, or cache more tokens.",
            field="batch_size",
        )
    return cache


def default_name(spec: TrainSpec, hook_site: str) -> str:
    """A name from the settings that tell runs apart: "TopK 4608 k=32 · 15.resid_post"."""
    sparsity = f"k={spec.k}" if spec.architecture == "topk" else f"L1={spec.l1_coefficient:g}"
    return f"{ARCHITECTURE_NAMES[spec.architecture]} {spec.d_sae} {sparsity} · {hook_site}"


def training_rename(*, run: TrainingRun, name: str) -> None:
    """Give the run another name; its SAEs keep theirs."""
    run.name = given_name(name)
    run.save(update_fields=["name"])
    publish(run.topic)


def training_retry(*, run: TrainingRun, user: AbstractBaseUser | None = None) -> Job:
    """Another try with the same settings; only for runs that failed or were cancelled. A failed one goes on from its
    last checkpoint."""
    return job_retry(job=training_job(run), user=user)


def training_delete(*, run: TrainingRun) -> int:
    """Delete the run, its charts, checkpoints and job folders; returns the bytes freed.

    AppError 409 while its job is active, StillReferenced while SAEs of it exist.
    """
    with transaction.atomic():
        jobs_require_none_active(entity=run.ENTITY, pk=run.pk, name=run.name)
        references_require_none(run)
        folders = [data_path("jobs", pk) for pk in run.jobs.values_list("pk", flat=True)]
        topic = run.topic
        run.delete()
        publish(topic)
    return sum(artifact_remove(folder) for folder in folders)


def checkpoint_delete(*, checkpoint: Checkpoint) -> int:
    """Delete one checkpoint; returns the bytes freed. An unfinished run keeps its newest: it goes on from there."""
    run = checkpoint.run
    job = run.job
    is_newest = not run.checkpoints.filter(step__gt=checkpoint.step).exists()
    if job is not None and job.is_active and is_newest:
        raise AppError(
            "checkpoint_needed",
            f"{run.name} would go on from the checkpoint of step {checkpoint.step:,}.",
            "Cancel the run first, or delete an older one.",
            status=409,
        )
    folder, _, rest = checkpoint.path.partition("/")
    freed = artifact_remove(data_path(folder, *rest.split("/")))
    checkpoint.delete()
    publish(run.topic)
    return freed
