"""One claimed job from prepare to finish. Only this code writes the job's row while it runs.

1. prepare: rows → Inputs; job.json is written into the attempt's folder.
2. the child runs; its lines become progress, metrics, checkpoints and events, at most twice a second.
3. wishes (from the row, or from a studio that drains) go to the child through control.json; after a grace period comes
   SIGTERM's elder sister.
4. the end: see ending.py.
"""

import json
import queue
import shutil
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.core.errors import AppError
from apps.core.secrets import secret_environment
from apps.core.storage import data_path
from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.services import event_write, publish_job
from apps.jobs.states import ON_WORKER, Wish
from workers.engine.specs.base import Spec
from workers.engine.specs.errors import EngineError
from workers.runners.base import Runner
from workers.runners.registry import runner_for
from workers.supervisor.child_process import ChildProcess
from workers.supervisor.claiming import is_draining
from workers.supervisor.ending import Ending, Outcome

FLUSH_EVERY_S = 0.5
BEAT_EVERY_S = 1.0
FAULT_HINT = "This is a fault of the studio; the trace below helps to find it."
GRACE_S = 10.0
"""From a wish that ends the work to SIGKILL; a drain must be over in 15 s."""


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
        ending = Ending(self.job, self.worker, self.runner, self.out_dir)
        try:
            self._attempt(warm, ending)
        except (AppError, EngineError) as error:
            ending.fail(error.code, error.message, error.hint)
        except Exception as error:  # noqa: BLE001 - one of the three places: a job must not stay "running" for ever
            ending.fail("unexpected", f"{type(error).__name__}: {error}", FAULT_HINT, traceback.format_exc())

    def _attempt(self, warm: ChildProcess | None, ending: Ending) -> None:
        spec, job_file = self._prepare()
        if warm is None:
            log = self.attempt_dir / "log.txt"
            child = ChildProcess([str(job_file)], log=log, environment=self._environment())
        else:
            child = warm
            child.ask({"job": str(job_file)})
        Job.objects.filter(pk=self.job.pk).update(pid=child.pid, pid_started=child.started)
        outcome = self._watch(child, is_warm=warm is not None)
        ending.asked = self._asked
        ending.end(spec, outcome)

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
                self._points.append({name: line[name] for name in ("member", "step", "values")})
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
