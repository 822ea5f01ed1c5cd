"""What a runner is: the Django side of one job kind. `prepare` before the child starts, `finish` after it succeeded.

A runner never computes. It turns rows into paths (prepare), lines into rows (metrics, checkpoint) and a Result into rows
and a placed artifact (finish).
"""

from typing import Any, ClassVar

from apps.core.errors import AppError
from apps.jobs.models import Job
from apps.jobs.selectors import subject_of
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
