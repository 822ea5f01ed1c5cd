"""Language models in the admin: rename, import again, quantize, delete through the services; look-ups are only read."""

from collections.abc import Callable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.errors import AppError
from apps.core.row_admin import RowAdmin
from apps.language_models import services
from apps.language_models.models import LanguageModel, LanguageModelLookup
from workers.engine.specs.language_models import LanguageModelQuantizeSpec


@admin.register(LanguageModel)
class LanguageModelAdmin(RowAdmin):
    list_display = [
        "id",
        "name",
        "origin",
        "model_type",
        "layers",
        "d_model",
        "parameters",
        "quantization",
        "bytes",
        "ready_at",
    ]
    list_display_links = ["name"]
    list_filter = ["source", "model_type", "quantization", "licence"]
    search_fields = ["name", "origin"]
    editable = ("name",)
    actions = ["delete_rows", "import_again", "quantize_to_int8", "quantize_to_nf4", "quantize_as_published"]

    def rename_row(self, row: LanguageModel) -> None:
        services.language_model_rename(language_model=row, name=row.name)

    def delete_row(self, row: LanguageModel) -> int:
        return services.language_model_delete(language_model=row)

    @admin.action(description="Import again", permissions=["change"])
    def import_again(self, request: HttpRequest, rows: QuerySet[LanguageModel]) -> None:
        """Another try of imports that failed."""
        self._each(
            request,
            rows,
            lambda row: services.language_model_import_again(language_model=row, user=request.user),
            "is imported again",
        )

    @admin.action(description="Quantize to 8-bit", permissions=["change"])
    def quantize_to_int8(self, request: HttpRequest, rows: QuerySet[LanguageModel]) -> None:
        """Hold the models in 8-bit."""
        self._quantize(request, rows, "int8")

    @admin.action(description="Quantize to 4-bit", permissions=["change"])
    def quantize_to_nf4(self, request: HttpRequest, rows: QuerySet[LanguageModel]) -> None:
        """Hold the models in 4-bit."""
        self._quantize(request, rows, "nf4")

    @admin.action(description="Hold as published", permissions=["change"])
    def quantize_as_published(self, request: HttpRequest, rows: QuerySet[LanguageModel]) -> None:
        """Hold the models as they were published."""
        self._quantize(request, rows, "auto")

    def _quantize(self, request: HttpRequest, rows: QuerySet[LanguageModel], quantization: str) -> None:
        def start(row: LanguageModel) -> None:
            spec = LanguageModelQuantizeSpec(language_model=row.pk, quantization=quantization)
            services.language_model_quantize(spec=spec, user=request.user)

        self._each(request, rows, start, "is being quantized")

    def _each(
        self, request: HttpRequest, rows: QuerySet[LanguageModel], act: Callable[[LanguageModel], Any], done: str
    ) -> None:
        """Act on each row and say what came of it; a refusal does not keep the others from it."""
        for row in rows:
            try:
                act(row)
            except AppError as error:
                self.message_user(request, f"{row}: {error.message} {error.hint}", messages.ERROR)
            else:
                self.message_user(request, f"{row} {done}.")


@admin.register(LanguageModelLookup)
class LanguageModelLookupAdmin(admin.ModelAdmin):
    """What the Hub said; rows go by themselves after a day."""

    list_display = ["id", "repo_id", "created_at", "ready_at"]
    search_fields = ["repo_id"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: LanguageModelLookup | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: LanguageModelLookup | None = None) -> bool:
        return False
