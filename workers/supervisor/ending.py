"""How an attempt ends: finish, fail, try again later, pause, interrupt or cancel. Each end releases device and worker."""

import contextlib
import random
import shutil
import signal
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core.errors import AppError
from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.services import event_write, job_move
from apps.jobs.states import State, Wish
from workers.engine.monitor.limits import oom_kills
from workers.engine.specs.base import Spec
from workers.engine.specs.errors import EngineError
from workers.runners.base import Runner

MOST_ATTEMPTS = 3
FIRST_PAUSE_S = 5.0
LONGEST_PAUSE_S = 600.0
CRASH_HINT = "If it was signal 9, the machine was probably out of memory: choose smaller sizes. The log may say more."
OOM_HINT = "Choose smaller sizes, or end other programs."


@dataclass
class Outcome:
    """What the child said last; all empty when it died without a word."""

    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    stopped: str = ""
    exit_code: int = 0


@dataclass
class Ending:
    """The last part of one attempt; `asked` is the wish that the child was told."""

    job: Job
    worker: Worker
    runner: Runner
    out_dir: Path
    asked: str = ""
    _oom_kills: tuple[int, ...] = field(default_factory=lambda: oom_kills())
    """As counted when the attempt began."""

    def end(self, spec: Spec, outcome: Outcome) -> None:
        if outcome.result is not None:
            self._end_succeeded(spec, outcome.result)
        elif outcome.stopped == Wish.CANCEL or (self.asked == Wish.CANCEL and outcome.error is None):
            self._release()
            self.runner.discard(self.job)
            job_move(self.job, State.CANCELLED, frm=(State.STOPPING, State.RUNNING), text="Cancelled.")
            self._forget_output()
        elif outcome.stopped == Wish.PAUSE:
            self._release()
            job_move(self.job, State.PAUSED, frm=(State.STOPPING,), text="Paused; it goes on from its checkpoint.")
        elif outcome.stopped or self.asked == Wish.INTERRUPT:
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
            self.fail(error.code, error.message, error.hint)
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
        self.fail(error["code"], error["message"], error["hint"], error["traceback"])

    def _end_crashed(self, exit_code: int) -> None:
        """The child died without a word: killed by a signal, or by the system for its memory."""
        if exit_code == -signal.SIGKILL and oom_kills() != self._oom_kills:
            died, code, hint = "the system, because the machine's memory ran out", "out_of_memory", OOM_HINT
        else:
            died = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
            code, hint = "crashed", CRASH_HINT
        self.job.refresh_from_db()
        attempts = self.job.attempts_without_progress + 1
        Job.objects.filter(pk=self.job.pk).update(attempts_without_progress=attempts)
        if self.job.resumes and attempts < MOST_ATTEMPTS:
            self._release()
            self._interrupt(f"The process was ended by {died}; going on from the last checkpoint.")
            job_move(self.job, State.QUEUED, frm=(State.INTERRUPTED,))
            return
        self.fail(code, f"The job's process was ended by {died}.", hint)

    def fail(self, code: str, message: str, hint: str, traceback: str = "") -> None:
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
