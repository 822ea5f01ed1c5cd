"""What a child tells on its way becomes rows: progress, metrics, events, checkpoints.

Lines are kept until a transaction that has them all went through: a database that takes no writes for a while loses
none. Lines of another job or attempt are dropped: a warm child may still say what nobody waits for.
"""

import logging
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.jobs.models import Job
from apps.jobs.services import event_write, publish_job
from apps.jobs.states import Wish
from workers.runners.base import Runner
from workers.supervisor.attempt import Attempt
from workers.supervisor.ending import Outcome

log = logging.getLogger(__name__)


@dataclass
class Telling:
    """The lines of one attempt: those that the rows do not say yet, and the last word."""

    attempt: Attempt
    runner: Runner
    outcome: Outcome = field(default_factory=Outcome)
    wishes_done: int = 0
    """How often the child fulfilled a wish that does not end its work."""
    dropped: int = 0
    """Lines of other jobs and attempts."""
    _progress: dict[str, Any] | None = None
    _points: list[dict[str, Any]] = field(default_factory=list)
    _steps: list[dict[str, Any]] = field(default_factory=list)
    """Events, checkpoints and fulfilled wishes, in order."""

    @property
    def is_pressing(self) -> bool:
        """Something came that shall be seen at once."""
        return bool(self._steps)

    def take(self, line: dict[str, Any]) -> bool:
        """Keep a line; True for the "end" of a warm child's work on this attempt."""
        if not self._is_own(line):
            self.dropped += 1
            log.warning(
                "job %s attempt %s: dropped a line of job %s attempt %s",
                *(self.attempt.job.pk, self.attempt.number, line.get("job"), line.get("attempt")),
            )
            return False
        match line.get("t"):
            case "progress":
                self._progress = line
            case "metrics":
                self._points.append({name: line[name] for name in ("member", "step", "values")})
            case "event" | "checkpoint" | "wish_done":
                self._steps.append(line)
            case "result":
                self.outcome.result = line["result"]
            case "error":
                self.outcome.error = line
            case "stopped":
                self.outcome.stopped = line["wish"]
            case "end":
                return True
        return False

    def _is_own(self, line: dict[str, Any]) -> bool:
        return (line.get("job"), line.get("attempt")) == (self.attempt.job.pk, self.attempt.number)

    def write(self) -> None:
        """Write what has come in since the last time, in one short transaction. AttemptLost when the job was taken away."""
        if self._progress is None and not self._points and not self._steps:
            return
        with transaction.atomic():
            self.attempt.hold()
            values = {} if self._progress is None else self._progress_values(self._progress)
            if values:
                self.attempt.write(**values)
            if self._points:
                self.runner.metrics(self.attempt.job, self._points)
            for line in self._steps:
                self._write_step(line)
            publish_job(self.attempt.job)
        for name, value in values.items():
            setattr(self.attempt.job, name, value)
        self.wishes_done += sum(line["t"] == "wish_done" for line in self._steps)
        self._progress, self._points, self._steps = None, [], []

    def _progress_values(self, line: dict[str, Any]) -> dict[str, Any]:
        values = {
            "phase": line["phase"][:80],
            "done": line["done"],
            "total": line["total"],
            "unit": line["unit"][:20],
            "message": line["message"][:300],
        }
        if values["phase"] != self.attempt.job.phase:
            values["phase_started_at"] = timezone.now()
        return values

    def _write_step(self, line: dict[str, Any]) -> None:
        job: Job = self.attempt.job
        match line["t"]:
            case "event":
                event_write(job, line["text"], level=line["level"])
            case "checkpoint":
                self.attempt.write(checkpoint_step=line["step"], attempts_without_progress=0)
                self.runner.checkpoint(job, line)
            case "wish_done":
                self.attempt.rows().filter(wish=line["wish"]).update(wish=Wish.NONE)
