"""What a runner is: the Django side of one job kind. `prepare` before the child starts, `finish` after it succeeded.

A runner never computes. It turns rows into paths (prepare), lines into rows (metrics, checkpoint) and a Result into rows
and a placed artifact (finish).
"""

import shutil
from pathlib import Path
from typing import Any, ClassVar

from apps.core.errors import AppError
from apps.core.storage import artifact_remove, data_path
from apps.jobs.models import Job, Subject
from apps.jobs.selectors import subject_of
from apps.jobs.states import State
from workers.engine.specs.base import Inputs, Result, Spec


class Runner:
    """The base; one subclass per kind. All methods but `prepare` and `finish` have a harmless default."""

    spec: ClassVar[type[Spec]]
    inputs: ClassVar[type[Inputs]]
    result: ClassVar[type[Result]]

    def prepare(self, job: Job, spec: Any, where: dict[str, str]) -> Inputs:
        """The Inputs of the job: self.inputs(**where, …); `where` has job_dir, out_dir and device.

        Raises AppError when what the Spec refers to is gone or not ready.
        """
        raise NotImplementedError

    def finish(self, job: Job, spec: Any, result: Any, out_dir: str) -> None:
        """Place the artifact and write the rows, inside one transaction."""
        raise NotImplementedError

    def memory_bytes(self, spec: Any) -> int:
        """Estimated peak memory on the device, for the lease."""
        return 0

    def metrics(self, job: Job, points: list[dict[str, Any]]) -> None:
        """Points of the charts arrived: [{"member", "step", "values"}]."""

    def checkpoint(self, job: Job, line: dict[str, Any]) -> None:
        """A checkpoint lies complete: {"step", "path", "bytes", "values"}."""

    def discard(self, job: Job) -> None:
        """The job failed or was cancelled: undo what `metrics` or `checkpoint` wrote that means nothing now."""

    def subject(self, job: Job) -> Any:
        """The row that the job is about; AppError when it was deleted meanwhile."""
        row = subject_of(job)
        if row is None:
            raise AppError("subject_gone", f"{job.subject_name} was deleted.", "Start again.", status=410)
        return row


def folder_take_over(subject: Subject, job: Job, name: str) -> tuple[Path, Path] | None:
    """Move the folder `name` of a failed earlier try below this job, so that it goes on from there; that of a cancelled one
    goes. Returns old and new place of what was moved, None when nothing was."""
    earlier = subject.jobs.filter(pk__lt=job.pk).first()
    if earlier is None:
        return None
    source, target = data_path("jobs", earlier.pk, name), data_path("jobs", job.pk, name)
    if earlier.state == State.FAILED and source.exists() and not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
        return source, target
    if source.exists():
        artifact_remove(source)
    return None
