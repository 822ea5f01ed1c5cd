"""The base of commands that start a job: arguments from the Spec, `--wait` with a progress bar, `--json`.

With `--wait` and no live worker to serve the job, the command supervises it itself.
"""

import json
import sys
import time
from typing import Any, ClassVar

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from apps.core.commands import StudioCommand
from apps.core.spec_arguments import add_spec_arguments, spec_from_arguments
from apps.jobs.models import Job
from apps.jobs.selectors import job_json
from apps.jobs.states import ENDED, State
from workers.engine.specs.base import Spec
from workers.supervisor.foreground import is_served, supervise_here

BAR_WIDTH = 28


class JobCommand(StudioCommand):
    """Adds --wait and --json and follows a job to its end. Subclasses call `follow(job)`."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--wait", action="store_true", help="stay until the job has ended, with a progress bar")
        parser.add_argument("--json", action="store_true", help="print the job as one JSON object")

    def follow(self, job: Job, *, wait: bool, as_json: bool) -> Job:
        """Report the job; with `wait` see it to its end. CommandError (exit 1) when it failed or was cancelled."""
        if wait:
            job = job_wait(job, bar=None if as_json else ProgressBar())
        if as_json:
            self.stdout.write(json.dumps(job_json(job)))
        elif not wait:
            self.stdout.write(f"{job.title}: job {job.pk} is {job.state}.")
        else:
            self.stdout.write(f"{job.title}: {job.state}.")
        if job.state in (State.FAILED, State.CANCELLED):
            raise CommandError(f"{job.error_message or 'The job was cancelled.'} {job.error_hint}".strip())
        return job


class SpecCommand(JobCommand):
    """A command that starts one job from a Spec. Subclasses set `spec_class` and `start`, and `show` for an answer in words."""

    spec_class: ClassVar[type[Spec]]

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_spec_arguments(parser, self.spec_class)

    def start(self, spec: Any) -> Job:
        """Call the service; the job it enqueued."""
        raise NotImplementedError

    def show(self, job: Job) -> None:
        """With --wait, print what a job that succeeded has found, below its last word."""

    def handle(self, *args: Any, **options: Any) -> None:
        job = self.start(spec_from_arguments(self.spec_class, options))
        job = self.follow(job, wait=options["wait"], as_json=options["json"])
        if job.state == State.SUCCEEDED and not options["json"]:
            self.show(job)


class ProgressBar:
    """One line on the terminal that redraws itself; on a pipe, one line for each phase."""

    def __init__(self, title: str = "") -> None:
        self._is_terminal = sys.stderr.isatty()
        self._title = title
        self._phase = ""

    def show(self, job: Job) -> None:
        """Draw the job's present state."""
        title = self._title or job.title
        if not self._is_terminal:
            if job.phase != self._phase:
                self._phase = job.phase
                print(f"{title}: {job.phase}", file=sys.stderr, flush=True)
            return
        percent = job.percent or 0
        filled = BAR_WIDTH * percent // 100
        left = job.seconds_left(timezone.now())
        total = f" / {job.total:,}" if job.total else ""
        words = f"{job.phase} {job.done:,}{total} {job.unit}" if job.phase else job.waits_for or job.state
        eta = f", {left:.0f} s left" if left else ""
        line = f"{title} [{'█' * filled}{'·' * (BAR_WIDTH - filled)}] {percent:3d} %  {words}{eta}  {job.message}"
        print(f"\r\033[K{line[:160]}", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leave the line."""
        if self._is_terminal:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def job_wait(job: Job, *, bar: ProgressBar | None = None, poll_s: float = 0.3) -> Job:
    """See a job to its end, supervising it here when no worker serves its queue."""
    while True:
        job.refresh_from_db()
        if bar is not None:
            bar.show(job)
        if job.state in ENDED or job.state == State.PAUSED:
            break
        if job.state in (State.QUEUED, State.INTERRUPTED) and not is_served():
            supervise_here(job, on_beat=bar.show if bar else None)
        time.sleep(poll_s)
    if bar is not None:
        bar.close()
    return job
