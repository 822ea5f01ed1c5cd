"""Language models in the admin: rename, import again, quantize, delete through the services; look-ups are only read."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.row_admin import RowAdmin
from apps.language_models import services
from apps.language_models.models import LanguageModel, LanguageModelLookup
from workers.engine.specs.language_models import (
    LanguageModelCheckSpec,
    LanguageModelQuantizeSpec,
    VocabularyRebuildSpec,
)


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
    actions = [
        "delete_rows",
        "import_again",
        "check_weights",
        "rebuild_vocabulary",
        "quantize_to_int8",
        "quantize_to_nf4",
        "quantize_as_published",
    ]

    def rename_row(self, row: LanguageModel) -> None:
        services.language_model_rename(language_model=row, name=row.name)

    def delete_row(self, row: LanguageModel) -> int:
        return services.language_model_delete(language_model=row)

    @admin.action(description="Import again", permissions=["change"])
    def import_again(self, request: HttpRequest, rows: QuerySet[LanguageModel]) -> None:
        """Another try of imports that failed."""

        def again(row: LanguageModel) -> str:
            return (
                f"is imported by job {services.language_model_import_again(language_model=row, user=request.user).pk}"
            )

        self.each(request, rows, again)

    @admin.action(description="Check weights", permissions=["change"])
    def check_weights(self, request: HttpRequest, rows: QuerySet[LanguageModel]) -> None:
        """Read the weights again and hold them against the import's hash."""

        def start(row: LanguageModel) -> str:
            services.language_model_check(spec=LanguageModelCheckSpec(language_model=row.pk), user=request.user)
            return "is being checked"

        self.each(request, rows, start)

    @admin.action(description="Rebuild vocabulary", permissions=["change"])
    def rebuild_vocabulary(self, request: HttpRequest, rows: QuerySet[LanguageModel]) -> None:
        """Store the vocabularies again, as this version of the studio reads them."""

        def start(row: LanguageModel) -> str:
            services.vocabulary_rebuild(spec=VocabularyRebuildSpec(language_model=row.pk), user=request.user)
            return "has its vocabulary stored again"

        self.each(request, rows, start)

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
        def start(row: LanguageModel) -> str:
            spec = LanguageModelQuantizeSpec(language_model=row.pk, quantization=quantization)
            services.language_model_quantize(spec=spec, user=request.user)
            return "is being quantized"

        self.each(request, rows, start)


@admin.register(LanguageModelLookup)
class LanguageModelLookupAdmin(RowAdmin):
    """What the Hub said; rows go by themselves after a day."""

    list_display = ["id", "repo_id", "created_at", "ready_at", "created_by"]
    search_fields = ["repo_id"]
    list_select_related = ["created_by"]
    actions = None
