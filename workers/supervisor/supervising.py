"""One claimed job from prepare to finish. Only this code writes the job's row while it runs.

1. prepare: rows → Inputs; job.json is written into the attempt's folder.
2. the child runs; its lines become progress, metrics, checkpoints and events, at most twice a second.
3. wishes (from the row, or from a studio that drains) go to the child through control.json; after a grace period comes
   SIGTERM's elder sister.
4. the end: finish, fail, retry later, pause, interrupt or cancel.
"""

import contextlib
import json
import queue
import random
import shutil
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from apps.core.secrets import secret_environment
from django.db import transaction
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.storage import data_path
from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.services import event_write, job_move, publish_job
from apps.jobs.states import ON_WORKER, State, Wish
from workers.engine.specs.base import Spec
from workers.engine.specs.errors import EngineError
from workers.runners.base import Runner
from workers.runners.registry import runner_for
from workers.supervisor.child_process import ChildProcess
from workers.supervisor.claiming import is_draining

FLUSH_EVERY_S = 0.5
BEAT_EVERY_S = 1.0
GRACE_S = 10.0
"""From a wish that ends the work to SIGKILL; a drain must be over in 15 s."""
MOST_ATTEMPTS = 3
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 600.0


@dataclass
class Outcome:
    """What the child said last; all empty when it died without a word."""

    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    stopped: str = ""
    exit_code: int = 0


@dataclass
class Supervision:
    """One attempt of one job."""

    job: Job
    worker: Worker
    heeds_drain: bool = True
    """False for a command that supervises its own job: the studio's drain is not its business."""
    runner: Runner = field(init=False)
    _asked: str = ""
    _asked_at: float = 0.0
    _control_number: int = 0
    _progress: dict[str, Any] | None = None
    _points: list[dict[str, Any]] = field(default_factory=list)
    _next_flush: float = 0.0
    _next_beat: float = 0.0
    interrupt_wanted: bool = False

    def __post_init__(self) -> None:
        self.runner = runner_for(self.job.kind)

    # folders

    @property
    def job_dir(self) -> Path:
        return data_path("jobs", self.job.pk)

    @property
    def attempt_dir(self) -> Path:
        return self.job_dir / f"attempt-{self.job.attempt}"

    @property
    def out_dir(self) -> Path:
        return data_path("tmp", f"job-{self.job.pk}")

    # the whole attempt

    def run(self, warm: ChildProcess | None = None) -> None:
        """Supervise until the job has left the worker. `warm` is a serving child to use instead of a new one."""
        try:
            spec, job_file = self._prepare()
        except (AppError, EngineError) as error:
            self._end_failed(error.code, error.message, error.hint)
            return
        if warm is None:
            log = self.attempt_dir / "log.txt"
            child = ChildProcess([str(job_file)], log=log, environment=self._environment())
        else:
            child = warm
            child.ask({"job": str(job_file)})
        Job.objects.filter(pk=self.job.pk).update(pid=child.pid, pid_started=child.started)
        outcome = self._watch(child, is_warm=warm is not None)
        self._end(spec, outcome)

    def _prepare(self) -> tuple[Spec, Path]:
        self.attempt_dir.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.out_dir, ignore_errors=True)
        self.out_dir.mkdir(parents=True)
        control = self.job_dir / "control.json"
        control.unlink(missing_ok=True)
        spec = self.job.loaded_spec
        lease = DeviceLease.objects.filter(job=self.job).first()
        where = {
            "job_dir": str(self.job_dir),
            "out_dir": str(self.out_dir),
            "device": lease.device if lease else "cpu",
        }
        inputs = self.runner.prepare(self.job, spec, where)
        job_file = self.attempt_dir / "job.json"
        job_file.write_text(
            json.dumps(
                {
                    "kind": self.job.kind,
                    "spec": spec.to_json(),
                    "inputs": inputs.to_json(),
                    "control": str(control),
                },
                indent=1,
            )
        )
        return spec, job_file

    def _environment(self) -> dict[str, str]:
        """Secrets reach the child by environment only: never a file, a row or a log."""
        return secret_environment()

    # while the child runs

    def _watch(self, child: ChildProcess, *, is_warm: bool) -> Outcome:
        """Read lines until the child ends (a warm one: until it says "end")."""
        outcome = Outcome()
        while True:
            try:
                line = child.next_line(0.2)
            except queue.Empty:
                line = {}
            if line is None:
                outcome.exit_code = child.wait()
                break
            self._take(line, outcome)
            if is_warm and line.get("t") == "end":
                break
            now = time.monotonic()
            if now >= self._next_flush:
                self._next_flush = now + FLUSH_EVERY_S
                self._flush()
            if now >= self._next_beat:
                self._next_beat = now + BEAT_EVERY_S
                self._beat(child)
        self._flush()
        return outcome

    def _take(self, line: dict[str, Any], outcome: Outcome) -> None:
        match line.get("t"):
            case "progress":
                self._progress = line
            case "metrics":
                self._points.append({"step": line["step"], "values": line["values"]})
            case "event":
                event_write(self.job, line["text"], level=line["level"])
            case "checkpoint":
                self._take_checkpoint(line)
            case "wish_done":
                Job.objects.filter(pk=self.job.pk, wish=line["wish"]).update(wish=Wish.NONE)
                self._asked = ""
            case "result":
                outcome.result = line["result"]
            case "error":
                outcome.error = line
            case "stopped":
                outcome.stopped = line["wish"]

    def _take_checkpoint(self, line: dict[str, Any]) -> None:
        self._flush()
        with transaction.atomic():
            Job.objects.filter(pk=self.job.pk).update(checkpoint_step=line["step"], attempts_without_progress=0)
            self.runner.checkpoint(self.job, line)
            publish_job(self.job)

    def _flush(self) -> None:
        """Write what has come in since the last time, in one short transaction."""
        progress, points = self._progress, self._points
        if progress is None and not points:
            return
        self._progress, self._points = None, []
        with transaction.atomic():
            if progress is not None:
                self._write_progress(progress)
            if points:
                self.runner.metrics(self.job, points)
            publish_job(self.job)

    def _write_progress(self, line: dict[str, Any]) -> None:
        values = {
            "phase": line["phase"][:80],
            "done": line["done"],
            "total": line["total"],
            "unit": line["unit"][:20],
            "message": line["message"][:300],
        }
        if line["phase"] != self.job.phase:
            values["phase_started_at"] = timezone.now()
        for name, value in values.items():
            setattr(self.job, name, value)
        Job.objects.filter(pk=self.job.pk).update(**values)

    def _beat(self, child: ChildProcess) -> None:
        """Heartbeat, then wishes; after the grace period the child is killed."""
        now = timezone.now()
        Job.objects.filter(pk=self.job.pk, state__in=ON_WORKER).update(heartbeat_at=now)
        Worker.objects.filter(pk=self.worker.pk).update(heartbeat_at=now)
        child.log_trim()
        wish = self._standing_wish()
        if wish and wish != self._asked:
            self._ask(wish)
        ends = self._asked not in ("", Wish.CHECKPOINT, Wish.FINISH)
        if ends and time.monotonic() - self._asked_at > GRACE_S:
            child.kill()

    def _standing_wish(self) -> str:
        """The wish on the row; a drain asks to interrupt whatever does not end by itself already."""
        row = Job.objects.filter(pk=self.job.pk).values("wish").first()
        if row is None:
            return Wish.CANCEL
        wish = row["wish"]
        drains = self.interrupt_wanted or (self.heeds_drain and is_draining())
        if drains and wish in (Wish.NONE, Wish.CHECKPOINT, Wish.FINISH):
            return Wish.INTERRUPT
        return wish

    def _ask(self, wish: str) -> None:
        self._asked, self._asked_at = wish, time.monotonic()
        self._control_number += 1
        control = self.job_dir / "control.json"
        draft = control.with_suffix(".draft")
        draft.write_text(json.dumps({"wish": wish, "number": self._control_number}))
        draft.rename(control)

    # the end

    def _end(self, spec: Spec, outcome: Outcome) -> None:
        if outcome.result is not None:
            self._end_succeeded(spec, outcome.result)
        elif outcome.stopped == Wish.CANCEL or (self._asked == Wish.CANCEL and outcome.error is None):
            self._release()
            self.runner.discard(self.job)
            job_move(self.job, State.CANCELLED, frm=(State.STOPPING, State.RUNNING), text="Cancelled.")
            self._forget_output()
        elif outcome.stopped == Wish.PAUSE:
            self._release()
            job_move(self.job, State.PAUSED, frm=(State.STOPPING,), text="Paused; it goes on from its checkpoint.")
        elif outcome.stopped or self._asked == Wish.INTERRUPT:
            self._release()
            self._interrupt("Interrupted; it goes on when the studio starts again.")
        elif outcome.error is not None:
            self._end_error(outcome.error)
        else:
            self._end_crashed(outcome.exit_code)

    def _end_succeeded(self, spec: Spec, result: dict[str, Any]) -> None:
        """Rows and artifact in one transaction: the job has succeeded exactly when its subject is ready."""
        self._release()
        try:
            with transaction.atomic():
                self.runner.finish(self.job, spec, self.runner.result.from_json(result), str(self.out_dir))
                moved = job_move(
                    self.job,
                    State.SUCCEEDED,
                    frm=(State.RUNNING, State.STOPPING),
                    text="Done.",
                    message="",
                )
                if not moved:
                    raise AppError("not_running", "The job was taken away while it finished.", "Start it again.")
        except (AppError, EngineError) as error:
            self._end_failed(error.code, error.message, error.hint)
            return
        self._forget_output()

    def _end_error(self, error: dict[str, Any]) -> None:
        """Transient errors are tried again after a growing pause; others are final."""
        attempts = self.job.attempts_without_progress + 1
        if error["transient"] and attempts < MOST_ATTEMPTS:
            pause_s = retry_pause_s(attempts)
            self._release()
            self._forget_output()
            event_write(self.job, f"{error['message']} Tried again in {pause_s:.0f} s.", level="warning")
            job_move(
                self.job,
                State.QUEUED,
                frm=(State.RUNNING,),
                next_attempt_at=timezone.now() + timedelta(seconds=pause_s),
                attempts_without_progress=attempts,
                error_code=error["code"],
                error_message=error["message"],
                error_hint=error["hint"],
                waits_for="tries again after a passing error",
            )
            return
        self._end_failed(error["code"], error["message"], error["hint"], error["traceback"])

    def _end_crashed(self, exit_code: int) -> None:
        """The child died without a word: killed by a signal, or by the system for its memory."""
        died = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
        self.job.refresh_from_db()
        attempts = self.job.attempts_without_progress + 1
        Job.objects.filter(pk=self.job.pk).update(attempts_without_progress=attempts)
        if self.job.resumes and attempts < MOST_ATTEMPTS:
            self._release()
            self._interrupt(f"The process ended by {died}; going on from the last checkpoint.")
            job_move(self.job, State.QUEUED, frm=(State.INTERRUPTED,))
            return
        self._end_failed(
            "crashed",
            f"The job's process ended by {died}.",
            "If it was signal 9, the machine was probably out of memory: choose smaller sizes. The log may say more.",
        )

    def _end_failed(self, code: str, message: str, hint: str, traceback: str = "") -> None:
        self._release()
        with contextlib.suppress(AppError):
            self.runner.discard(self.job)
        job_move(
            self.job,
            State.FAILED,
            frm=(State.RUNNING, State.STOPPING),
            text=message,
            error_code=code,
            error_message=message,
            error_hint=hint,
            error_traceback=traceback,
        )
        self._forget_output()

    def _interrupt(self, text: str) -> None:
        job_move(self.job, State.INTERRUPTED, frm=(State.RUNNING, State.STOPPING), text=text)

    def _release(self) -> None:
        """Give the device back and forget the process."""
        DeviceLease.objects.filter(job=self.job).delete()
        Worker.objects.filter(pk=self.worker.pk).update(job=None)
        Job.objects.filter(pk=self.job.pk).update(pid=None, pid_started=None)

    def _forget_output(self) -> None:
        shutil.rmtree(self.out_dir, ignore_errors=True)


def retry_pause_s(attempt: int) -> float:
    """Seconds before attempt number `attempt` + 1: doubling, capped, with jitter so that many do not return at once."""
    pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (attempt - 1))
    return pause * random.uniform(0.75, 1.25)
