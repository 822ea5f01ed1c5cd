"""Experiments in the admin: look, and delete."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.errors import AppError
from apps.jobs.admin import ReadOnly
from apps.steering.models import Experiment, Generation
from apps.steering.services import experiment_delete


class GenerationInline(admin.TabularInline):
    model = Generation
    fields = ["condition", "text", "seed"]
    readonly_fields = fields
    extra = 0
    can_delete = False


@admin.register(Experiment)
class ExperimentAdmin(ReadOnly):
    list_display = ["id", "name", "sae", "prompt", "is_saved", "differs", "delta_norm", "created_at"]
    list_filter = ["is_saved", "differs", "sae"]
    list_select_related = ["sae"]
    search_fields = ["name", "prompt"]
    inlines = [GenerationInline]
    actions = ["delete_experiments"]

    @admin.action(description="Delete")
    def delete_experiments(self, request: HttpRequest, experiments: QuerySet[Experiment]) -> None:
        """One by one; what cannot be deleted is said."""
        for experiment in experiments:
            name = str(experiment)
            try:
                experiment_delete(experiment=experiment)
            except AppError as error:
                self.message_user(request, f"{error.message} {error.hint}", messages.ERROR)
            else:
                self.message_user(request, f"{name} deleted.")
