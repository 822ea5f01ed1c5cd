"""What pages, endpoints and commands read of training runs."""

from typing import Any

from django.db.models import F, Q, QuerySet

from apps.core.errors import AppError, NotFound
from apps.jobs.models import Job
from apps.jobs.selectors import job_json, newest_job_state
from apps.training.models import Checkpoint, TrainingRun

MOST_READ = 20_000
"""Points read at most; of longer runs every second, third, … one."""


def training_get(pk: int) -> TrainingRun:
    """The run; NotFound otherwise."""
    runs = TrainingRun.objects.select_related("activation_cache__language_model", "activation_cache__tokenization")
    run = runs.filter(pk=pk).first()
    if run is None:
        raise NotFound("training run", pk)
    return run


def training_job(run: TrainingRun) -> Job:
    """The run's newest job; AppError when it never had one."""
    job = run.job
    if job is None:
        raise AppError("no_job", f"{run.name} has no job.", "Start a new run with its settings.", status=409)
    return job


def training_list(*, query: str = "", architecture: str = "", state: str = "") -> QuerySet[TrainingRun]:
    """Runs newest first with `job_state`, that of the newest job; `query` searches names and language models."""
    runs = TrainingRun.objects.select_related("activation_cache__language_model")
    runs = runs.annotate(job_state=newest_job_state(TrainingRun.ENTITY))
    if query:
        runs = runs.filter(Q(name__icontains=query) | Q(activation_cache__language_model__name__icontains=query))
    if architecture:
        runs = runs.filter(architecture=architecture)
    return runs.filter(job_state=state) if state else runs


def metric_points(run: TrainingRun, *, after: int | None = None) -> list[dict[str, Any]]:
    """Points of the charts with step > after, oldest first: {"step", name: value, …}."""
    points = run.metric_points.all() if after is None else run.metric_points.filter(step__gt=after)
    stride = -(-points.count() // MOST_READ)
    if stride > 1:
        points = points.annotate(rest=F("step") % (run.spec["log_every"] * stride)).filter(rest=0)
    return [{"step": step, **values} for step, values in points.values_list("step", "values")]


def with_time(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Points from the first on with `time_s` added: training time, pauses left out. Tokens between two points over the
    tokens/s of the later one."""
    seconds, tokens, timed = 0.0, 0.0, []
    for point in points:
        speed = point.get("tokens_per_s")
        if speed:
            seconds += max(0.0, point["tokens"] - tokens) / speed
        tokens = point["tokens"]
        timed.append({**point, "time_s": round(seconds, 2)})
    return timed


def training_json(run: TrainingRun) -> dict[str, Any]:
    """A run of `training_list` as the API and `--json` show it."""
    cache = run.activation_cache
    return {
        "id": run.pk,
        "name": run.name,
        "state": run.job_state,
        "architecture": run.architecture,
        "d_sae": run.d_sae,
        "activation_cache": {"id": cache.pk, "name": str(cache), "url": cache.get_absolute_url()},
        "step": run.step,
        "steps": run.steps,
        "loss": run.loss,
        "fvu": run.fvu,
        "l0": run.l0,
        "dead_share": run.dead_share,
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
        "job": job_json(job) if job else None,
        "saes": [{"id": sae.pk, "name": sae.name, "url": sae.get_absolute_url()} for sae in run.saes.all()],
        "checkpoints": [checkpoint_json(checkpoint) for checkpoint in run.checkpoints.all()],
    }


def checkpoint_json(checkpoint: Checkpoint) -> dict[str, Any]:
    """A checkpoint as the API shows it."""
    return {
        "id": checkpoint.pk,
        "step": checkpoint.step,
        "bytes": checkpoint.bytes,
        "values": checkpoint.values,
        "created_at": checkpoint.created_at.isoformat(),
    }
