"""The reaper, one for all kinds: jobs whose supervisor is gone go back into the queue. And the dispatcher: a wake-up for
jobs that wait although a slot is free, since a message can be lost when a cluster dies.

Both run every few seconds in the sampler process, and the reaper once when the studio starts.
"""

from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django_q.models import OrmQ

from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.services import event_write, job_move, wake_send
from apps.jobs.states import ENDED, ON_WORKER, State
from workers.supervisor.child_process import process_group_kill, process_is
from workers.supervisor.claiming import HOST
from workers.supervisor.ending import MOST_ATTEMPTS

SILENT_FOR = timedelta(seconds=30)
"""Without a heartbeat for so long a supervisor of this host counts as dead, even if its process lives."""
REMOTE_SILENT_FOR = timedelta(seconds=120)
WAITED_FOR = timedelta(seconds=3)
MESSAGE_KEPT = timedelta(minutes=1)


def reap() -> list[Job]:
    """Requeue jobs whose supervisor died; forget dead workers and leases of ended jobs. Returns the requeued jobs."""
    lost = [job for job in Job.objects.filter(state__in=ON_WORKER) if _is_lost(job)]
    for job in lost:
        if job.host == HOST:
            process_group_kill(job.pid, job.pid_started)
        _requeue(job)
    for worker in Worker.objects.filter(host=HOST):
        if not process_is(worker.pid, worker.pid_started):
            worker.delete()
    Worker.objects.filter(heartbeat_at__lt=timezone.now() - REMOTE_SILENT_FOR).exclude(host=HOST).delete()
    DeviceLease.objects.filter(Q(job__state__in=ENDED) | Q(job__state=State.QUEUED)).delete()
    return lost


def interrupted_requeue() -> int:
    """At the start of the studio: what a drain interrupted goes on. Returns how many jobs."""
    interrupted = list(Job.objects.filter(state=State.INTERRUPTED, host__in=["", HOST]))
    return sum(job_move(job, State.QUEUED, frm=(State.INTERRUPTED,), text="Going on.") for job in interrupted)


def dispatch() -> bool:
    """Send a wake-up when a due job has waited for a while and its queue has a free slot. True when one was sent."""
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
    now = timezone.now()
    beat = job.heartbeat_at or job.created_at
    if job.host != HOST:
        return beat < now - REMOTE_SILENT_FOR
    worker = Worker.objects.filter(host=HOST, job=job).first()
    if worker is not None and not process_is(worker.pid, worker.pid_started):
        return True
    return beat < now - SILENT_FOR


def _requeue(job: Job) -> None:
    """running or stopping → interrupted → queued; failed when it keeps dying without a new checkpoint."""
    attempts = job.attempts_without_progress + 1
    DeviceLease.objects.filter(job=job).delete()
    if attempts >= MOST_ATTEMPTS:
        job_move(
            job,
            State.FAILED,
            frm=ON_WORKER,
            text="Its worker died three times without a new checkpoint.",
            error_code="worker_lost",
            error_message="The job's worker died three times without a new checkpoint.",
            error_hint="Look at the log; the machine may be short of memory.",
            attempts_without_progress=attempts,
        )
        return
    wish = job.wish
    moved = job_move(
        job,
        State.INTERRUPTED,
        frm=ON_WORKER,
        text="Its worker died.",
        attempts_without_progress=attempts,
        pid=None,
        pid_started=None,
    )
    if moved and wish == "cancel":
        job_move(job, State.CANCELLED, frm=(State.INTERRUPTED,), text="Cancelled.")
    elif moved:
        job_move(job, State.QUEUED, frm=(State.INTERRUPTED,))
        event_write(job, "Back in the queue.")
        wake_send()
