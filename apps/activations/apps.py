"""Django's entry for this app."""

from django.apps import AppConfig


class ActivationsConfig(AppConfig):
    name = "apps.activations"
    label = "activations"
    verbose_name = "Activation caches"
