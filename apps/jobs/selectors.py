"""What pages, endpoints and commands read of jobs."""

from pathlib import PurePath
from typing import Any

from django.apps import apps
from django.db.models import OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from apps.core.machine_paths import paths_hidden
from apps.core.search import found_by
from apps.core.selectors import row_of
from apps.core.storage import data_path
from apps.jobs.models import Job
from apps.jobs.states import ACTIVE, State
from workers.engine.specs.kinds import PASSING_KINDS, SPECS


def job_get(pk: int) -> Job:
    """The job; NotFound otherwise."""
    return row_of(Job.objects, "job", pk)


def job_list(*, state: str = "", kind: str = "", query: str = "") -> QuerySet[Job]:
    """Jobs newest first; `state` may also be "active" or "ended".

    Look-ups and previews that have ended are left out, unless their kind or words from their titles are asked for.
    """
    jobs = Job.objects.all()
    if not (kind or query):
        jobs = jobs.exclude(kind__in=PASSING_KINDS, state__in=(State.SUCCEEDED, State.CANCELLED))
    if state == "active":
        jobs = jobs.filter(state__in=ACTIVE)
    elif state == "ended":
        jobs = jobs.exclude(state__in=ACTIVE)
    elif state:
        jobs = jobs.filter(state=state)
    if kind:
        jobs = jobs.filter(kind=kind)
    return found_by(jobs, query, "subject_name", "title")


def newest_job_state(entity: str) -> Subquery:
    """For annotate(): the state of the newest job about each row, without a query for each."""
    jobs = Job.objects.filter(subject_entity=entity, subject_id=OuterRef("pk")).order_by("-pk")
    return Subquery(jobs.values("state")[:1])


def active_count() -> int:
    """Jobs that are under way or waiting."""
    return Job.objects.filter(state__in=ACTIVE).count()


def queue_position(job: Job) -> int | None:
    """How many queued jobs of its queue are taken before this one, plus one; None when it does not wait."""
    if job.state != State.QUEUED:
        return None
    ahead = Q(priority__lt=job.priority) | Q(priority=job.priority, id__lt=job.pk)
    return Job.objects.filter(state=State.QUEUED, queue=job.queue).filter(ahead).count() + 1


def paths_given(job: Job) -> dict[str, str]:
    """The paths on the machine that the job's Spec holds, by option."""
    options = SPECS[job.kind].options() if job.kind in SPECS else {}
    return {name: str(job.spec[name]) for name, option in options.items() if option.is_path and job.spec.get(name)}


def spec_shown(job: Job) -> dict[str, Any]:
    """The stored Spec, with files and folders by their names alone."""
    return job.spec | {name: PurePath(path).name for name, path in paths_given(job).items()}


def text_shown(job: Job, text: str) -> str:
    """What the job or its libraries say, without the machine's paths."""
    return paths_hidden(text, given=paths_given(job).values())


def job_log_tail(job: Job, *, characters: int = 20_000) -> str:
    """The end of the log of the newest attempt; empty when there is none."""
    log = data_path("jobs", job.pk, f"attempt-{job.attempt}", "log.txt")
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - characters))
        return text_shown(job, file.read().decode("utf-8", errors="replace"))


def subject_of(job: Job) -> Any | None:
    """The row the job is about; None for a job without subject or when the row is gone."""
    for model in apps.get_models():
        if job.subject_entity and getattr(model, "ENTITY", "") == job.subject_entity:
            return model._default_manager.filter(pk=job.subject_id).first()
    return None


def subject_url(job: Job) -> str:
    """The page of what the job is about: the result's page. Empty when there is none."""
    subject = subject_of(job)
    return "" if subject is None else subject.get_absolute_url()


def job_json(job: Job) -> dict[str, Any]:
    """The job as the API and `--json` show it."""
    left = job.seconds_left(timezone.now())
    return {
        "id": job.pk,
        "kind": job.kind,
        "queue": job.queue,
        "title": job.title,
        "state": job.state,
        "priority": job.priority,
        "subject": {"entity": job.subject_entity, "id": job.subject_id, "name": job.subject_name},
        "progress": {
            "phase": job.phase,
            "done": job.done,
            "total": job.total,
            "unit": job.unit,
            "message": job.message,
            "percent": job.percent,
            "seconds_left": None if left is None else round(left, 1),
        },
        "waits_for": job.waits_for if job.state == State.QUEUED else "",
        "attempt": job.attempt,
        "error": (
            {"code": job.error_code, "message": job.error_message, "hint": job.error_hint} if job.error_code else None
        ),
        "spec": spec_shown(job),
        "created_at": job.created_at.isoformat(),
        "started_at": job.started_at.isoformat() if job.started_at else None,
        "ended_at": job.ended_at.isoformat() if job.ended_at else None,
        "url": job.get_absolute_url(),
        "result_url": subject_url(job),
        "topic": job.topic,
    }
