"""Language models in the admin: rename, delete through the service."""

from django.contrib import admin
from django.http import HttpRequest

from apps.core.row_admin import ServedAdmin
from apps.language_models.models import LanguageModel
from apps.language_models.services import language_model_delete, language_model_rename


@admin.register(LanguageModel)
class LanguageModelAdmin(ServedAdmin):
    list_display = ["id", "name", "origin", "model_type", "layers", "d_model", "parameters", "bytes", "ready_at"]
    list_display_links = ["name"]
    list_filter = ["source", "model_type", "licence"]
    search_fields = ["name", "origin"]
    editable = ("name",)

    def save_model(self, request: HttpRequest, obj: LanguageModel, form: object, change: bool) -> None:
        language_model_rename(language_model=obj, name=obj.name)

    def delete_row(self, row: LanguageModel) -> int:
        return language_model_delete(language_model=row)
