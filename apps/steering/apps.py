"""Django's entry for this app."""

from django.apps import AppConfig


class SteeringConfig(AppConfig):
    name = "apps.steering"
    label = "steering"
    verbose_name = "Steering"
