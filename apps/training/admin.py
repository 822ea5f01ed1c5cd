"""Training runs in the admin: names can be changed, numbers not."""

from django.contrib import admin

from apps.core.row_admin import RowAdmin
from apps.training import services
from apps.training.models import Checkpoint, TrainingRun


@admin.register(TrainingRun)
class TrainingRunAdmin(RowAdmin):
    list_display = ["id", "name", "architecture", "d_sae", "step", "steps", "l0", "fvu", "created_at", "ready_at"]
    list_filter = ["architecture"]
    search_fields = ["name"]
    editable = ("name",)

    def rename_row(self, row: TrainingRun) -> None:
        services.training_rename(run=row, name=row.name)

    def delete_row(self, row: TrainingRun) -> int:
        return services.training_delete(run=row)


@admin.register(Checkpoint)
class CheckpointAdmin(RowAdmin):
    list_display = ["id", "run", "step", "bytes", "created_at"]

    def delete_row(self, row: Checkpoint) -> int:
        return services.checkpoint_delete(checkpoint=row)
