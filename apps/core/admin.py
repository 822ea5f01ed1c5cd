"""Settings, secrets and tokens in the admin: what exists, never a secret's value. Values are changed on the settings page.

django-q2's own rows are hidden: their pickles run code when they are loaded, and nobody needs them beside the jobs.
"""

from django.contrib import admin
from django.http import HttpRequest
from django_q.models import Failure, OrmQ, Schedule, Success

from apps.core.models import ApiToken, EntryLink, Secret, Setting

for model in (Failure, OrmQ, Schedule, Success):
    if admin.site.is_registered(model):
        admin.site.unregister(model)

admin.site.site_header = "miStudio"
admin.site.site_title = "miStudio admin"


class NoEditing(admin.ModelAdmin):
    """Rows that may be looked at and deleted."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Setting)
class SettingAdmin(NoEditing):
    list_display = ["name", "changed_at"]
    fields = ["name", "changed_at"]


@admin.register(Secret)
class SecretAdmin(NoEditing):
    list_display = ["name", "changed_at"]
    fields = ["name", "changed_at"]


@admin.register(ApiToken)
class ApiTokenAdmin(NoEditing):
    list_display = ["name", "user", "last_four", "is_read_only", "created_at", "expires_at", "used_at"]
    list_filter = ["is_read_only"]
    fields = list_display


@admin.register(EntryLink)
class EntryLinkAdmin(NoEditing):
    list_display = ["user", "created_at", "used_at"]
    fields = ["user", "created_at", "used_at"]
