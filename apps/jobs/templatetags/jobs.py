"""Words and buttons for jobs in templates: what a job is doing, what may be asked of it, how many are active."""

from dataclasses import dataclass, replace

from django import template
from django.template import Context
from django.utils import timezone

from apps.core.templatetags.studio import duration
from apps.jobs.models import Job
from apps.jobs.selectors import active_count
from apps.jobs.states import ENDED, ON_WORKER, State, Wish

register = template.Library()


@dataclass(frozen=True)
class Action:
    """One thing a person may ask of a job; `name` is the last part of its URL."""

    name: str
    words: str
    icon: str
    question: str = ""
    is_danger: bool = False


PAUSE = Action("pause", "Pause", "pause")
RESUME = Action("resume", "Resume", "play")
FINISH = Action("finish", "Finish now", "flag", "Stop here and keep the result as it is now?")
CHECKPOINT = Action("checkpoint", "Save checkpoint", "save")
RETRY = Action("retry", "Try again", "rotate-ccw")
CANCEL = Action("cancel", "Cancel", "x", "Cancel this job? What it made so far is thrown away.", is_danger=True)


def actions_of(job: Job) -> list[Action]:
    """What may be asked of the job in its state; only some kinds can pause and checkpoint, or finish early."""
    if job.state == State.RUNNING and job.resumes:
        finish = [replace(FINISH, words=job.spec_class.FINISH_WORDS)] if job.finishes else []
        return [PAUSE, CHECKPOINT, *finish, CANCEL]
    if job.state == State.PAUSED:
        return [RESUME, CANCEL]
    if job.state in (State.FAILED, State.CANCELLED):
        return [RETRY]
    may_cancel = job.is_active and not (job.state == State.STOPPING and job.wish == Wish.CANCEL)
    return [CANCEL] if may_cancel else []


@register.simple_tag
def job_actions(job: Job) -> list[Action]:
    """{% job_actions job as actions %}."""
    return actions_of(job)


@register.filter
def state_words(job: Job) -> str:
    """The state, with what was asked of a job that is stopping: "stopping: pause"."""
    if job.state in ON_WORKER and job.wish:
        return f"{job.state}: {Wish(job.wish).label}"
    return job.state


@register.filter
def progress_words(job: Job) -> str:
    """What the job is doing: "tokenizing 41,200 / 100,000 rows, 3 min left"."""
    if job.state == State.QUEUED:
        return f"waiting: {job.waits_for}" if job.waits_for else "waiting for a worker"
    if job.state in ENDED:
        spent = duration(job.ended_at - job.started_at) if job.ended_at and job.started_at else ""
        return f"{job.state} after {spent}" if spent else job.state
    amount = f"{job.done:,} / {job.total:,}" if job.total else f"{job.done:,}" if job.done else ""
    words = " ".join(part for part in (job.phase or job.state, amount, job.unit if amount else "") if part)
    left = job.seconds_left(timezone.now())
    return f"{words}, {duration(left)} left" if left is not None else words


@register.inclusion_tag("jobs/active_count.html", takes_context=True)
def active_jobs(context: Context, place: str) -> dict[str, object]:
    """The number of active jobs beside the navigation's entry, counted once a page; the topic jobs/all keeps it current."""
    request = context["request"]
    if not hasattr(request, "active_jobs"):
        request.active_jobs = active_count()
    return {"count": request.active_jobs, "place": place}
