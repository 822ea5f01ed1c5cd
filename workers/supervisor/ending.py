"""How an attempt ends: finish, fail, try again later, pause, interrupt or cancel. Each end releases device and worker."""

import contextlib
import random
import signal
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.storage import placed_or_put_back
from apps.jobs.models import Job
from apps.jobs.services import job_move
from apps.jobs.states import State, Wish
from workers.engine.monitor.limits import oom_kills
from workers.engine.specs.base import Spec
from workers.engine.specs.errors import EngineError
from workers.runners.base import Runner
from workers.supervisor.attempt import Attempt, AttemptLost

MOST_ATTEMPTS = 3
ENDS_FOR_GOOD = (Wish.CANCEL, Wish.PAUSE)
"""Wishes that stand even if the child died before it heard of them."""
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

    @property
    def is_silent(self) -> bool:
        """The child said neither what came out nor why it ended."""
        return self.result is None and self.error is None and not self.stopped


@dataclass
class Ending:
    """The last part of one attempt; `asked` is the wish that the child was told.

    Each end happens in one transaction while the attempt is one's own; else AttemptLost leads out, and nothing changes.
    """

    attempt: Attempt
    runner: Runner
    asked: str = ""
    _oom_kills: tuple[int, ...] = field(default_factory=lambda: oom_kills())
    """As counted when the attempt began."""

    @property
    def job(self) -> Job:
        return self.attempt.job

    def end(self, spec: Spec, outcome: Outcome) -> None:
        asked = self._standing_wish() if outcome.result is None else ""
        if outcome.result is not None:
            self._end_succeeded(spec, outcome.result)
        elif outcome.stopped == Wish.CANCEL or (asked == Wish.CANCEL and outcome.error is None):
            self._discard_and_leave(State.CANCELLED, text="Cancelled.")
        elif outcome.stopped == Wish.PAUSE or (asked == Wish.PAUSE and outcome.is_silent):
            self._pause()
        elif outcome.stopped or asked == Wish.INTERRUPT:
            self._interrupt("Interrupted; it goes on when the studio starts again.")
        elif outcome.error is not None:
            self._end_error(outcome.error)
        else:
            self._end_crashed(outcome.exit_code)
        self.attempt.forget_output()

    def fail(self, code: str, message: str, hint: str, traceback: str = "") -> None:
        self._discard_and_leave(
            State.FAILED,
            text=message,
            error_code=code,
            error_message=message,
            error_hint=hint,
            error_traceback=traceback,
        )
        self.attempt.forget_output()

    def _standing_wish(self) -> str:
        """What the child was asked, or what the row asks and the child has not heard of any more."""
        row = self.attempt.rows().values("wish").first()
        if row is None:
            raise AttemptLost
        return row["wish"] if row["wish"] in ENDS_FOR_GOOD else self.asked

    def _end_succeeded(self, spec: Spec, result: dict[str, Any]) -> None:
        """Rows and artifact in one transaction: the job has succeeded exactly when its subject is ready."""
        try:
            with placed_or_put_back(), transaction.atomic():
                self.attempt.hold()
                self.runner.finish(self.job, spec, self.runner.result.from_json(result), str(self.attempt.out_dir))
                self.attempt.leave(State.SUCCEEDED, text="Done.", message="")
        except (AppError, EngineError) as error:
            self.fail(error.code, error.message, error.hint)

    def _end_error(self, error: dict[str, Any]) -> None:
        """Transient errors are tried again after a growing pause; others are final."""
        attempts = self._attempts_without_progress() + 1
        if error["transient"] and attempts < MOST_ATTEMPTS:
            pause_s = retry_pause_s(attempts)
            again = self.attempt.leave(
                State.QUEUED,
                frm=(State.RUNNING,),
                text=f"{error['message']} Tried again in {pause_s:.0f} s.",
                next_attempt_at=timezone.now() + timedelta(seconds=pause_s),
                attempts_without_progress=attempts,
                error_code=error["code"],
                error_message=error["message"],
                error_hint=error["hint"],
                waits_for="tries again after a passing error",
            )
            if again:
                return
        self.fail(error["code"], error["message"], error["hint"], error["traceback"])

    def _end_crashed(self, exit_code: int) -> None:
        """The child died without a word: killed by a signal, or by the system for its memory."""
        if exit_code == -signal.SIGKILL and oom_kills() != self._oom_kills:
            died, code, hint = "the system, because the machine's memory ran out", "out_of_memory", OOM_HINT
        else:
            died = f"signal {-exit_code}" if exit_code < 0 else f"exit code {exit_code}"
            code, hint = "crashed", CRASH_HINT
        attempts = self._attempts_without_progress() + 1
        if self.job.resumes and attempts < MOST_ATTEMPTS:
            text = f"The process was ended by {died}; going on from the last checkpoint."
            with transaction.atomic():
                if self.attempt.leave(State.INTERRUPTED, text=text, attempts_without_progress=attempts):
                    job_move(self.job, State.QUEUED, frm=(State.INTERRUPTED,))
            return
        self.fail(code, f"The job's process was ended by {died}.", hint)

    def _attempts_without_progress(self) -> int:
        """From the row: a checkpoint on the way has set it to none."""
        row = self.attempt.rows().values("attempts_without_progress").first()
        if row is None:
            raise AttemptLost
        return row["attempts_without_progress"]

    def _discard_and_leave(self, to: State, **values: Any) -> None:
        with transaction.atomic():
            self.attempt.hold()
            with contextlib.suppress(AppError):
                self.runner.discard(self.job)
            self.attempt.leave(to, **values)

    def _pause(self) -> None:
        if not self.attempt.leave(State.PAUSED, frm=(State.STOPPING,), text="Paused; it goes on from its checkpoint."):
            self._interrupt("Interrupted; it goes on when the studio starts again.")

    def _interrupt(self, text: str) -> None:
        self.attempt.leave(State.INTERRUPTED, text=text)


def retry_pause_s(attempt: int) -> float:
    """Seconds before attempt number `attempt` + 1: doubling, capped, with jitter so that many do not return at once."""
    pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** (attempt - 1))
    return pause * random.uniform(0.75, 1.25)
