"""The admin of rows that services own: everything is shown, only names change, deletion frees the files as well."""

from typing import Any, ClassVar

from django.contrib import admin, messages
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from apps.core.errors import AppError


class ServiceAdmin(admin.ModelAdmin):
    """Subclasses write `delete_row`, and `rename_row` when `editable` holds "name"."""

    editable: ClassVar[tuple[str, ...]] = ()

    def delete_row(self, row: Any) -> None:
        """Call the service that deletes the row and its files."""
        raise NotImplementedError

    def rename_row(self, row: Any) -> None:
        """Call the service that renames the row to row.name."""
        raise NotImplementedError

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return bool(self.editable) and super().has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        return [field.name for field in self.opts.fields if field.name not in self.editable]

    def save_model(self, request: HttpRequest, obj: Model, form: Any, change: bool) -> None:
        self.rename_row(obj)

    def delete_model(self, request: HttpRequest, obj: Model) -> None:
        self.delete_row(obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet) -> None:
        for row in queryset:
            self.delete_row(row)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """A refusal becomes a message on the row's page."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except AppError as error:
            self.message_user(request, f"{error.message} {error.hint}", messages.ERROR)
            return redirect(reverse(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", args=[object_id]))
