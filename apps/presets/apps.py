"""Django's entry for this app."""

from importlib import import_module

from django.apps import AppConfig


class PresetsConfig(AppConfig):
    name = "apps.presets"
    label = "presets"
    verbose_name = "Templates"

    def ready(self) -> None:
        """Loading `shipped` connects it: after each migration the shipped presets are brought up to date."""
        import_module("apps.presets.shipped")
