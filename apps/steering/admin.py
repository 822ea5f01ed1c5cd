"""Experiments in the admin: look, and delete."""

from django.contrib import admin

from apps.core.row_admin import RowAdmin
from apps.steering.models import Experiment, Generation
from apps.steering.services import experiment_delete


class GenerationInline(admin.TabularInline):
    model = Generation
    fields = ["condition", "text", "seed"]
    readonly_fields = fields
    extra = 0
    can_delete = False


@admin.register(Experiment)
class ExperimentAdmin(RowAdmin):
    list_display = ["id", "name", "sae", "prompt", "is_saved", "differs", "delta_norm", "created_at"]
    list_filter = ["is_saved", "differs", "sae"]
    list_select_related = ["sae"]
    search_fields = ["name", "prompt"]
    inlines = [GenerationInline]

    def delete_row(self, row: Experiment) -> int:
        """Texts are rows: no files go along."""
        experiment_delete(experiment=row)
        return 0
