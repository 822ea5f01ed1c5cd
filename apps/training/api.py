"""Training runs as JSON: start, list, one, its points and checkpoints, and what can be asked of it."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.errors import AppError
from apps.core.spec_forms import spec_from_json
from apps.jobs import services as job_services
from apps.jobs.selectors import job_json
from apps.training import services
from apps.training.selectors import (
    checkpoint_json,
    metric_points,
    training_get,
    training_job,
    training_json,
    training_json_full,
    training_list,
)
from workers.engine.specs.training import TrainSpec

ACTIONS: dict[str, Callable[..., Any]] = {
    "stop": job_services.job_cancel,
    "pause": job_services.job_pause,
    "resume": job_services.job_resume,
    "finish": job_services.job_finish,
    "checkpoint": job_services.job_checkpoint,
}
MOST_POINTS = 5_000


@api("GET", "POST", spec=TrainSpec)
def trainings(request: HttpRequest) -> Any:
    """All runs, newest first, narrowed by ?query=, ?architecture= and ?state=; POST starts one: 202 with its job."""
    if request.method == "POST":
        run = services.training_start(spec=spec_from_json(TrainSpec, request.json), user=request.user)
        return accepted(run.job, run.get_absolute_url())
    asked = {name: request.GET.get(name, "") for name in ("query", "architecture", "state")}
    return paged(training_list(**asked), request, training_json)


@api("GET", "PATCH", "DELETE")
def training(request: HttpRequest, pk: int) -> Any:
    """One run with its job, SAEs and checkpoints; PATCH {"name": …} renames it, DELETE says the bytes freed."""
    run = training_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": services.training_delete(run=run)}
    if request.method == "PATCH":
        services.training_rename(run=run, name=str(request.json.get("name", "")))
    return training_json_full(run)


@api("GET")
def metrics(request: HttpRequest, pk: int) -> Any:
    """Points of the charts, oldest first; ?after=STEP gives those of later steps, MOST_POINTS at once."""
    run = training_get(pk)
    text = request.GET.get("after", "0")
    if not text.isdecimal():
        raise AppError(
            "bad_after", f"after={text!r} is not a step.", "Give the last step that is known.", field="after"
        )
    points = metric_points(run, after=int(text))
    return {
        "points": points[:MOST_POINTS],
        "last_step": points[:MOST_POINTS][-1]["step"] if points else int(text),
        "has_more": len(points) > MOST_POINTS,
    }


@api("GET")
def checkpoints(request: HttpRequest, pk: int) -> Any:
    """The checkpoints that the run could go on from, newest first."""
    return {"items": [checkpoint_json(checkpoint) for checkpoint in training_get(pk).checkpoints.all()]}


@api("POST")
def training_action(request: HttpRequest, pk: int, action: str) -> Any:
    """stop (keep nothing), finish (stop and keep the SAE), pause, resume, checkpoint or retry: 202 with the job."""
    run = training_get(pk)
    if action == "retry":
        return 202, job_json(services.training_retry(run=run, user=request.user))
    if action not in ACTIONS:
        known = ", ".join([*ACTIONS, "retry"])
        raise AppError("no_such_action", f"A training run knows no {action}.", f"Known: {known}.", status=404)
    ACTIONS[action](job=training_job(run))
    return 202, job_json(training_job(run))
