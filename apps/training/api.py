"""Training runs as JSON: start, list, one, its points and checkpoints, and what can be asked of it."""

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest

from apps.core.api import accepted, api, paged
from apps.core.asking import choice_asked, id_asked, ids_asked, whole_asked
from apps.core.csv_tables import MEDIA_TYPE, is_for_spreadsheet
from apps.core.errors import AppError
from apps.core.json_bodies import fields_check
from apps.core.spec_forms import spec_from_json
from apps.core.streaming import streamed
from apps.jobs import services as job_services
from apps.jobs.selectors import job_json
from apps.jobs.states import State
from apps.training import services
from apps.training.comparison import comparison_json
from apps.training.comparison_charts import MOST_RUNS
from apps.training.points_export import points_exported
from apps.training.seed_names import from_seed_names
from apps.training.selectors import (
    checkpoint_get,
    checkpoint_json,
    checkpoints_beyond,
    member_get,
    metric_points,
    training_get,
    training_job,
    training_json,
    training_json_full,
    training_list,
    trainings_of,
)
from apps.training.words import ARCHITECTURE_NAMES
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
    """All runs, newest first, narrowed by ?query=, ?architecture= and ?state=; POST starts one: 202 with its job.

    Options may also go by the names of the seed (latent_dim, l1_alpha, num_steps, …).
    """
    if request.method == "POST":
        spec = spec_from_json(TrainSpec, from_seed_names(request.json))
        run = services.training_start(spec=spec, user=request.user)
        return accepted(run.job, run.get_absolute_url())
    found = training_list(query=request.GET.get("query", ""), **training_filters(request.GET))
    return paged(found, request, training_json, filters=("query", "architecture", "state"))


def training_filters(asked: Mapping[str, Any]) -> dict[str, str]:
    """?architecture= and ?state= of a list of runs. AppError "bad_filter" names the known ones."""
    return {
        "architecture": choice_asked(asked, "architecture", ARCHITECTURE_NAMES),
        "state": choice_asked(asked, "state", State.values),
    }


@api("GET")
def comparison(request: HttpRequest) -> Any:
    """The runs of ?ids=3,7 side by side, ten at most: results, the settings that differ, and both in words."""
    return comparison_json(trainings_of(ids_asked(request.GET, "ids"), most=MOST_RUNS))


@api("GET", "PATCH", "DELETE")
def training(request: HttpRequest, pk: int) -> Any:
    """One run with its job, SAEs and checkpoints; PATCH {"name": …} renames it, DELETE says the bytes freed."""
    run = training_get(pk)
    if request.method == "DELETE":
        return {"deleted": pk, "freed_bytes": services.training_delete(run=run)}
    if request.method == "PATCH":
        fields_check(request.json, {"name": str})
        services.training_rename(run=run, name=request.json["name"])
    return training_json_full(run)


@api("GET")
def metrics(request: HttpRequest, pk: int) -> Any:
    """Points of one SAE's charts, oldest first; ?member= its index (0), ?after=STEP those of later steps, MOST_POINTS at
    once."""
    after, index = whole_asked(request.GET, "after", default=0), whole_asked(request.GET, "member", default=0)
    points = metric_points(member_get(training_get(pk), index), after=after)
    return {
        "member": index,
        "points": points[:MOST_POINTS],
        "last_step": points[:MOST_POINTS][-1]["step"] if points else after,
        "has_more": len(points) > MOST_POINTS,
    }


@api("GET")
def points(request: HttpRequest, pk: int) -> Any:
    """All points of the run's charts as CSV, streamed: a row for each SAE and step; ?member= those of one SAE,
    ?for=spreadsheet for Excel and the like."""
    run, index = training_get(pk), id_asked(request.GET, "member")
    member = None if index is None else member_get(run, index).index
    name = f"run-{pk}-points.csv" if member is None else f"run-{pk}-sae-{member}-points.csv"
    pieces = points_exported(run, member, for_spreadsheet=is_for_spreadsheet(request.GET))
    return streamed(request, pieces, content_type=MEDIA_TYPE, filename=name)


@api("GET", "POST")
def checkpoints(request: HttpRequest, pk: int) -> Any:
    """The checkpoints that the run could go on from, newest first; POST asks for one now: 202 with the job."""
    if request.method == "POST":
        job_services.job_checkpoint(job=training_job(training_get(pk)))
        return 202, job_json(training_job(training_get(pk)))
    return {"items": [checkpoint_json(checkpoint) for checkpoint in training_get(pk).checkpoints.all()]}


@api("DELETE")
def checkpoint(request: HttpRequest, pk: int, checkpoint: int) -> Any:
    """Delete one checkpoint; says the bytes freed."""
    row = checkpoint_get(training_get(pk), checkpoint)
    return {"deleted": checkpoint, "freed_bytes": services.checkpoint_delete(checkpoint=row)}


@api("GET", "POST")
def checkpoint_retention(request: HttpRequest, pk: int) -> Any:
    """What would go if only the newest ?keep= checkpoints stayed; POST {"keep": n} deletes them. A run that is not ready
    keeps its newest, and those of the last 24 hours stay unless {"recent": true}."""
    run = training_get(pk)
    asked = request.json if request.method == "POST" else request.GET
    recent = asked.get("recent") in (True, "true", "1")
    rows = checkpoints_beyond(run, keep=whole_asked(asked, "keep", default=1), and_recent=recent)
    answer = {"items": [checkpoint_json(row) for row in rows], "bytes": sum(row.bytes for row in rows)}
    if request.method == "POST":
        answer["freed_bytes"] = services.checkpoints_delete(checkpoints=rows)
    return answer


@api("POST")
def trainings_delete(request: HttpRequest) -> Any:
    """Delete several runs, {"ids": [3, 7]}: the bytes freed, and for each that stays why."""
    fields_check(request.json, {"ids": list})
    freed, kept = services.trainings_delete(ids=ids_asked(request.json, "ids"))
    return {"freed_bytes": freed, "kept": [{"id": pk, "message": error.message} for pk, error in kept.items()]}


@api("POST")
def training_action(request: HttpRequest, pk: int, action: str) -> Any:
    """stop (keep nothing), finish (stop and keep the SAE), pause, resume, checkpoint or retry: 202 with the job.

    retry takes a failed or cancelled run up again as it is; with options in its body, {"k": 16}, it starts a new run with
    the settings of this one and those changed.
    """
    run = training_get(pk)
    if action == "retry" and request.json:
        again = services.training_again(run=run, changes=from_seed_names(request.json), user=request.user)
        return accepted(again.job, again.get_absolute_url())
    if action == "retry":
        return 202, job_json(services.training_retry(run=run, user=request.user))
    if action not in ACTIONS:
        known = ", ".join([*ACTIONS, "retry"])
        raise AppError("no_such_action", f"A training run knows no {action}.", f"Known: {known}.", status=404)
    ACTIONS[action](job=training_job(run))
    return 202, job_json(training_job(run))
