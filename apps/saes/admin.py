"""SAEs and evaluations in the admin: names can be changed, numbers not."""

from django.contrib import admin

from apps.core.row_admin import RowAdmin
from apps.saes import services
from apps.saes.models import Evaluation, Sae


@admin.register(Sae)
class SaeAdmin(RowAdmin):
    list_display = ["id", "name", "source", "language_model", "layer", "site", "architecture", "d_sae", "bytes"]
    list_filter = ["source", "architecture", "site"]
    search_fields = ["name"]
    editable = ("name",)

    def rename_row(self, row: Sae) -> None:
        services.sae_rename(sae=row, name=row.name)

    def delete_row(self, row: Sae) -> int:
        return services.sae_delete(sae=row)


@admin.register(Evaluation)
class EvaluationAdmin(RowAdmin):
    list_display = ["id", "sae", "tokens", "fvu", "l0", "dead_share", "ce_recovered", "ready_at"]

    def delete_row(self, row: Evaluation) -> int:
        return services.evaluation_delete(evaluation=row)
