"""One claimed job from prepare to finish. Only this code writes the job's row while it runs, and only while
the attempt is its own (attempt.py).

1. prepare: rows → Inputs; job.json is written into the attempt's folder.
2. the child runs; its lines become rows at most twice a second: see telling.py.
3. wishes (from the row, or from a studio that drains) go to the child through control.json; after a grace period comes
   SIGTERM's elder sister.
4. the end: see ending.py.
"""

import json
import logging
import queue
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from django.db import transaction
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.secrets import secret_environment
from apps.core.troubles import ridden_out, tried
from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.states import Wish
from workers.engine.specs.base import Spec
from workers.engine.specs.errors import EngineError
from workers.runners.base import Runner
from workers.runners.registry import runner_for
from workers.supervisor.attempt import Attempt, AttemptLost
from workers.supervisor.child_process import ChildProcess
from workers.supervisor.claiming import is_draining
from workers.supervisor.ending import Ending
from workers.supervisor.telling import Telling

FLUSH_EVERY_S = 0.5
BEAT_EVERY_S = 1.0
FAULT_HINT = "This is a fault of the studio; the trace below helps to find it."
GRACE_S = 7.0
"""From a wish that ends the work to SIGKILL: shorter than the studio waits for its jobs when it drains."""

Answer = TypeVar("Answer")
log = logging.getLogger(__name__)


@dataclass
class Supervision:
    """One attempt of one job."""

    job: Job
    worker: Worker
    heeds_drain: bool = True
    """False for a command that supervises its own job: the studio's drain is not its business."""
    interrupt_wanted: bool = False
    attempt: Attempt = field(init=False)
    runner: Runner = field(init=False)
    telling: Telling = field(init=False)
    _child: ChildProcess | None = None
    """Once it has been asked to work on this attempt."""
    _asked: str = ""
    _asked_at: float = 0.0
    _wishes_heard: int = 0
    _control_number: int = 0
    _next_flush: float = 0.0
    _next_beat: float = 0.0

    def __post_init__(self) -> None:
        self.attempt = Attempt.of(self.job, self.worker)
        self.runner = runner_for(self.job.kind)
        self.telling = Telling(self.attempt, self.runner)

    # the whole attempt

    def run(self, warm: ChildProcess | None = None) -> None:
        """Supervise until the job has left the worker. `warm` is a serving child to use instead of a new one.

        Whenever an exception leads out of the attempt the child is killed, a warm one too, before the device is free.
        """
        ending = Ending(self.attempt, self.runner)
        try:
            self._attempt(warm, ending)
        except AttemptLost:
            self._child_kill()
            self._let_go()
        except (AppError, EngineError) as error:
            self._fail(ending, error.code, error.message, error.hint)
        except Exception as error:  # noqa: BLE001 - one of the three places: a job must not stay "running" for ever
            words = f"{type(error).__name__}: {error}"
            self._fail(ending, "unexpected", words, FAULT_HINT, traceback.format_exc())
        except BaseException:
            self._child_kill()
            raise

    def _attempt(self, warm: ChildProcess | None, ending: Ending) -> None:
        spec, job_file = self._ridden_out(self._prepare)
        if warm is None:
            own_log = self.attempt.folder / "log.txt"
            self._child = ChildProcess([str(job_file)], log=own_log, environment=self._environment())
        else:
            self._child = warm
            warm.ask({"job": str(job_file)})
        child = self._child
        started = child.started
        self._ridden_out(lambda: self.attempt.write(pid=child.pid, pid_started=started))
        self._watch(child)
        self._ridden_out(self.telling.write)
        ending.asked = self._asked
        self._ridden_out(lambda: ending.end(spec, self.telling.outcome))

    def _fail(self, ending: Ending, *words: str) -> None:
        self._child_kill()
        try:
            self._ridden_out(lambda: ending.fail(*words))
        except AttemptLost:
            self._let_go()

    def _child_kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def _let_go(self) -> None:
        """The job was taken away: nothing of it is touched but what this attempt alone has."""
        log.warning("job %s: attempt %s was taken away", self.job.pk, self.attempt.number)
        self.attempt.forget_output()
        self._ridden_out(lambda: Worker.objects.filter(pk=self.worker.pk, job=self.job).update(job=None))

    def _ridden_out(self, action: Callable[[], Answer]) -> Answer:
        """`action` once the database and the disk let it; a command that is interrupted does not wait for them."""
        return ridden_out(action, give_up=lambda: self.interrupt_wanted)

    def _prepare(self) -> tuple[Spec, Path]:
        self.attempt.folder.mkdir(parents=True, exist_ok=True)
        self.attempt.forget_output()
        self.attempt.out_dir.mkdir(parents=True)
        spec = self.job.loaded_spec
        lease = DeviceLease.objects.filter(job=self.job).first()
        where = {
            "job_dir": str(self.attempt.job_dir),
            "out_dir": str(self.attempt.out_dir),
            "device": lease.device if lease else "cpu",
        }
        inputs = self.runner.prepare(self.job, spec, where)
        job_file = self.attempt.folder / "job.json"
        job_file.write_text(
            json.dumps(
                {
                    "job": self.job.pk,
                    "attempt": self.attempt.number,
                    "kind": self.job.kind,
                    "spec": spec.to_json(),
                    "inputs": inputs.to_json(),
                    "control": str(self._control),
                },
                indent=1,
            )
        )
        return spec, job_file

    def _environment(self) -> dict[str, str]:
        """Secrets reach the child by environment only: never a file, a row or a log."""
        return secret_environment()

    # while the child runs

    def _watch(self, child: ChildProcess) -> None:
        """Read lines until the child ends, or says that it has ended with this attempt (a warm one)."""
        while True:
            try:
                line = child.next_line(0.2)
            except queue.Empty:
                line = {}
            if line is None:
                self.telling.outcome.exit_code = child.wait()
                return
            if line and self.telling.take(line):
                return
            now = time.monotonic()
            if now >= self._next_flush or self.telling.is_pressing:
                self._next_flush = now + FLUSH_EVERY_S
                tried(self.telling.write)
            if now >= self._next_beat:
                self._next_beat = now + BEAT_EVERY_S
                self._beat(child)

    def _beat(self, child: ChildProcess) -> None:
        """Heartbeat, then wishes; after the grace period the child is killed. A database or disk that is not to be had
        for a while is met again at the next beat; what the child was asked before still has its end."""
        tried(self._heartbeat)
        tried(child.log_trim)
        tried(self._hear_wish)
        ends = self._asked not in ("", Wish.CHECKPOINT, Wish.FINISH)
        if ends and time.monotonic() - self._asked_at > GRACE_S:
            child.kill()

    def _heartbeat(self) -> None:
        now = timezone.now()
        with transaction.atomic():
            self.attempt.write(heartbeat_at=now)
            Worker.objects.filter(pk=self.worker.pk).update(heartbeat_at=now)

    def _hear_wish(self) -> None:
        if self.telling.wishes_done > self._wishes_heard:
            self._wishes_heard, self._asked = self.telling.wishes_done, ""
        wish = self._standing_wish()
        if wish and wish != self._asked:
            self._ask(wish)

    def _standing_wish(self) -> str:
        """The wish on the row; a drain asks to interrupt whatever does not end by itself already."""
        row = self.attempt.rows().values("wish").first()
        if row is None:
            raise AttemptLost
        wish = row["wish"]
        drains = self.interrupt_wanted or (self.heeds_drain and is_draining())
        if drains and wish in (Wish.NONE, Wish.CHECKPOINT, Wish.FINISH):
            return Wish.INTERRUPT
        return wish

    @property
    def _control(self) -> Path:
        return self.attempt.folder / "control.json"

    def _ask(self, wish: str) -> None:
        draft = self._control.with_suffix(".draft")
        draft.write_text(json.dumps({"wish": wish, "number": self._control_number + 1}))
        draft.rename(self._control)
        self._control_number += 1
        self._asked, self._asked_at = wish, time.monotonic()
