"""Jobs in the admin: look, cancel, and put back into the queue. States are never edited by hand."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.errors import AppError
from apps.core.row_admin import FoldedSearch
from apps.jobs import services
from apps.jobs.models import DeviceLease, Job, JobEvent, Worker
from apps.jobs.states import State


class ReadOnly(FoldedSearch):
    """Rows that only services write."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class EventInline(admin.TabularInline):
    model = JobEvent
    fields = ["at", "attempt", "level", "text"]
    readonly_fields = fields
    extra = 0
    can_delete = False


@admin.register(Job)
class JobAdmin(ReadOnly):
    list_display = ["id", "title", "subject_name", "state", "queue", "priority", "attempt", "created_at"]
    list_filter = ["state", "queue", "kind"]
    search_fields = ["subject_name", "title"]
    inlines = [EventInline]
    actions = ["cancel", "requeue"]

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        """Cancel each; what cannot be cancelled is said."""
        for job in jobs:
            self._try(request, job, lambda job: services.job_cancel(job=job), "cancelled")

    @admin.action(description="Put back into the queue")
    def requeue(self, request: HttpRequest, jobs: QuerySet[Job]) -> None:
        """Paused and interrupted jobs go on; failed and cancelled ones are tried again as new jobs."""
        for job in jobs:
            again = job.state in (State.FAILED, State.CANCELLED)
            work = services.job_retry if again else services.job_resume
            self._try(request, job, lambda job, work=work: work(job=job), "queued again")

    def _try(self, request: HttpRequest, job: Job, work: object, done: str) -> None:
        try:
            work(job)
        except AppError as error:
            self.message_user(request, f"Job {job.pk}: {error.message} {error.hint}", messages.ERROR)
        else:
            self.message_user(request, f"Job {job.pk} {done}.")


@admin.register(Worker)
class WorkerAdmin(ReadOnly):
    list_display = ["host", "pid", "role", "job", "draining", "heartbeat_at"]


@admin.register(DeviceLease)
class DeviceLeaseAdmin(ReadOnly):
    list_display = ["host", "device", "job", "memory_bytes", "created_at"]
