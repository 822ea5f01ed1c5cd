"""Django's entry for this app."""

from django.apps import AppConfig


class SaesConfig(AppConfig):
    name = "apps.saes"
    label = "saes"
    verbose_name = "SAEs"
