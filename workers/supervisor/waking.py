"""What a django-q2 message calls. It carries no work: the worker looks at the Job table and takes what is next."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.utils import timezone

from apps.core.troubles import ridden_out, tried
from apps.jobs.models import Worker
from workers.supervisor.claiming import HOST, claim
from workers.supervisor.processes import process_started
from workers.supervisor.supervising import Supervision
from workers.supervisor.warm import steer_serve
from workers.watchdog import studio_is_gone


def wake() -> None:
    """Take jobs until none can start."""
    with worker_registered(Worker.Role.SUPERVISOR) as worker:
        while job := ridden_out(lambda: claim(worker), give_up=studio_is_gone):
            if job.queue == "steer":
                steer_serve(worker, job)
            else:
                Supervision(job, worker).run()


@contextmanager
def worker_registered(role: str, *, give_up: Callable[[], bool] = studio_is_gone) -> Iterator[Worker]:
    """This process as a Worker row, for as long as it works. Waits for a database that takes no writes until `give_up()`."""
    pid = os.getpid()
    known = {
        "role": role,
        "pid_started": process_started(pid),
        "job": None,
        "draining": False,
        "warm_device": "",
        "warm_bytes": 0,
        "unload_wanted": False,
    }
    worker, _ = ridden_out(
        lambda: Worker.objects.update_or_create(host=HOST, pid=pid, defaults={**known, "heartbeat_at": timezone.now()}),
        give_up=give_up,
    )
    try:
        yield worker
    finally:
        tried(Worker.objects.filter(pk=worker.pk).delete)
