"""Presets in the admin: curate names, descriptions and favourites, through the services."""

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Model
from django.http import HttpRequest

from apps.core.row_admin import RowAdmin
from apps.presets.models import Preset
from apps.presets.services import preset_delete


@admin.register(Preset)
class PresetAdmin(RowAdmin):
    editable: ClassVar[tuple[str, ...]] = ("name", "description", "is_favourite")
    list_display = ["name", "kind", "is_favourite", "is_shipped", "use_count", "changed_at"]
    list_filter = ["kind", "is_favourite", "is_shipped"]
    search_fields = ["name", "description", "source"]

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Shipped ones stay as they are."""
        is_shipped = isinstance(obj, Preset) and obj.is_shipped
        return not is_shipped and super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Preset, form: Any, change: bool) -> None:
        """The three fields that may change; Django has checked that the name is free."""
        obj.save(update_fields=[*self.editable, "changed_at"])

    def delete_row(self, row: Preset) -> int:
        preset_delete(preset=row)
        return 0
