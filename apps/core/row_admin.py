"""The admin of rows that services own: all is shown, only names change, deletion frees the files as well."""

from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from apps.core.errors import AppError
from apps.core.search import found_by
from apps.core.templatetags.studio import bytes_words


class FoldedSearch(admin.ModelAdmin):
    """Searches its `search_fields` as the lists of the studio do: each word in one of them."""

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> tuple[Any, bool]:
        for word in search_term.split():
            queryset = found_by(queryset, word, *self.get_search_fields(request))
        return queryset, False


class RowAdmin(FoldedSearch):
    """Subclasses write `delete_row`, and `rename_row` when `editable` holds "name"."""

    editable: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that a person may change."""
    actions = ["delete_rows"]

    def delete_row(self, row: Any) -> int:
        """Call the service that deletes the row with its files; bytes freed."""
        raise NotImplementedError

    def rename_row(self, row: Any) -> None:
        """Call the service that gives the row the name in row.name."""
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(self.editable) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Django's own deletion would leave the files: the action below calls the service."""
        return False

    def has_delete_rows_permission(self, request: HttpRequest) -> bool:
        """Who may delete by Django's permissions may use the action."""
        return super().has_delete_permission(request)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [field.name for field in self.opts.fields if field.name not in self.editable]

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        self.rename_row(obj)

    @admin.action(description="Delete with files", permissions=["delete_rows"])
    def delete_rows(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        """Delete each; what is still used is said."""
        self.each(request, rows, lambda row: f"deleted; {bytes_words(self.delete_row(row))} freed")

    def each(self, request: HttpRequest, rows: QuerySet[Any], act: Callable[[Any], str]) -> None:
        """Act on each row and say what came of it, in the words that `act` returns; a refusal leaves the others their turn."""
        for row in rows:
            name = str(row)  # some names hold the id, which deletion takes away
            try:
                words = act(row)
            except AppError as error:
                self.message_user(request, f"{name}: {error.message} {error.hint}", messages.ERROR)
            else:
                self.message_user(request, f"{name} {words}.")
