"""Supervising a job in the process of a command: `--wait` where no studio runs.

The job runs in a thread of this process; the main thread shows its progress and hears Ctrl-C, which interrupts the job
so that it goes on later.
"""

import threading
from collections.abc import Callable
from datetime import timedelta

from django.db import connection
from django.utils import timezone

from apps.jobs.models import Job, Worker
from apps.jobs.states import State
from workers.supervisor.claiming import claim
from workers.supervisor.reaping import interrupted_requeue, reap
from workers.supervisor.supervising import Supervision
from workers.supervisor.waking import worker_registered

SERVED_WITHIN = timedelta(seconds=15)


def is_served() -> bool:
    """A studio with workers lives somewhere on this database."""
    recent = timezone.now() - SERVED_WITHIN
    return Worker.objects.filter(role=Worker.Role.STUDIO, heartbeat_at__gt=recent, draining=False).exists()


def supervise_here(job: Job, *, on_beat: Callable[[Job], None] | None = None) -> None:
    """Run one attempt of `job` in this process; returns at once when it cannot start yet."""
    reap()
    if job.state == State.INTERRUPTED:
        interrupted_requeue()
    with worker_registered(Worker.Role.SUPERVISOR) as worker:
        claimed = claim(worker, job_id=job.pk)
        if claimed is None:
            return
        supervision = Supervision(claimed, worker, heeds_drain=False)
        thread = threading.Thread(target=_run, args=(supervision,), name=f"job-{job.pk}")
        thread.start()
        try:
            while thread.is_alive():
                thread.join(0.3)
                if on_beat is not None:
                    on_beat(Job.objects.get(pk=job.pk))
        except KeyboardInterrupt:
            supervision.interrupt_wanted = True
            thread.join()
            raise


def _run(supervision: Supervision) -> None:
    try:
        supervision.run()
    finally:
        connection.close()
