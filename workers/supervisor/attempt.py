"""One attempt of one job, and the one place that says whether it is still its supervisor's own.

A job can be taken away: the reaper requeues it when its supervisor seems dead, and another begins the next attempt.
Whatever a supervisor writes about a job is therefore an UPDATE of the row in this attempt; where it changes nothing, the
attempt is lost and AttemptLost leads out of it.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from apps.core.storage import data_path
from apps.jobs.models import DeviceLease, Job, Worker
from apps.jobs.services import job_move
from apps.jobs.states import ON_WORKER, State


class AttemptLost(Exception):
    """The job is no longer in this attempt: it was taken away, or its row is gone."""


@dataclass(frozen=True)
class Attempt:
    """Attempt number `number` of `job`, on a worker of `worker`."""

    job: Job
    worker: Worker
    number: int

    @classmethod
    def of(cls, job: Job, worker: Worker) -> "Attempt":
        """The attempt that the row of a claimed job tells of."""
        return cls(job, worker, job.attempt)

    # folders

    @property
    def job_dir(self) -> Path:
        """What outlives the attempt: checkpoints, downloads."""
        return data_path("jobs", self.job.pk)

    @property
    def folder(self) -> Path:
        """Log, job.json and control.json."""
        return self.job_dir / f"attempt-{self.number}"

    @property
    def out_dir(self) -> Path:
        """Where the artifact grows. No other attempt writes here."""
        return out_dir(self.job.pk, self.number)

    def forget_output(self) -> None:
        """Remove what no artifact became."""
        shutil.rmtree(self.out_dir, ignore_errors=True)

    # the row

    def rows(self) -> QuerySet[Job]:
        """The job's row while the attempt is one's own; nothing afterwards."""
        return Job.objects.filter(pk=self.job.pk, attempt=self.number, host=self.job.host, state__in=ON_WORKER)

    def hold(self) -> None:
        """Within a transaction: nobody takes the job away before its end. AttemptLost when somebody has."""
        if self.rows().select_for_update().values("pk").first() is None:
            raise AttemptLost

    def write(self, **values: Any) -> None:
        """Change the job's row; AttemptLost when it is no longer one's own."""
        if self.rows().update(**values) != 1:
            raise AttemptLost

    def leave(self, to: State, *, frm: tuple[State, ...] = ON_WORKER, text: str = "", **values: Any) -> bool:
        """The job leaves the worker for `to`; device and worker are free with the same transaction.

        False when it is in none of the states `frm`; AttemptLost when it is no longer one's own.
        """
        with transaction.atomic():
            self.hold()
            values = {"pid": None, "pid_started": "", **values}
            moved = job_move(self.job, to, frm=frm, of_attempt=self.number, text=text, **values)
            if moved:
                job_release(self.job)
        return moved


def out_dir(job: int, attempt: int) -> Path:
    """The folder in which an attempt's artifact grows."""
    return data_path("tmp", f"job-{job}-attempt-{attempt}")


def job_release(job: Job) -> None:
    """Give the job's device back and let its worker go."""
    DeviceLease.objects.filter(job=job).delete()
    Worker.objects.filter(job=job).update(job=None)
