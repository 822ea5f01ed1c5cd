"""Samples in the admin: to look at and to delete."""

from django.contrib import admin
from django.http import HttpRequest

from apps.monitoring.models import Sample


@admin.register(Sample)
class SampleAdmin(admin.ModelAdmin):
    list_display = ["host", "at"]
    list_filter = ["host"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False
