"""Language models in the admin: rename, delete through the service."""

from django.contrib import admin

from apps.core.row_admin import RowAdmin
from apps.language_models.models import LanguageModel
from apps.language_models.services import language_model_delete, language_model_rename


@admin.register(LanguageModel)
class LanguageModelAdmin(RowAdmin):
    list_display = ["id", "name", "origin", "model_type", "layers", "d_model", "parameters", "bytes", "ready_at"]
    list_display_links = ["name"]
    list_filter = ["source", "model_type", "licence"]
    search_fields = ["name", "origin"]
    editable = ("name",)

    def rename_row(self, row: LanguageModel) -> None:
        language_model_rename(language_model=row, name=row.name)

    def delete_row(self, row: LanguageModel) -> int:
        return language_model_delete(language_model=row)
