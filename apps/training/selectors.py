"""What pages, endpoints and commands read of training runs."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db.models import F, QuerySet
from django.utils import timezone

from apps.core.errors import AppError, NotFound
from apps.core.references import reference_words, references_to
from apps.core.search import found_by
from apps.core.selectors import row_of
from apps.jobs.models import Job
from apps.jobs.selectors import job_json, newest_job_state
from apps.training.models import Checkpoint, MetricPoint, RunMember, TrainingRun
from workers.engine.specs.base import spec_load
from workers.engine.specs.schedule import schedule_notes
from workers.engine.specs.training import TrainSpec

RECENT = timedelta(hours=24)
MOST_READ = 20_000
"""Points of one SAE read at most; of longer runs every second, third, … one."""


def training_get(pk: int) -> TrainingRun:
    """The run; NotFound otherwise."""
    runs = TrainingRun.objects.select_related("activation_cache", "language_model", "tokenization__dataset")
    return row_of(runs.prefetch_related("members"), "training run", pk)


def trainings_of(ids: Sequence[int], *, most: int | None = None) -> list[TrainingRun]:
    """The runs with these ids that exist, in their order, each once. AppError "too_many_runs" for more than `most`."""
    wanted = list(dict.fromkeys(ids))
    if most is not None and len(wanted) > most:
        raise AppError("too_many_runs", f"{len(wanted)} runs are too many to tell apart.", f"Choose at most {most}.")
    rows = TrainingRun.objects.select_related("activation_cache", "language_model", "tokenization__dataset")
    found = rows.prefetch_related("members").annotate(job_state=newest_job_state(TrainingRun.ENTITY)).in_bulk(wanted)
    return [found[pk] for pk in wanted if pk in found]


def stays_because(run: TrainingRun) -> str:
    """Why the run cannot be deleted now; "" when it can."""
    job = run.job
    if job is not None and job.is_active:
        return f"job {job.pk} still works on it"
    names = [reference_words(row) for row in references_to(run)]
    return f"{', '.join(names)} came of it" if names else ""


def training_job(run: TrainingRun) -> Job:
    """The run's newest job; AppError when it never had one."""
    job = run.job
    if job is None:
        raise AppError("no_job", f"{run.name} has no job.", "Start a new run with its settings.", status=409)
    return job


def training_list(*, query: str = "", architecture: str = "", state: str = "") -> QuerySet[TrainingRun]:
    """Runs newest first with `job_state`, that of the newest job; `query` searches names and language models."""
    runs = TrainingRun.objects.select_related("activation_cache", "language_model").prefetch_related("members")
    runs = runs.annotate(job_state=newest_job_state(TrainingRun.ENTITY))
    runs = found_by(runs, query, "name", "language_model__name")
    if architecture:
        runs = runs.filter(architecture=architecture)
    return runs.filter(job_state=state) if state else runs


def member_get(run: TrainingRun, index: int | None) -> RunMember:
    """The run's SAE with this index, the first without one; NotFound otherwise."""
    member = run.members.filter(index=index or 0).first()
    if member is None:
        raise NotFound("member of the training run", index)
    return member


def metric_points(member: RunMember, *, after: int) -> list[dict[str, Any]]:
    """Points of a member's charts with step > after, oldest first: {"step", name: value, …}."""
    points = member.metric_points.filter(step__gt=after)
    stride = -(-points.count() // MOST_READ)
    if stride > 1:
        points = points.annotate(rest=F("step") % (member.run.spec["log_every"] * stride)).filter(rest=0)
    return [{"step": step, **values} for step, values in points.values_list("step", "values")]


def points_of(
    members: Sequence[RunMember], *, most: int, since: int | None = None
) -> dict[RunMember, list[dict[str, Any]]]:
    """Points of the charts of several members of one run, oldest first, about `most` in all: of more every second,
    third, … step. `since`: only those of this step and later ones."""
    points = MetricPoint.objects.filter(member__in=members)
    if since is not None:
        points = points.filter(step__gte=since)
    stride = -(-points.count() // most)
    if stride > 1:
        points = points.annotate(rest=F("step") % (members[0].run.spec["log_every"] * stride)).filter(rest=0)
    found: dict[int, list[dict[str, Any]]] = {member.pk: [] for member in members}
    for pk, step, values in points.values_list("member", "step", "values"):
        found[pk].append({"step": step, **values})
    return {member: found[member.pk] for member in members}


def schedule_notes_of(run: TrainingRun) -> list[str]:
    """What the run's schedules reach where they are not carried through; of a run that ended early, what they had reached."""
    ended_at = run.step if run.report.get("finished_early") else None
    return schedule_notes(spec_load(TrainSpec, run.spec), ended_at=ended_at)


def training_json(run: TrainingRun) -> dict[str, Any]:
    """A run of `training_list` as the API and `--json` show it. Its own d_sae, loss, fvu, l0 and dead_share are those of the
    first of its `members`."""
    cache = run.activation_cache
    return {
        "id": run.pk,
        "name": run.name,
        "state": run.job_state,
        "architecture": run.architecture,
        "d_sae": run.d_sae,
        "language_model": {"id": run.language_model_id, "name": run.language_model.name},
        "tokenization": run.tokenization_id,
        "activation_cache": {"id": cache.pk, "name": str(cache), "url": cache.get_absolute_url()} if cache else None,
        "members": [member_json(member) for member in run.members.all()],
        "step": run.step,
        "steps": run.steps,
        "loss": run.loss,
        "fvu": run.fvu,
        "l0": run.l0,
        "dead_share": run.dead_share,
        "dead_after_tokens": run.spec.get("dead_after_tokens", TrainSpec.dead_after_tokens),
        "tokens_per_s": run.tokens_per_s,
        "spec": run.spec,
        "report": run.report,
        "created_at": run.created_at.isoformat(),
        "ready_at": run.ready_at.isoformat() if run.ready_at else None,
        "url": run.get_absolute_url(),
        "topic": run.topic,
    }


def training_json_full(run: TrainingRun) -> dict[str, Any]:
    """A run with its job, its SAEs and its checkpoints."""
    job = run.job
    run.job_state = job.state if job else None
    return {
        **training_json(run),
        "schedule_notes": schedule_notes_of(run),
        "job": job_json(job) if job else None,
        "saes": [
            {
                "id": sae.pk,
                "name": sae.name,
                "member": sae.member.index if sae.member else 0,
                "url": sae.get_absolute_url(),
            }
            for sae in run.saes.select_related("member")
        ],
        "checkpoints": [checkpoint_json(checkpoint) for checkpoint in run.checkpoints.all()],
    }


def member_json(member: RunMember) -> dict[str, Any]:
    """One SAE of a run as the API shows it."""
    names = ("index", "architecture", "d_sae", "sparsity", "seed", "loss", "fvu", "l0", "dead_share", "ce_recovered")
    return {"hook_site": str(member.hook_site), **{name: getattr(member, name) for name in names}}


def checkpoint_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint as the API shows it."""
    return {
        "id": checkpoint.pk,
        "step": checkpoint.step,
        "bytes": checkpoint.bytes,
        "values": checkpoint.values,
        "created_at": checkpoint.created_at.isoformat(),
    }


def checkpoint_get(run: TrainingRun, pk: int) -> Checkpoint:
    """The run's checkpoint with this id; NotFound otherwise."""
    return row_of(run.checkpoints, "checkpoint", pk)


def checkpoints_beyond(run: TrainingRun, *, keep: int, and_recent: bool = False) -> list[Checkpoint]:
    """Checkpoints that may go when the newest `keep` stay, oldest last.

    An unfinished run always keeps its newest, from which it goes on; those of the last 24 hours stay unless `and_recent`.
    """
    least = 0 if run.is_ready else 1
    rows = list(run.checkpoints.all())[max(keep, least) :]
    limit = timezone.now() - RECENT
    return rows if and_recent else [row for row in rows if row.created_at < limit]
