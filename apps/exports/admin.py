"""Exports in the admin: to look at and to delete."""

from django.contrib import admin

from apps.core.service_admin import ServiceAdmin
from apps.exports import services
from apps.exports.models import Export


@admin.register(Export)
class ExportAdmin(ServiceAdmin):
    list_display = ["id", "file_name", "sae", "format", "bytes", "created_at", "ready_at"]
    list_filter = ["format"]

    def delete_row(self, row: Export) -> None:
        services.export_delete(export=row)
