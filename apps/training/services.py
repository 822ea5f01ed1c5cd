"""Everything that changes training runs from the web side: start, rename, retry, delete. The job does the rest."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.references import references_require_none
from apps.core.sources import given_name
from apps.core.spec_forms import spec_from_json
from apps.core.storage import artifact_remove, data_path
from apps.jobs.models import Job
from apps.jobs.services import job_enqueue, job_retry, jobs_require_none_active
from apps.training.models import Checkpoint, RunMember, RunText, TrainingRun
from apps.training.origins import Origin, origin_of
from apps.training.selectors import training_get, training_job
from apps.training.words import ARCHITECTURE_NAMES, SPARSITY_WORDS
from workers.engine.specs.base import spec_load
from workers.engine.specs.hook_site import HookSite
from workers.engine.specs.training import TrainSpec

LONGEST_NAME = 200


def training_start(*, spec: TrainSpec, user: AbstractBaseUser | None = None) -> TrainingRun:
    """Create the run, a member for each of its SAEs, and the job. AppError when what the Spec names does not fit."""
    origin = origin_of(spec)
    with transaction.atomic():
        run = TrainingRun.objects.create(
            name=given_name(spec.name) if spec.name.strip() else default_name(spec, origin.hook_sites),
            activation_cache=origin.cache,
            language_model=origin.language_model,
            tokenization=origin.tokenizations[0],
            spec=spec.to_json(),
            architecture=spec.architecture,
            d_sae=spec.members()[0].spec.d_sae,
            steps=spec.steps,
            created_by=user,
        )
        RunText.objects.bulk_create([RunText(run=run, tokenization=text) for text in origin.tokenizations[1:]])
        RunMember.objects.bulk_create(_members(run, spec, origin))
        job_enqueue(spec=spec, subject=run, user=user)
    return run


def _members(run: TrainingRun, spec: TrainSpec, origin: Origin) -> list[RunMember]:
    """Rows for spec.members(); their hook site is the cache's where they name none."""
    made = []
    for member in spec.members():
        site = member.hook_site or origin.hook_sites[0]
        made.append(
            RunMember(
                run=run,
                index=member.index,
                layer=site.layer,
                site=site.site,
                architecture=spec.architecture,
                d_sae=member.spec.d_sae,
                sparsity=getattr(member.spec, spec.coefficient_name),
                seed=member.spec.seed,
            )
        )
    return made


def default_name(spec: TrainSpec, hook_sites: Sequence[HookSite]) -> str:
    """A name from the settings that tell runs apart: "TopK 4608 k=32 · 15.resid_post"."""
    name = spec.coefficient_name
    swept = spec.sweep_k if name == "k" else spec.sweep_coefficient
    widths = "/".join(str(width) for width in spec.sweep_d_sae or (spec.d_sae,))
    sparsity = "/".join(f"{value:g}" for value in swept or (getattr(spec, name),))
    seeds = f" × {len(spec.sweep_seeds)} seeds" if len(spec.sweep_seeds) > 1 else ""
    sites = ", ".join(str(site) for site in hook_sites)
    has_target = spec.architecture == "jumprelu" and spec.l0_loss == "quadratic"
    target = f" target L0={spec.target_l0:g}" if has_target else ""
    words = (
        f"{ARCHITECTURE_NAMES[spec.architecture]} {widths}{target} {SPARSITY_WORDS[name]}={sparsity}{seeds} · {sites}"
    )
    return words if len(words) <= LONGEST_NAME else f"{words[: LONGEST_NAME - 1]}…"


def member_name(run: TrainingRun, member: RunMember) -> str:
    """What a member's SAE is called: the run's name, and in a sweep what sets this one apart."""
    if run.members.count() == 1:
        return run.name
    option = spec_load(TrainSpec, run.spec).coefficient_name
    own = f"{member.hook_site} {member.d_sae} {SPARSITY_WORDS[option]}={member.sparsity:g} seed {member.seed}"
    return f"{run.name[: LONGEST_NAME - len(own) - 3]} [{own}]"


def training_rename(*, run: TrainingRun, name: str) -> None:
    """Give the run another name; its SAEs keep theirs."""
    run.name = given_name(name)
    run.save(update_fields=["name"])
    publish(run.topic)


def training_retry(*, run: TrainingRun, user: AbstractBaseUser | None = None) -> Job:
    """Another try with the same settings; only for runs that failed or were cancelled. A failed one goes on from its
    last checkpoint."""
    return job_retry(job=training_job(run), user=user)


def training_again(
    *, run: TrainingRun, changes: Mapping[str, Any], user: AbstractBaseUser | None = None
) -> TrainingRun:
    """A new run with the settings of `run`, whatever became of it, and some of them changed. Settings of a run never
    change, so this is a retry with an edited Spec. Its name is made anew unless `changes` give one.

    AppError "spec_invalid" with `field`, or as training_start.
    """
    settings = spec_load(TrainSpec, run.spec).to_json()
    return training_start(spec=spec_from_json(TrainSpec, {**settings, "name": "", **changes}), user=user)


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


def checkpoints_delete(*, checkpoints: Sequence[Checkpoint]) -> int:
    """Delete several; returns the bytes freed."""
    return sum(checkpoint_delete(checkpoint=checkpoint) for checkpoint in checkpoints)


def trainings_delete(*, ids: Sequence[int]) -> tuple[int, dict[int, AppError]]:
    """Delete every run that can be: the bytes freed, and why each of the others stays."""
    freed, kept = 0, {}
    for pk in ids:
        try:
            freed += training_delete(run=training_get(pk))
        except AppError as error:
            kept[pk] = error
    return freed, kept
