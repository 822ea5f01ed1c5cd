"""Django's entry for this app."""

from django.apps import AppConfig

from apps.core.live.rendering import renderers_discover


class CoreConfig(AppConfig):
    name = "apps.core"
    label = "core"
    verbose_name = "Studio"

    def ready(self) -> None:
        renderers_discover()
