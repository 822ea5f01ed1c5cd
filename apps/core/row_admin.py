"""The base of admin pages for rows that jobs make: read-only but for named fields, deleted through their service."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from apps.core.errors import AppError
from apps.core.templatetags.studio import bytes_words


class ServedAdmin(admin.ModelAdmin):
    """Subclasses write `delete_row`; `editable` names what a person may change."""

    editable: tuple[str, ...] = ()
    actions = ["delete_rows"]

    def delete_row(self, row: Any) -> int:
        """Call the service; bytes freed."""
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        """Django's own deletion would leave the files: the action below calls the service."""
        return False

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [f.name for f in self.model._meta.fields if f.name not in self.editable]

    @admin.action(description="Delete with files")
    def delete_rows(self, request: HttpRequest, rows: QuerySet[Any]) -> None:
        """Delete each; what is still used is said."""
        for row in rows:
            try:
                freed = self.delete_row(row)
            except AppError as error:
                self.message_user(request, f"{row}: {error.message} {error.hint}", messages.ERROR)
            else:
                self.message_user(request, f"{row} deleted; {bytes_words(freed)} freed.")
