import threading

import pytest
from django.db import connection
from django.utils import timezone

from apps.core import troubles
from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.states import State
from tests.supervisor.conftest import SPEC_VALUES, make_job
from workers.engine.specs.priorities import PRIORITIES
from workers.runners.base import Runner
from workers.supervisor.attempt import Attempt
from workers.supervisor.claiming import HOST, claim
from workers.supervisor.ending import Ending

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet_host(needs_bytes, has_devices):
    """A host with one CPU of 1000 bytes and jobs that need none."""


def test_every_kind_behind_a_busy_slot_is_taken_by_priority_then_age(settings, worker):
    settings.SLOTS = {"gpu": 1, "cpu": 1, "io": 1, "steer": 1}
    busy = [make_job(kind) for kind in ("train", "tokenize", "export", "steer")]
    for job in busy:
        Job.objects.filter(pk=job.pk).update(state=State.RUNNING, host=HOST)
    waiting = [make_job(kind) for kind in reversed(SPEC_VALUES)] + [make_job("train")]
    assert claim(worker) is None

    order = []
    Job.objects.filter(pk__in=[job.pk for job in busy]).update(state=State.SUCCEEDED)
    while job := claim(worker):
        order.append(job.pk)
        Job.objects.filter(pk=job.pk).update(state=State.SUCCEEDED)

    assert order == [job.pk for job in sorted(waiting, key=lambda j: (PRIORITIES[j.kind], j.pk))]


def test_a_queue_with_two_slots_runs_two_jobs_and_no_third(settings, worker):
    settings.SLOTS = {"gpu": 2, "cpu": 0, "io": 0, "steer": 0}
    for _ in range(3):
        make_job("train")
    assert claim(worker) and claim(worker)
    assert claim(worker) is None


def test_slots_are_counted_for_each_host(settings, worker):
    settings.SLOTS = {"gpu": 1, "cpu": 0, "io": 0, "steer": 0}
    elsewhere = make_job("train")
    Job.objects.filter(pk=elsewhere.pk).update(state=State.RUNNING, host="another-host")
    make_job("train")
    assert claim(worker) is not None


def test_a_changed_priority_changes_who_is_next(worker):
    make_job("train")
    urgent = make_job("train", priority=1)
    assert claim(worker).pk == urgent.pk


def test_a_job_that_is_to_be_tried_later_is_not_due(worker):
    job = make_job("train", next_attempt_at=timezone.now() + timezone.timedelta(seconds=60))
    assert claim(worker) is None
    Job.objects.filter(pk=job.pk).update(next_attempt_at=timezone.now())
    assert claim(worker).pk == job.pk


def test_on_a_full_disk_nothing_starts_and_jobs_say_so_until_there_is_room(worker, monkeypatch):
    job = make_job("train")
    monkeypatch.setattr(troubles, "disk_free_bytes", lambda: 0)
    assert claim(worker) is None
    assert claim(worker, job_id=job.pk) is None
    job.refresh_from_db()
    assert job.state == State.QUEUED and "disk" in job.waits_for and "goes on by itself" in job.waits_for
    monkeypatch.setattr(troubles, "disk_free_bytes", lambda: 2**40)
    assert claim(worker) == job


def test_nothing_starts_once_the_studio_is_gone(worker, monkeypatch):
    make_job("train")
    monkeypatch.setattr("workers.supervisor.claiming.studio_is_gone", lambda: True)
    assert claim(worker) is None


def test_a_draining_studio_starts_nothing(worker):
    make_job("train")
    Worker.objects.create(host=HOST, pid=1, role=Worker.Role.STUDIO, draining=True, heartbeat_at=timezone.now())
    assert claim(worker) is None


def test_auto_takes_the_gpu_with_the_most_room(worker, needs_bytes, has_devices):
    needs_bytes(300)
    has_devices(("cpu", 9000, 9000), ("cuda:0", 1000, 1000), ("cuda:1", 2000, 2000))
    job = make_job("train")
    claim(worker)
    assert job.lease.device == "cuda:1"


def test_auto_waits_and_says_for_what_when_no_device_has_room(settings, worker, needs_bytes, has_devices):
    settings.SLOTS = {"gpu": 2, "cpu": 0, "io": 0, "steer": 0}
    gib = 2**30
    needs_bytes(6 * gib)
    has_devices(("cpu", 10 * gib, 10 * gib))
    make_job("train")
    second = make_job("train")
    assert claim(worker) is not None
    assert claim(worker) is None
    second.refresh_from_db()
    assert second.state == State.QUEUED
    assert "needs 6.0 GiB, 4.0 GiB free" in second.waits_for


def test_a_job_that_no_device_can_hold_fails_with_the_numbers(worker, needs_bytes, has_devices):
    needs_bytes(50 * 2**30)
    has_devices(("cpu", 8 * 2**30, 8 * 2**30))
    job = make_job("train")
    assert claim(worker) is None
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "out_of_memory")
    assert "50.0 GiB" in job.error_message and "8.0 GiB" in job.error_message


def test_a_device_that_does_not_exist_fails_and_lists_what_does(worker):
    job = make_job("train", device_wish="cuda:7")
    claim(worker)
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert "cuda:7" in job.error_message and "cpu" in job.error_message


def test_a_waiting_job_asks_an_idle_warm_child_to_give_its_device_back(settings, worker, needs_bytes, has_devices):
    needs_bytes(600)
    warm = Worker.objects.create(
        host=HOST, pid=1, role=Worker.Role.STEER, warm_device="cpu", warm_bytes=500, heartbeat_at=timezone.now()
    )
    make_job("train")
    assert claim(worker) is None
    warm.refresh_from_db()
    assert warm.unload_wanted


def test_steering_belongs_to_the_worker_that_holds_the_warm_child(worker):
    make_job("steer")
    holder = Worker.objects.create(host=HOST, pid=1, role=Worker.Role.STEER, heartbeat_at=timezone.now())
    assert claim(worker) is None
    assert claim(holder, queues=("steer",)) is not None


def test_the_lease_ends_with_the_job(worker):
    make_job("train")
    job = claim(worker)
    assert DeviceLease.objects.filter(job=job).exists()
    Ending(Attempt.of(job, worker), Runner()).fail("x", "It failed.", "")
    assert not DeviceLease.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_four_threads_claim_forty_jobs_without_a_double(settings, worker):
    settings.SLOTS = {"gpu": 100, "cpu": 0, "io": 0, "steer": 0}
    for _ in range(40):
        make_job("train")
    taken: list[int] = []

    def take() -> None:
        while job := claim(worker):
            taken.append(job.pk)
        connection.close()

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 40
    assert len(set(taken)) == 40
