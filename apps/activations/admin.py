"""Activation caches in the admin: look, delete through the service."""

from django.contrib import admin

from apps.activations.models import ActivationCache
from apps.activations.services import activation_cache_delete
from apps.core.row_admin import RowAdmin


@admin.register(ActivationCache)
class ActivationCacheAdmin(RowAdmin):
    list_display = ["id", "language_model", "layer", "site", "tokens", "d_in", "bytes", "ready_at"]
    list_filter = ["language_model", "site"]
    list_select_related = ["language_model"]

    def delete_row(self, row: ActivationCache) -> int:
        return activation_cache_delete(activation_cache=row)
