"""Django's entry for this app."""

from django.apps import AppConfig


class LanguageModelsConfig(AppConfig):
    name = "apps.language_models"
    label = "language_models"
    verbose_name = "Language models"
