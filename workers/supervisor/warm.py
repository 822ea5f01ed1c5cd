"""The warm child: steering keeps one between jobs, with its model loaded, so that the next answer comes at once.

The supervisor that took a steering job holds the steer role: it goes on taking steering jobs until none came for
WARM_IDLE_S, another job wants the device, or the studio drains. Then the child ends and the role is free.
"""

import time
from functools import partial

from django.conf import settings
from django.utils import timezone

from apps.core.secrets import secret_environment
from apps.core.storage import data_path
from apps.core.troubles import ridden_out
from apps.jobs.models import DeviceLease, Job, Worker
from workers.supervisor.child_process import ChildProcess
from workers.supervisor.claiming import claim, is_draining
from workers.supervisor.supervising import Supervision
from workers.watchdog import studio_is_gone

POLL_S = 0.1


def steer_serve(worker: Worker, job: Job) -> None:
    """Run `job`, then further steering jobs, on one warm child."""
    child = _start()
    try:
        while True:
            if not child.is_alive:
                child = _start()
            ridden_out(partial(_warm_write, worker, job))
            Supervision(job, worker).run(warm=child)
            following = _next(worker)
            if following is None:
                break
            job = following
    finally:
        child.end()
        free = {"role": Worker.Role.SUPERVISOR, "warm_device": "", "warm_bytes": 0, "unload_wanted": False}
        ridden_out(lambda: Worker.objects.filter(pk=worker.pk).update(**free), give_up=studio_is_gone)


def _warm_write(worker: Worker, job: Job) -> None:
    """The worker holds the steer role and, while its child lives, the job's device."""
    lease = DeviceLease.objects.filter(job=job).first()
    held = {"warm_device": lease.device, "warm_bytes": lease.memory_bytes} if lease else {}
    Worker.objects.filter(pk=worker.pk).update(role=Worker.Role.STEER, unload_wanted=False, **held)


def _start() -> ChildProcess:
    log = data_path("jobs", "warm", "log.txt")
    return ChildProcess(["--serve"], log=log, environment=secret_environment())


def _next(worker: Worker) -> Job | None:
    """The next steering job, None when it is time to let the child go."""
    until = time.monotonic() + settings.WARM_IDLE_S
    next_beat = 0.0
    while time.monotonic() < until:
        job = ridden_out(lambda: claim(worker, queues=("steer",)), give_up=studio_is_gone)
        if job is not None:
            return job
        if time.monotonic() >= next_beat:
            next_beat = time.monotonic() + 1.0
            if ridden_out(lambda: _is_over(worker), give_up=studio_is_gone):
                return None
        time.sleep(POLL_S)
    return None


def _is_over(worker: Worker) -> bool:
    """Heartbeat; whether the studio drains or another job wants the device."""
    Worker.objects.filter(pk=worker.pk).update(heartbeat_at=timezone.now())
    return is_draining() or Worker.objects.filter(pk=worker.pk, unload_wanted=True).exists()
