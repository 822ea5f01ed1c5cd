"""One attempt from claim to end, with a child that says what the test wants (its lines are the real protocol)."""

import contextlib
import itertools
import json
import queue
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from apps.core import troubles
from apps.core.errors import AppError
from apps.core.storage import artifact_place, data_path
from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.services import job_cancel, job_pause
from apps.jobs.states import State, Wish
from tests.supervisor.conftest import make_job
from workers.engine.specs.kinds import INPUTS
from workers.runners.base import Runner
from workers.supervisor import ending, supervising, warm
from workers.supervisor.attempt import out_dir
from workers.supervisor.claiming import HOST, claim
from workers.supervisor.ending import MOST_ATTEMPTS, retry_pause_s
from workers.supervisor.reaping import reap
from workers.supervisor.supervising import Supervision
from workers.supervisor.warm import steer_serve

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("fresh_data_dir")]


class SpokenChild:
    """Stands for a child process: hands out prepared lines, then None, then its exit code."""

    pid = 0
    started = ""

    def __init__(self, *lines, exit_code=0):
        self.lines = [*lines, None]
        self.exit_code = exit_code
        self.whose = {}
        self.was_killed = False

    def ask(self, request):
        job = json.loads(Path(request["job"]).read_text())
        self.whose = {"job": job["job"], "attempt": job["attempt"]}

    def next_line(self, timeout_s):
        if not self.lines:
            raise queue.Empty
        line = self.lines.pop(0)
        line = line() if callable(line) else line
        return line and self.whose | line

    def log_trim(self): ...

    @property
    def is_alive(self):
        return not self.was_killed

    def kill(self):
        self.was_killed = True

    def end(self):
        self.kill()

    def wait(self):
        return self.exit_code


class PlainRunner(Runner):
    """Prepares nothing and remembers what it was told."""

    def __init__(self):
        self.points, self.discarded, self.finished = [], False, None
        self.refuse = None

    class result:
        from_json = staticmethod(dict)

    def memory_bytes(self, spec):
        return 0

    def prepare(self, job, spec, where):
        if self.refuse:
            raise self.refuse
        return INPUTS[job.kind](**where)

    def finish(self, job, spec, result, out_dir):
        if self.refuse:
            raise self.refuse
        self.finished = result

    def metrics(self, job, points):
        self.points += points

    def discard(self, job):
        self.discarded = True


@pytest.fixture
def runner(monkeypatch, has_devices):
    plain = PlainRunner()
    monkeypatch.setattr(supervising, "runner_for", lambda kind: plain)
    monkeypatch.setattr("workers.supervisor.claiming.runner_for", lambda kind: plain)
    return plain


@pytest.fixture
def attempt(worker, runner):
    """Claim a fresh job of a kind (or a given one) and run one attempt in which the child says these lines."""

    def run(*lines, exit_code=0, kind="train", job=None, before=None, child=None):
        job = job or make_job(kind)
        claimed = claim(worker)
        assert claimed.pk == job.pk
        if before is not None:
            before(claimed)
        Supervision(claimed, worker).run(warm=child or SpokenChild(*lines, exit_code=exit_code))
        job.refresh_from_db()
        return job

    return run


def error_line(*, transient=False):
    return {"t": "error", "code": "e", "message": "M.", "hint": "H.", "traceback": "T", "transient": transient}


def test_a_result_ends_the_job_as_succeeded_and_reaches_the_runner(attempt, runner):
    job = attempt({"t": "result", "result": {"tokens": 3}})
    assert job.state == State.SUCCEEDED
    assert job.percent == 100
    assert runner.finished == {"tokens": 3}


def test_an_error_ends_the_job_with_code_message_hint_and_traceback(attempt, runner):
    job = attempt(error_line(), exit_code=1)
    assert (job.state, job.error_code, job.error_message, job.error_hint) == (State.FAILED, "e", "M.", "H.")
    assert job.error_traceback == "T"
    assert runner.discarded


def test_a_runner_that_refuses_fails_the_job_before_any_child_starts(attempt, runner):
    runner.refuse = AppError("gone", "The cache was deleted.", "Make it again.")
    assert attempt().error_message == "The cache was deleted."


def test_a_runner_that_cannot_finish_fails_the_job(attempt, runner):
    def refuse_later(job):
        runner.finish = lambda *a: (_ for _ in ()).throw(AppError("full", "The disk is full.", "Free some."))

    job = attempt({"t": "result", "result": {}}, before=refuse_later)
    assert (job.state, job.error_code) == (State.FAILED, "full")


@pytest.mark.parametrize("step", ["prepare", "finish"])
def test_a_fault_of_the_studio_fails_the_job_with_its_trace_and_does_not_leave_it_running(
    attempt, runner, worker, step
):
    def break_down(*args):
        raise ZeroDivisionError("by nothing")

    setattr(runner, step, break_down)
    job = attempt({"t": "result", "result": {}})
    assert (job.state, job.error_code, job.error_message) == (
        State.FAILED,
        "unexpected",
        "ZeroDivisionError: by nothing",
    )
    assert "break_down" in job.error_traceback
    worker.refresh_from_db()
    assert worker.job is None


def test_lines_of_another_job_or_attempt_are_dropped(attempt, runner, caplog):
    stale = {"t": "result", "result": {"text": "another's"}}
    job = attempt(
        stale | {"job": 999},
        {"t": "end", "code": 0} | {"attempt": 7},
        {"t": "event", "level": "info", "text": "Not mine."} | {"job": 999},
        {"t": "result", "result": {"text": "mine"}},
        {"t": "end", "code": 0},
        {"t": "result", "result": {"text": "too late"}},
    )
    assert (job.state, runner.finished) == (State.SUCCEEDED, {"text": "mine"})
    assert not job.events.filter(text="Not mine.").exists()
    assert sum("dropped a line" in record.message for record in caplog.records) == 3


def test_a_line_without_a_job_is_dropped(attempt, runner):
    child = SpokenChild({"t": "result", "result": {"text": "whose?"}}, exit_code=1)
    child.ask = lambda request: None
    job = attempt(child=child, kind="tokenize")
    assert (job.state, runner.finished) == (State.FAILED, None)


@pytest.mark.parametrize("step", ["metrics", "finish"])
def test_a_child_whose_attempt_is_left_by_an_exception_is_killed_before_its_device_is_free(attempt, runner, step):
    child = SpokenChild({"t": "metrics", "member": 0, "step": 1, "values": {}}, {"t": "result", "result": {}})
    leases_at_kill = []
    child.kill = lambda: leases_at_kill.append(DeviceLease.objects.count())

    def break_down(*args):
        raise ZeroDivisionError

    setattr(runner, step, break_down)
    job = attempt(child=child)
    assert job.state == State.FAILED
    assert leases_at_kill == [1]
    assert not DeviceLease.objects.exists()
    assert not out_dir(job.pk, 1).exists()


def test_after_a_failed_supervision_steering_goes_on_with_a_fresh_child(worker, runner, monkeypatch, settings):
    settings.WARM_IDLE_S = 0
    first, second = make_job("steer"), make_job("steer")
    children = []

    def start():
        lines = [{"t": "event", "level": "info"}] if not children else [{"t": "result", "result": {"text": "own"}}]
        children.append(SpokenChild(*lines, {"t": "end", "code": 0}))
        return children[-1]

    monkeypatch.setattr(warm, "_start", start)
    monkeypatch.setattr(warm, "_next", lambda worker: claim(worker, queues=("steer",)))
    steer_serve(worker, claim(worker))
    assert Job.objects.get(pk=first.pk).state == State.FAILED
    assert children[0].was_killed and len(children) == 2
    assert Job.objects.get(pk=second.pk).state == State.SUCCEEDED
    assert runner.finished == {"text": "own"}


def begin_the_next_attempt(job):
    """What the reaper and another supervisor do meanwhile."""
    DeviceLease.objects.filter(job=job).delete()
    Job.objects.filter(pk=job.pk).update(attempt=job.attempt + 1, host=HOST)
    DeviceLease.objects.create(host=HOST, device="cpu", job=job)
    out_dir(job.pk, job.attempt + 1).mkdir(parents=True)


RESULT = {"t": "result", "result": {}}


@pytest.mark.parametrize(
    "last",
    [[RESULT], [], [{"t": "stopped", "wish": "pause"}], [{"t": "error", "code": "e", "message": "M.", "hint": "",
      "traceback": "", "transient": False}], [{"t": "metrics", "member": 0, "step": 1, "values": {}}, RESULT]],
    ids=["result", "death", "pause", "error", "metrics"],
)  # fmt: skip
def test_a_supervisor_whose_job_was_taken_away_touches_nothing_of_the_next_attempt(attempt, runner, worker, last):
    taken = []

    def take_away():
        job = Job.objects.get()
        taken.append(job.attempt)
        begin_the_next_attempt(job)
        return {"t": "progress", "phase": "late", "done": 1, "total": 2, "unit": "", "message": ""}

    child = SpokenChild(take_away, *last, exit_code=-9)
    job = attempt(child=child)
    assert (job.state, job.attempt, job.phase) == (State.RUNNING, 2, "starting")
    assert (job.attempts_without_progress, runner.finished, runner.points) == (0, None, [])
    assert not runner.discarded
    assert job.lease and out_dir(job.pk, 2).exists() and not out_dir(job.pk, 1).exists()
    assert child.was_killed
    worker.refresh_from_db()
    assert worker.job is None


def test_a_death_that_the_reaper_has_counted_is_not_counted_again(attempt):
    def reap_first():
        Job.objects.update(host="another-host", heartbeat_at=timezone.now() - timedelta(hours=1))
        Job.objects.update(host="another-host")
        reap()
        return {}

    job = attempt(reap_first, exit_code=-9)
    assert (job.state, job.attempts_without_progress) == (State.QUEUED, 1)


def test_a_cancel_that_a_dying_child_did_not_hear_still_cancels(attempt, runner):
    def cancel():
        job_cancel(job=Job.objects.get())
        return {"t": "event", "level": "info", "text": "going on"}

    job = attempt(cancel, exit_code=-9)
    assert job.state == State.CANCELLED
    assert runner.discarded


def test_a_transient_error_of_a_job_that_is_stopping_ends_it(attempt):
    def finish():
        Job.objects.update(state=State.STOPPING, wish=Wish.FINISH)
        return error_line(transient=True)

    assert attempt(finish).state == State.FAILED


def test_an_artifact_whose_rows_could_not_be_written_goes_back_and_does_not_stay(attempt, runner):
    final = data_path("saes", 987)

    def place_then_fail(job, spec, result, out_dir):
        Path(out_dir, "weights").write_text("w")
        artifact_place(Path(out_dir), final)
        raise AppError("full", "It is full.", "Free some.")

    runner.finish = place_then_fail
    assert attempt(RESULT).state == State.FAILED
    assert not final.exists()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("words", ["database or disk is full", "database is locked"])
def test_a_database_that_takes_no_writes_for_a_while_loses_no_line_and_fails_no_job(
    attempt, runner, monkeypatch, words
):
    """Two of twelve writes are refused, whatever they write: heartbeats, lines, the end."""
    monkeypatch.setattr(supervising, "BEAT_EVERY_S", 0.0)
    monkeypatch.setattr(supervising, "FLUSH_EVERY_S", 0.0)
    monkeypatch.setattr(troubles, "RETRY_EVERY_S", 0.0)
    writes = itertools.count(1)

    def refuse(execute, sql, parameters, many, context):
        if sql.startswith(("UPDATE", "INSERT")) and next(writes) % 12 < 2:
            raise OperationalError(words)
        return execute(sql, parameters, many, context)

    told = [{"t": "metrics", "member": 0, "step": step, "values": {}} for step in range(20)]
    events = [{"t": "event", "level": "info", "text": f"event {number}"} for number in range(5)]
    stack = contextlib.ExitStack()
    job = attempt(
        *told, *events, {"t": "result", "result": {"n": 1}},
        before=lambda job: stack.enter_context(connection.execute_wrapper(refuse)),
    )  # fmt: skip
    stack.close()
    assert (job.state, job.error_message, runner.finished) == (State.SUCCEEDED, "", {"n": 1})
    assert {point["step"] for point in runner.points} == set(range(20))
    assert job.events.filter(text__startswith="event ").count() == 5
    assert next(writes) > 20


def test_progress_metrics_and_events_become_rows(attempt, runner):
    job = attempt(
        {"t": "progress", "phase": "training", "done": 5, "total": 10, "unit": "steps", "message": "hi"},
        {"t": "metrics", "member": 2, "step": 5, "values": {"loss": 1.0}},
        {"t": "event", "level": "warning", "text": "The batch was halved."},
        error_line(),
    )
    assert (job.phase, job.done, job.total, job.unit) == ("training", 5, 10, "steps")
    assert runner.points == [{"member": 2, "step": 5, "values": {"loss": 1.0}}]
    assert job.events.filter(level="warning", text="The batch was halved.").exists()


def test_a_transient_error_is_retried_with_growing_pauses_and_then_fails(attempt, runner):
    job = attempt(error_line(transient=True))
    assert job.state == State.QUEUED
    first_pause = job.next_attempt_at - timezone.now()
    assert 3 < first_pause.total_seconds() < 7
    for _ in range(MOST_ATTEMPTS - 1):
        Job.objects.filter(pk=job.pk).update(next_attempt_at=timezone.now())
        job = attempt(error_line(transient=True), job=job)
    assert (job.state, job.attempt) == (State.FAILED, MOST_ATTEMPTS)


def test_pauses_double_up_to_a_limit():
    assert 3.7 < retry_pause_s(1) < 6.3
    assert 15 < retry_pause_s(3) < 25
    assert retry_pause_s(30) <= 750


def test_a_resumable_child_killed_by_a_signal_goes_back_into_the_queue(attempt):
    job = attempt(exit_code=-9)
    assert job.state == State.QUEUED
    assert job.events.filter(text__contains="signal 9").exists()


def test_three_deaths_without_a_new_checkpoint_fail_the_job(attempt):
    job = attempt(exit_code=-9)
    for _ in range(2):
        job = attempt(exit_code=-9, job=job)
    assert (job.state, job.error_code) == (State.FAILED, "crashed")


def test_a_new_checkpoint_starts_the_count_of_deaths_again(attempt):
    checkpoint = {"t": "checkpoint", "step": 100, "path": "checkpoints/step-100", "bytes": 1, "values": {}}
    job = attempt(exit_code=-9)
    for _ in range(4):
        job = attempt(checkpoint, exit_code=-9, job=job)
    assert job.state == State.QUEUED
    assert job.checkpoint_step == 100


def test_a_killed_child_of_a_kind_that_cannot_resume_fails_with_a_hint_about_memory(attempt):
    job = attempt(exit_code=-9, kind="tokenize")
    assert (job.state, job.error_code) == (State.FAILED, "crashed")
    assert "memory" in job.error_hint


@pytest.mark.parametrize(("kind", "state"), [("tokenize", State.FAILED), ("train", State.QUEUED)])
def test_a_child_that_the_kernel_killed_for_memory_is_said_to_be_one(attempt, monkeypatch, kind, state):
    counts = iter([(0, 7), (1, 8)])
    monkeypatch.setattr(ending, "oom_kills", lambda: next(counts))
    job = attempt(exit_code=-9, kind=kind)
    assert job.state == state
    assert job.events.filter(text__contains="memory ran out").exists()
    if state == State.FAILED:
        assert job.error_code == "out_of_memory" and "smaller sizes" in job.error_hint


def test_another_signal_is_not_blamed_on_memory(attempt, monkeypatch):
    counts = iter([(0,), (1,)])
    monkeypatch.setattr(ending, "oom_kills", lambda: next(counts))
    job = attempt(exit_code=-11, kind="tokenize")
    assert (job.error_code, job.error_message) == ("crashed", "The job's process was ended by signal 11.")


def test_cancel_reaches_the_child_and_ends_as_cancelled(attempt, runner, monkeypatch):
    monkeypatch.setattr(supervising, "BEAT_EVERY_S", 0.0)
    job = attempt({}, {"t": "stopped", "wish": "cancel"}, exit_code=75, before=lambda job: job_cancel(job=job))
    assert job.state == State.CANCELLED
    assert runner.discarded
    assert job.wish == Wish.NONE


def test_pause_ends_as_paused_and_keeps_what_was_written(attempt, runner):
    job = attempt({}, {"t": "stopped", "wish": "pause"}, exit_code=75, before=lambda job: job_pause(job=job))
    assert job.state == State.PAUSED
    assert not runner.discarded


def test_a_draining_studio_interrupts_the_job(attempt, worker):
    def drain(job):
        Worker.objects.create(host=HOST, pid=1, role=Worker.Role.STUDIO, draining=True, heartbeat_at=timezone.now())

    job = attempt({}, {"t": "stopped", "wish": "interrupt"}, exit_code=75, before=drain)
    assert job.state == State.INTERRUPTED
