"""Claiming: the next job by (priority, id) among queues with a free slot on this host and devices with room.

One claim at a time: SQLite's IMMEDIATE transactions see to it, PostgreSQL takes an advisory lock. The conditional UPDATE
would keep two workers apart even so; the lock keeps slots and leases from being counted by two at once.
"""

import socket
from dataclasses import dataclass

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.troubles import disk_trouble, tried
from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.services import job_move
from apps.jobs.states import ON_WORKER, State
from workers.engine.monitor.devices import Device, devices
from workers.engine.specs.errors import EngineError
from workers.runners.registry import runner_for
from workers.watchdog import studio_is_gone

CLAIM_LOCK = 0x6D69_5374  # "miSt"
HOST = socket.gethostname()


@dataclass(frozen=True)
class Placement:
    """Where a job may run: a device, or the reason why it waits (`final`: it can never run here)."""

    device: str = ""
    reason: str = ""
    final: bool = False


def claim(worker: Worker, *, job_id: int | None = None, queues: tuple[str, ...] | None = None) -> Job | None:
    """Move the next due job to running for `worker` and lease its device; None when nothing can start.

    `job_id` takes only that job (a command that supervises its own job); slots do not bind it. On a full disk nothing
    starts, and the jobs that are due say so.
    """
    full = disk_trouble()
    if full is not None:
        waits_for = f"{full.message} {full.hint}"
        tried(lambda: _due(tuple(settings.SLOTS), job_id).exclude(waits_for=waits_for).update(waits_for=waits_for))
        return None
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("select pg_advisory_xact_lock(%s)", [CLAIM_LOCK])
        if job_id is None and is_draining():
            return None
        open_queues = tuple(settings.SLOTS) if job_id is not None else _queues_with_slots(worker)
        if queues is not None:
            open_queues = tuple(queue for queue in open_queues if queue in queues)
        for job in _due(open_queues, job_id):
            if _start(job, worker):
                return job
    return None


def is_draining() -> bool:
    """The studio of this host is going down, or is gone: nothing new starts."""
    return studio_is_gone() or Worker.objects.filter(host=HOST, role=Worker.Role.STUDIO, draining=True).exists()


def _due(queues: tuple[str, ...], job_id: int | None) -> QuerySet[Job]:
    due = Job.objects.filter(state=State.QUEUED, queue__in=queues)
    due = due.filter(Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=timezone.now()))
    if job_id is not None:
        due = due.filter(pk=job_id)
    return due.order_by("priority", "id")


def _queues_with_slots(worker: Worker) -> tuple[str, ...]:
    """Queues of which this host runs fewer jobs than it has slots; steering belongs to whoever holds the warm child."""
    running = Job.objects.filter(host=HOST, state__in=ON_WORKER)
    counts = {queue: running.filter(queue=queue).count() for queue in settings.SLOTS}
    held_elsewhere = Worker.objects.filter(host=HOST, role=Worker.Role.STEER).exclude(pk=worker.pk).exists()
    return tuple(
        queue
        for queue, slots in settings.SLOTS.items()
        if counts[queue] < slots and not (queue == "steer" and held_elsewhere)
    )


def _start(job: Job, worker: Worker) -> bool:
    """Place the job and move it to running. False when it waits on, or somebody else was first."""
    try:
        memory_bytes = runner_for(job.kind).memory_bytes(job.loaded_spec) if job.device_wish else 0
        placement = place(job.device_wish, memory_bytes, own=worker)
    except (AppError, EngineError) as error:
        _fail(job, error.code, error.message, error.hint)
        return False
    if placement.final:
        _fail(job, "out_of_memory", placement.reason, "Choose another device, or smaller sizes.")
        return False
    if placement.reason:
        Job.objects.filter(pk=job.pk, state=State.QUEUED).exclude(waits_for=placement.reason).update(
            waits_for=placement.reason
        )
        return False
    now = timezone.now()
    moved = job_move(
        job,
        State.RUNNING,
        frm=(State.QUEUED,),
        text=f"Started on {HOST}" + (f", {placement.device}." if placement.device else "."),
        host=HOST,
        attempt=job.attempt + 1,
        heartbeat_at=now,
        started_at=job.started_at or now,
        memory_bytes=memory_bytes,
        waits_for="",
        phase="starting",
        done=0,
        total=None,
        message="",
        phase_started_at=now,
        error_code="",
        error_message="",
        error_hint="",
        error_traceback="",
    )
    if not moved:
        return False
    if placement.device:
        DeviceLease.objects.create(host=HOST, device=placement.device, job=job, memory_bytes=memory_bytes)
    Worker.objects.filter(pk=worker.pk).update(job=job, heartbeat_at=now)
    return True


def _fail(job: Job, code: str, message: str, hint: str) -> None:
    job_move(
        job,
        State.FAILED,
        text=message,
        error_code=code,
        error_message=message,
        error_hint=hint,
        host=HOST,
        waits_for="",
    )


def place(wish: str, memory_bytes: int, *, own: Worker) -> Placement:
    """The device for a wish (auto, cpu, cuda:0; empty: none needed) with room for `memory_bytes`.

    auto prefers GPUs, the one with the most room first, and falls back to the CPU only where there is no GPU.
    """
    if not wish:
        return Placement()
    known = devices()
    candidates = [d for d in known if d.name == wish]
    if wish == "auto":
        gpus = [d for d in known if d.name != "cpu"]
        candidates = gpus or [d for d in known if d.name == "cpu"]
    if not candidates:
        names = ", ".join(d.name for d in known)
        return Placement(reason=f"There is no device {wish} on {HOST}; it has {names}.", final=True)
    if all(memory_bytes > d.total_bytes for d in candidates):
        largest = max(d.total_bytes for d in candidates)
        words = f"The job needs about {_gib(memory_bytes)}; {wish} has {_gib(largest)}."
        return Placement(reason=words, final=True)
    rooms = sorted(((_room(d, own), d.name) for d in candidates), reverse=True)
    room, name = rooms[0]
    if room >= memory_bytes:
        return Placement(device=name)
    Worker.objects.filter(host=HOST, warm_device__in=[d.name for d in candidates]).exclude(pk=own.pk).update(
        unload_wanted=True
    )
    return Placement(reason=f"waits for {name}: needs {_gib(memory_bytes)}, {_gib(max(room, 0))} free")


def _room(device: Device, own: Worker) -> int:
    """Bytes that may still be promised on a device. With nothing leased by us, what other programs hold counts in part
    only: they may be idle, and a job must not wait for ever on them."""
    leases = DeviceLease.objects.filter(host=HOST, device=device.name)
    leased = leases.aggregate(sum=Sum("memory_bytes"))["sum"] or 0
    warm = Worker.objects.filter(host=HOST, warm_device=device.name).exclude(pk=own.pk)
    leased += warm.aggregate(sum=Sum("warm_bytes"))["sum"] or 0
    if not leased:
        return device.total_bytes
    return min(device.total_bytes - leased, device.free_bytes)


def _gib(count: int) -> str:
    return f"{count / 2**30:.1f} GiB"
