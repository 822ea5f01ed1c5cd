"""Presets in the admin: curate names, descriptions and favourites."""

from django.contrib import admin

from apps.presets.models import Preset


@admin.register(Preset)
class PresetAdmin(admin.ModelAdmin):
    list_display = ["name", "kind", "is_favourite", "use_count", "changed_at"]
    list_filter = ["kind", "is_favourite"]
    search_fields = ["name", "description"]
    readonly_fields = ["use_count"]
