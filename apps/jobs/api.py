"""Jobs as JSON: list, one, and what can be asked of it."""

from collections.abc import Callable, Mapping
from typing import Any

from django.http import HttpRequest

from apps.core.api import api, paged
from apps.core.asking import choice_asked
from apps.core.errors import AppError
from apps.core.json_bodies import fields_check
from apps.jobs import services
from apps.jobs.models import Job
from apps.jobs.selectors import job_get, job_json, job_list
from apps.jobs.states import State
from workers.engine.specs.kinds import SPECS

ACTIONS: dict[str, Callable[..., Any]] = {
    "cancel": services.job_cancel,
    "pause": services.job_pause,
    "resume": services.job_resume,
    "finish": services.job_finish,
    "checkpoint": services.job_checkpoint,
}


def job_filters(asked: Mapping[str, Any]) -> dict[str, str]:
    """?state= and ?kind= of a list of jobs. AppError "bad_filter" names the known ones."""
    return {
        "state": choice_asked(asked, "state", (*State.values, "active", "ended")),
        "kind": choice_asked(asked, "kind", SPECS),
    }


@api("GET")
def jobs(request: HttpRequest) -> Any:
    """All jobs, newest first; ?state= (also active, ended) and ?kind= narrow the list."""
    found = job_list(**job_filters(request.GET), query=request.GET.get("query", ""))
    return paged(found, request, job_json, filters=("state", "kind", "query"))


@api("GET", "PATCH")
def job(request: HttpRequest, pk: int) -> Any:
    """One job with its history; PATCH {"priority": n} changes its place in the queue."""
    found = job_get(pk)
    if request.method == "PATCH":
        fields_check(request.json, {"priority": int})
        services.job_priority_set(job=found, priority=request.json["priority"])
        found.refresh_from_db()
    return {**job_json(found), "events": [event_json(event) for event in found.events.all()]}


@api("POST")
def job_action(request: HttpRequest, pk: int, action: str) -> Any:
    """Cancel, pause, resume, finish (stop and keep the result), checkpoint or retry a job."""
    found = job_get(pk)
    if action == "retry":
        return 202, job_json(services.job_retry(job=found, user=request.user))
    if action not in ACTIONS:
        raise AppError(
            "no_such_action", f"A job knows no {action}.", f"Known: {', '.join([*ACTIONS, 'retry'])}.", status=404
        )
    ACTIONS[action](job=found)
    return 202, job_json(Job.objects.get(pk=pk))


def event_json(event: Any) -> dict[str, Any]:
    """One line of a job's history."""
    return {"at": event.at.isoformat(), "attempt": event.attempt, "level": event.level, "text": event.text}
