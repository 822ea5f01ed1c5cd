import os
import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.models import OrmQ

from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.states import State
from tests.supervisor.conftest import make_job
from workers.supervisor import reaping
from workers.supervisor.attempt import out_dir
from workers.supervisor.claiming import HOST
from workers.supervisor.processes import process_is, process_started
from workers.supervisor.reaping import MOST_ATTEMPTS, dispatch, interrupted_requeue, reap

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


def running(*, silent_s: float = 0, host: str = HOST, **values) -> Job:
    job = make_job("train")
    beat = timezone.now() - timedelta(seconds=silent_s)
    Job.objects.filter(pk=job.pk).update(state=State.RUNNING, host=host, heartbeat_at=beat, attempt=1, **values)
    job.refresh_from_db()
    return job


def test_a_job_with_a_heartbeat_is_left_alone():
    job = running(silent_s=5)
    assert reap() == []
    job.refresh_from_db()
    assert job.state == State.RUNNING


def test_a_job_without_heartbeat_goes_back_into_the_queue():
    job = running(silent_s=60)
    DeviceLease.objects.create(host=HOST, device="cpu", job=job)
    reap()
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert not DeviceLease.objects.exists()


def test_a_job_whose_worker_process_died_is_requeued_at_once():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    job = running()
    Worker.objects.create(host=HOST, pid=gone.pid, pid_started="1.0", job=job, heartbeat_at=timezone.now())
    reap()
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert not Worker.objects.exists()


@pytest.mark.parametrize("silent_s", [60, 86_400])
def test_a_silent_job_whose_supervisor_lives_is_left_alone(worker, silent_s):
    job = running(silent_s=silent_s)
    Worker.objects.filter(pk=worker.pk).update(job=job)
    assert reap() == []
    job.refresh_from_db()
    assert (job.state, job.attempts_without_progress) == (State.RUNNING, 0)


def test_a_lost_attempt_leaves_no_output_and_no_worker_behind():
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    job = running()
    Worker.objects.create(host="another-host", pid=1, job=job, heartbeat_at=timezone.now())
    Worker.objects.create(host=HOST, pid=gone.pid, pid_started="1", job=job, heartbeat_at=timezone.now())
    out_dir(job.pk, 1).mkdir(parents=True)
    out_dir(job.pk, 2).mkdir()
    reap()
    assert not out_dir(job.pk, 1).exists() and out_dir(job.pk, 2).exists()
    assert not Worker.objects.filter(job=job).exists()


def test_a_reaper_that_comes_late_leaves_the_next_attempt_alone(monkeypatch):
    job = running(silent_s=60)
    found = reaping._is_lost

    def begin_the_next_attempt(read: Job) -> bool:
        lost = found(read)
        Job.objects.filter(pk=job.pk).update(attempt=2, heartbeat_at=timezone.now())
        return lost

    monkeypatch.setattr(reaping, "_is_lost", begin_the_next_attempt)
    assert reap() == []
    job.refresh_from_db()
    assert (job.state, job.attempt, job.attempts_without_progress) == (State.RUNNING, 2, 0)


def test_a_job_that_was_asked_to_pause_pauses_when_its_worker_dies():
    job = running(silent_s=60)
    Job.objects.filter(pk=job.pk).update(state=State.STOPPING, wish="pause")
    reap()
    job.refresh_from_db()
    assert job.state == State.PAUSED


def test_the_recorded_child_is_killed_before_its_job_is_requeued():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    job = running(silent_s=60, pid=child.pid, pid_started=process_started(child.pid))
    reap()
    assert child.wait(timeout=5) == -9
    job.refresh_from_db()
    assert job.state == State.QUEUED


def test_a_reused_pid_is_never_killed():
    running(silent_s=60, pid=os.getpid(), pid_started="1.0")
    reap()
    assert process_is(os.getpid(), process_started(os.getpid()))


def test_a_silent_job_of_another_host_waits_longer():
    job = running(silent_s=60, host="another-host")
    reap()
    job.refresh_from_db()
    assert job.state == State.RUNNING


def test_a_job_that_keeps_losing_its_worker_fails():
    job = running(silent_s=60, attempts_without_progress=MOST_ATTEMPTS - 1)
    reap()
    job.refresh_from_db()
    assert (job.state, job.error_code) == (State.FAILED, "worker_lost")


def test_a_cancelled_job_whose_worker_died_ends_as_cancelled():
    job = running(silent_s=60)
    Job.objects.filter(pk=job.pk).update(state=State.STOPPING, wish="cancel")
    reap()
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_interrupted_jobs_go_on_at_the_next_start():
    job = running()
    Job.objects.filter(pk=job.pk).update(state=State.INTERRUPTED)
    assert interrupted_requeue() == 1
    job.refresh_from_db()
    assert job.state == State.QUEUED


@pytest.mark.django_db(transaction=True)
def test_the_dispatcher_wakes_a_worker_for_a_job_whose_message_was_lost():
    job = make_job("train")
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(seconds=10))
    assert dispatch()
    assert OrmQ.objects.count() == 1


def test_the_dispatcher_is_quiet_while_every_slot_is_taken(settings):
    settings.SLOTS = {"gpu": 1, "cpu": 1, "io": 1, "steer": 1}
    running()
    job = make_job("train")
    Job.objects.filter(pk=job.pk).update(created_at=timezone.now() - timedelta(seconds=10))
    assert not dispatch()
