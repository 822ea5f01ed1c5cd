"""Everything that changes a job from the web side: enqueue, wishes, retry, priority. The supervisor does the rest.

A job's row exists before anything is queued. A django-q2 message carries no work, it only wakes a worker, so a lost or
doubled message does no harm.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django_q.tasks import async_task

from apps.core.errors import AppError
from apps.core.live.publishing import publish
from apps.core.live.topics import ALL_JOBS, topic
from apps.core.storage import artifact_remove, data_path
from apps.jobs.models import Job, JobEvent, Subject
from apps.jobs.selectors import text_shown
from apps.jobs.states import ACTIVE, ENDED, MOVES, ON_WORKER, State, Wish
from workers.engine.specs.base import Spec
from workers.engine.specs.priorities import PRIORITIES

PASSING_KEPT = timedelta(days=1)
"""How long the answers of Specs that are PASSING are kept."""
TEXTS = ("error_message", "error_hint", "error_traceback", "message", "waits_for")
"""Words of a job that may come from a library, with the machine's paths in them."""
WAKE = "workers.supervisor.waking.wake"


def job_enqueue(
    *, spec: Spec, subject: Any | None = None, title: str = "", user: AbstractBaseUser | None = None
) -> Job:
    """Write a queued job about `subject` (a row with ENTITY) and wake a worker once the transaction commits.

    Raises AppError "already_active" when the subject has an unfinished job of this kind.
    """
    job = Job(
        kind=spec.KIND,
        queue=spec.QUEUE,
        title=title or spec.TITLE,
        priority=PRIORITIES[spec.KIND],
        spec=spec.to_json(),
        device_wish=getattr(spec, "device", ""),
        created_by=user,
    )
    if subject is not None:
        job.subject_entity, job.subject_id, job.subject_name = subject.ENTITY, subject.pk, str(subject)[:200]
    return _queue(job, f"Queued on {job.queue}.")


def _queue(job: Job, text: str) -> Job:
    """Save a new job with its first event; the pages hear of it and a worker wakes when the transaction commits."""
    try:
        with transaction.atomic():
            job.save()
            event_write(job, text)
            publish_job(job)
            transaction.on_commit(wake_send)
    except IntegrityError:
        raise AppError(
            "already_active",
            f"{job.title} is already under way for {job.subject_name}.",
            "Wait for it, or cancel it first.",
            status=409,
        ) from None
    return job


def wake_send() -> None:
    """Ask the cluster's workers to look at the queue."""
    async_task(WAKE, q_options={"save": False})


def job_move(
    job: Job,
    to: State,
    *,
    frm: tuple[State, ...] | None = None,
    of_attempt: int | None = None,
    text: str = "",
    **values: Any,
) -> bool:
    """Move a job by a conditional UPDATE; False when it was not in a state from which `to` is legal, or no longer in the
    attempt `of_attempt` (somebody else was first). The row object is refreshed; topics are published; `text` becomes an
    event."""
    legal = tuple(state for state, targets in MOVES.items() if to in targets)
    allowed = legal if frm is None else tuple(s for s in frm if s in legal)
    values |= {name: text_shown(job, values[name]) for name in TEXTS if name in values}
    if to in ENDED:
        values.setdefault("ended_at", timezone.now())
    if to not in ON_WORKER:
        values.setdefault("wish", Wish.NONE)
    with transaction.atomic():
        rows = Job.objects.filter(pk=job.pk, state__in=allowed)
        if of_attempt is not None:
            rows = rows.filter(attempt=of_attempt)
        if rows.update(state=to, **values) != 1:
            return False
        job.refresh_from_db()
        if text:
            event_write(job, text, level="error" if to == State.FAILED else "info")
        publish_job(job)
    return True


def job_wish(*, job: Job, wish: Wish) -> None:
    """Write a wish for a running job; an ending wish also moves it to stopping."""
    if wish == Wish.CHECKPOINT:
        changed = Job.objects.filter(pk=job.pk, state=State.RUNNING).update(wish=wish)
    else:
        changed = int(job_move(job, State.STOPPING, wish=wish, text=f"Asked to {wish.label}."))
    if not changed:
        raise _wrong_state("not_running", job, "running", f"Only a running job can be asked to {wish.label}.")


def _wrong_state(code: str, job: Job, wanted: str, hint: str) -> AppError:
    """What was asked does not fit the state that the job is in now, which the message names."""
    state = Job.objects.filter(pk=job.pk).values_list("state", flat=True).first()
    words = f"Job {job.pk} is not {wanted}: it {f'is {state}' if state else 'was deleted'}."
    return AppError(code, words, hint, status=409)


def job_cancel(*, job: Job) -> None:
    """End a job for good. A running one is asked first and killed after a grace period; others end at once."""
    if job_move(job, State.CANCELLED, frm=(State.QUEUED, State.PAUSED, State.INTERRUPTED), text="Cancelled."):
        return
    changed = Job.objects.filter(pk=job.pk, state=State.STOPPING).update(wish=Wish.CANCEL)
    if not changed:
        job_wish(job=job, wish=Wish.CANCEL)


def job_pause(*, job: Job) -> None:
    """Ask a running job to write a checkpoint and wait. Only kinds that resume can."""
    _require_resumable(job)
    job_wish(job=job, wish=Wish.PAUSE)


def job_finish(*, job: Job) -> None:
    """Ask a running job to stop now and keep what it has. Only some kinds can: "cannot_finish" otherwise."""
    if not job.finishes:
        raise AppError("cannot_finish", f"{job.title} is of use only whole.", "Cancel it, or wait.", status=409)
    job_wish(job=job, wish=Wish.FINISH)


def job_checkpoint(*, job: Job) -> None:
    """Ask a running job to write a checkpoint and go on."""
    _require_resumable(job)
    job_wish(job=job, wish=Wish.CHECKPOINT)


def _require_resumable(job: Job) -> None:
    if not job.resumes:
        raise AppError("cannot_resume", f"{job.title} keeps no checkpoints.", "Cancel it instead.", status=409)


def job_resume(*, job: Job) -> None:
    """Put a paused or interrupted job back into the queue; it goes on from its last checkpoint."""
    with transaction.atomic():
        if not job_move(job, State.QUEUED, frm=(State.PAUSED, State.INTERRUPTED), text="Queued again."):
            raise _wrong_state("not_paused", job, "paused", "Only paused and interrupted jobs are resumed.")
        transaction.on_commit(wake_send)


def job_retry(*, job: Job, user: AbstractBaseUser | None = None) -> Job:
    """A new job with the same Spec and subject as one that failed or was cancelled."""
    if job.state not in (State.FAILED, State.CANCELLED):
        raise _wrong_state("not_failed", job, "failed", "Only failed and cancelled jobs are retried.")
    again = Job(
        kind=job.kind,
        queue=job.queue,
        title=job.title,
        priority=PRIORITIES[job.kind],
        spec=job.loaded_spec.to_json(),
        subject_entity=job.subject_entity,
        subject_id=job.subject_id,
        subject_name=job.subject_name,
        device_wish=job.device_wish,
        created_by=user,
    )
    return _queue(again, f"Queued as another try of job {job.pk}.")


def job_again(
    *,
    subject: Subject,
    hint: str,
    user: AbstractBaseUser | None = None,
    changes: Mapping[str, Any] = MappingProxyType({}),
) -> Job:
    """The job that makes `subject`: the one under way, or a new try of one that failed, with its Spec's options changed.

    AppError (409): "already_ready", which `hint` tells what to do about, or "no_job".
    """
    if subject.is_ready:
        raise AppError("already_ready", f"{subject} is ready already.", hint, status=409)
    job = subject.job
    if job is None:
        raise AppError("no_job", f"{subject} has no job to repeat.", "Delete it and begin anew.", status=409)
    if job.is_active:
        return job
    spec = replace(job.loaded_spec, **changes)
    if spec == job.loaded_spec:
        return job_retry(job=job, user=user)
    return job_enqueue(spec=spec, subject=subject, user=user)


def job_priority_set(*, job: Job, priority: int) -> None:
    """Change the place of a queued job; lower numbers go first."""
    if not 0 <= priority <= 999:
        raise AppError(
            "bad_priority", f"Priority {priority} is outside 0 to 999.", "Lower numbers go first.", field="priority"
        )
    if not Job.objects.filter(pk=job.pk, state=State.QUEUED).update(priority=priority):
        raise _wrong_state("not_queued", job, "queued", "Only queued jobs have a place to change.")
    publish_job(job)


def jobs_require_none_active(*, entity: str, pk: int, name: str) -> None:
    """Refuse a deletion while a job works on the row."""
    active = Job.objects.filter(subject_entity=entity, subject_id=pk, state__in=ACTIVE).first()
    if active is not None:
        raise AppError("job_active", f"Job {active.pk} still works on {name}.", "Cancel the job first.", status=409)


def event_write(job: Job, text: str, level: str = "info") -> None:
    """One line in the job's history."""
    JobEvent.objects.create(job=job, attempt=job.attempt, level=level, text=text_shown(job, text)[:4000])


def publish_job(job: Job) -> None:
    """Tell the pages that show this job, its subject, or the list of jobs."""
    topics = [job.topic, ALL_JOBS]
    if job.subject_entity:
        topics.append(topic(job.subject_entity, job.subject_id))
    publish(*topics)


def subject_ready(subject: Subject, *, at: datetime | None = None) -> None:
    """Mark a subject as ready; called by a runner's `finish` after its fields are set."""
    subject.ready_at = at or timezone.now()
    subject.save()


def passing_subjects_delete(rows: QuerySet[Any]) -> None:
    """Delete those of `rows` (all of one model) that are older than PASSING_KEPT and done with, with their jobs' rows and
    folders."""
    old = rows.filter(created_at__lt=timezone.now() - PASSING_KEPT)
    jobs = Job.objects.filter(subject_entity=rows.model.ENTITY, subject_id__in=old.values("pk"))
    busy = set(jobs.filter(state__in=ACTIVE).values_list("subject_id", flat=True))
    gone = set(old.values_list("pk", flat=True)) - busy
    for job in jobs.filter(subject_id__in=gone):
        artifact_remove(data_path("jobs", job.pk))
        job.delete()
    rows.filter(pk__in=gone).delete()
