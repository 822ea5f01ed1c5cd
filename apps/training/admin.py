"""Training runs in the admin: names can be changed, numbers not; what a run's page can ask of it can be asked of several."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.errors import AppError
from apps.core.row_admin import RowAdmin
from apps.jobs import services as job_services
from apps.training import services
from apps.training.models import Checkpoint, TrainingRun
from apps.training.selectors import training_job


def _asks(service: Callable[..., None]) -> Callable[[TrainingRun], None]:
    return lambda run: service(job=training_job(run))


@admin.register(TrainingRun)
class TrainingRunAdmin(RowAdmin):
    list_display = ["id", "name", "architecture", "d_sae", "step", "steps", "l0", "fvu", "created_at", "ready_at"]
    list_filter = ["architecture"]
    search_fields = ["name"]
    editable = ("name",)
    actions: ClassVar[list[str]] = ["pause", "resume", "checkpoint", "finish", "stop", "retry", "delete_rows"]

    def rename_row(self, row: TrainingRun) -> None:
        services.training_rename(run=row, name=row.name)

    def delete_row(self, row: TrainingRun) -> int:
        return services.training_delete(run=row)

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, runs: QuerySet[TrainingRun]) -> None:
        self._each(request, runs, _asks(job_services.job_pause), "asked to pause")

    @admin.action(description="Resume", permissions=["change"])
    def resume(self, request: HttpRequest, runs: QuerySet[TrainingRun]) -> None:
        self._each(request, runs, _asks(job_services.job_resume), "queued again")

    @admin.action(description="Save a checkpoint", permissions=["change"])
    def checkpoint(self, request: HttpRequest, runs: QuerySet[TrainingRun]) -> None:
        self._each(request, runs, _asks(job_services.job_checkpoint), "asked for a checkpoint")

    @admin.action(description="Stop and keep the SAE", permissions=["change"])
    def finish(self, request: HttpRequest, runs: QuerySet[TrainingRun]) -> None:
        self._each(request, runs, _asks(job_services.job_finish), "asked to finish")

    @admin.action(description="Stop and keep nothing", permissions=["change"])
    def stop(self, request: HttpRequest, runs: QuerySet[TrainingRun]) -> None:
        self._each(request, runs, _asks(job_services.job_cancel), "asked to stop")

    @admin.action(description="Try again", permissions=["change"])
    def retry(self, request: HttpRequest, runs: QuerySet[TrainingRun]) -> None:
        self._each(request, runs, lambda run: services.training_retry(run=run, user=request.user), "queued again")

    def _each(
        self, request: HttpRequest, runs: QuerySet[TrainingRun], ask: Callable[[TrainingRun], Any], asked: str
    ) -> None:
        """Ask each run; what it refuses is said."""
        for run in runs:
            try:
                ask(run)
            except AppError as error:
                self.message_user(request, f"{run.name}: {error.message} {error.hint}", messages.ERROR)
            else:
                self.message_user(request, f"{run.name}: {asked}.")


@admin.register(Checkpoint)
class CheckpointAdmin(RowAdmin):
    list_display = ["id", "run", "step", "bytes", "created_at"]

    def delete_row(self, row: Checkpoint) -> int:
        return services.checkpoint_delete(checkpoint=row)
