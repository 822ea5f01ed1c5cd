"""The reaper, one for all kinds: jobs whose supervisor is gone go back into the queue. And the dispatcher: a wake-up for
jobs that wait although a slot is free, since a message can be lost when a cluster dies.

Both run every few seconds in the sampler process, and the reaper once when the studio starts.
"""

import shutil
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone
from django_q.models import OrmQ

from apps.core.troubles import disk_trouble
from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.services import job_move, wake_send
from apps.jobs.states import ENDED, ON_WORKER, State, Wish
from workers.supervisor.attempt import job_release, out_dir
from workers.supervisor.claiming import HOST
from workers.supervisor.ending import MOST_ATTEMPTS
from workers.supervisor.processes import process_group_kill, process_is

SILENT_FOR = timedelta(seconds=30)
"""Without a heartbeat for so long a job of this host that no process holds counts as lost."""
REMOTE_SILENT_FOR = timedelta(seconds=120)
WAITED_FOR = timedelta(seconds=3)
MESSAGE_KEPT = timedelta(minutes=1)


def reap() -> list[Job]:
    """Requeue jobs whose supervisor died; forget dead workers and leases of ended jobs. Returns the requeued jobs."""
    lost = [job for job in Job.objects.filter(state__in=ON_WORKER) if _is_lost(job)]
    requeued = [job for job in lost if _take_away(job)]
    for worker in Worker.objects.filter(host=HOST):
        if not process_is(worker.pid, worker.pid_started):
            worker.delete()
    Worker.objects.filter(heartbeat_at__lt=timezone.now() - REMOTE_SILENT_FOR).exclude(host=HOST).delete()
    DeviceLease.objects.filter(Q(job__state__in=ENDED) | Q(job__state=State.QUEUED)).delete()
    return requeued


def interrupted_requeue() -> int:
    """At the start of the studio: what a drain interrupted goes on. Returns how many jobs."""
    interrupted = list(Job.objects.filter(state=State.INTERRUPTED, host__in=["", HOST]))
    return sum(job_move(job, State.QUEUED, frm=(State.INTERRUPTED,), text="Going on.") for job in interrupted)


def dispatch() -> bool:
    """Send a wake-up when a due job has waited for a while and its queue has a free slot. True when one was sent."""
    if disk_trouble() is not None:
        return False  # a claim would find no room
    now = timezone.now()
    OrmQ.objects.filter(lock__gt=now + timedelta(days=1), lock__lt=now + _lock_age()).delete()
    due = Job.objects.filter(state=State.QUEUED).filter(
        Q(next_attempt_at__isnull=True, created_at__lt=now - WAITED_FOR) | Q(next_attempt_at__lt=now)
    )
    running = Job.objects.filter(host=HOST, state__in=ON_WORKER)
    for queue, slots in settings.SLOTS.items():
        if running.filter(queue=queue).count() < slots and due.filter(queue=queue).exists():
            if queue == "steer" and Worker.objects.filter(host=HOST, role=Worker.Role.STEER).exists():
                continue
            wake_send()
            return True
    return False


def _lock_age() -> timedelta:
    """django-q2 locks a message until now + retry: one locked for longer than MESSAGE_KEPT was taken and lost, or its
    worker is busy with jobs and will look at the queue anyway."""
    return timedelta(seconds=settings.Q_CLUSTER["retry"]) - MESSAGE_KEPT


def _is_lost(job: Job) -> bool:
    """On this host the supervisor's process decides, silent or not: it may be stopped, or asleep with the machine."""
    now = timezone.now()
    beat = job.heartbeat_at or job.created_at
    if job.host != HOST:
        return beat < now - REMOTE_SILENT_FOR
    workers = list(Worker.objects.filter(host=HOST, job=job))
    if workers:
        return not any(process_is(worker.pid, worker.pid_started) for worker in workers)
    return beat < now - SILENT_FOR


def _take_away(job: Job) -> bool:
    """End what is left of a lost attempt and requeue its job. False when somebody else did so, or ended it, meanwhile."""
    if job.host == HOST:
        process_group_kill(job.pid, job.pid_started)
    with transaction.atomic():
        moved = _requeue(job)
        if moved:
            job_release(job)
    if moved:
        shutil.rmtree(out_dir(job.pk, job.attempt), ignore_errors=True)
    return moved


def _requeue(job: Job) -> bool:
    """running or stopping → interrupted → queued; failed when it keeps dying without a new checkpoint. A wish to cancel or
    to pause still stands."""
    attempts, wish, lost = job.attempts_without_progress + 1, job.wish, job.attempt
    values = {"attempts_without_progress": attempts, "pid": None, "pid_started": ""}
    if attempts >= MOST_ATTEMPTS:
        return job_move(
            job,
            State.FAILED,
            frm=ON_WORKER,
            of_attempt=lost,
            text="Its worker died three times without a new checkpoint.",
            error_code="worker_lost",
            error_message="The job's worker died three times without a new checkpoint.",
            error_hint="Look at the log; the machine may be short of memory.",
            **values,
        )
    if wish == Wish.PAUSE and job_move(
        job, State.PAUSED, frm=ON_WORKER, of_attempt=lost, text="Its worker died; paused as asked.", **values
    ):
        return True
    if not job_move(job, State.INTERRUPTED, frm=ON_WORKER, of_attempt=lost, text="Its worker died.", **values):
        return False
    if wish == Wish.CANCEL:
        job_move(job, State.CANCELLED, frm=(State.INTERRUPTED,), text="Cancelled.")
    else:
        job_move(job, State.QUEUED, frm=(State.INTERRUPTED,), text="Back in the queue.")
        transaction.on_commit(wake_send)
    return True
