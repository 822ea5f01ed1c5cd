"""Datasets in the admin: rename, import again, curate rows, delete through the services. Numbers are never edited by hand."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from apps.core.row_admin import FoldedSearch, RowAdmin
from apps.datasets.models import Dataset, DatasetLookup, RowMark, Tokenization, TokenPreview
from apps.datasets.services import dataset_delete, dataset_import_again, dataset_rename, row_mark
from apps.datasets.tokenization_services import tokenization_again, tokenization_delete


class RowMarkInline(admin.TabularInline):
    model = RowMark
    fields = ["row", "excluded", "tags", "text", "note"]
    extra = 0
    show_change_link = True


@admin.register(Dataset)
class DatasetAdmin(RowAdmin):
    list_display = ["id", "name", "origin", "rows", "bytes", "text_column", "licence", "ready_at"]
    list_display_links = ["name"]
    list_filter = ["source", "licence"]
    search_fields = ["name", "origin"]
    editable = ("name",)
    inlines = [RowMarkInline]
    actions = ["delete_rows", "import_again"]

    @admin.action(description="Import again", permissions=["change"])
    def import_again(self, request: HttpRequest, rows: QuerySet[Dataset]) -> None:
        """Another try of imports that failed."""
        self.each(
            request, rows, lambda row: f"is imported by job {dataset_import_again(dataset=row, user=request.user).pk}"
        )

    def rename_row(self, row: Dataset) -> None:
        dataset_rename(dataset=row, name=row.name)

    def delete_row(self, row: Dataset) -> int:
        return dataset_delete(dataset=row)


@admin.register(DatasetLookup)
class DatasetLookupAdmin(RowAdmin):
    """What the Hub said; rows go by themselves after a day."""

    list_display = ["id", "repo_id", "created_at", "ready_at", "created_by"]
    search_fields = ["repo_id"]
    list_select_related = ["created_by"]
    actions = None


@admin.register(RowMark)
class RowMarkAdmin(FoldedSearch):
    list_display = ["dataset", "row", "excluded", "tags", "note"]
    list_display_links = ["row"]
    list_editable = ["excluded", "tags"]
    list_filter = ["excluded", "dataset"]
    search_fields = ["tags", "note", "text"]
    autocomplete_fields = ["dataset"]
    actions = ["leave_out", "take_in"]

    @admin.action(description="Leave out of new tokenizations")
    def leave_out(self, request: HttpRequest, marks: QuerySet[RowMark]) -> None:
        """Mark the rows as excluded."""
        self._set(request, marks, excluded=True)

    @admin.action(description="Take in again")
    def take_in(self, request: HttpRequest, marks: QuerySet[RowMark]) -> None:
        """Take the exclusion away; a mark without anything else on it goes."""
        self._set(request, marks, excluded=False)

    def _set(self, request: HttpRequest, marks: QuerySet[RowMark], *, excluded: bool) -> None:
        for mark in marks.select_related("dataset"):
            row_mark(dataset=mark.dataset, row=mark.row, excluded=excluded)
        self.message_user(request, "Done. New tokenizations honour it.")


@admin.register(Tokenization)
class TokenizationAdmin(RowAdmin):
    list_display = [
        "id",
        "dataset",
        "language_model",
        "context_length",
        "variant",
        "contexts",
        "heldout_contexts",
        "bytes",
        "ready_at",
    ]
    list_filter = ["dataset", "language_model"]
    list_select_related = ["dataset", "language_model"]
    actions = ["delete_rows", "tokenize_again"]

    def delete_row(self, row: Tokenization) -> int:
        return tokenization_delete(tokenization=row)

    @admin.action(description="Tokenize again after a failure", permissions=["delete_rows"])
    def tokenize_again(self, request: HttpRequest, rows: QuerySet[Tokenization]) -> None:
        """Queue another try of each; those that are ready are said."""
        self.each(
            request, rows, lambda row: f"is cut by job {tokenization_again(tokenization=row, user=request.user).pk}"
        )


@admin.register(TokenPreview)
class TokenPreviewAdmin(RowAdmin):
    list_display = ["id", "dataset", "language_model", "created_by", "created_at", "ready_at"]
    list_filter = ["dataset", "language_model"]
    list_select_related = ["dataset", "language_model", "created_by"]
    actions = None
