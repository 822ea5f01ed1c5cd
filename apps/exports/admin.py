"""Exports in the admin: to look at and to delete."""

from django.contrib import admin

from apps.core.row_admin import RowAdmin
from apps.exports import services
from apps.exports.models import Export


@admin.register(Export)
class ExportAdmin(RowAdmin):
    list_display = ["id", "file_name", "sae", "format", "bytes", "created_at", "ready_at"]
    list_filter = ["format"]

    def delete_row(self, row: Export) -> int:
        return services.export_delete(export=row)
