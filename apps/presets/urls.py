"""Addresses of presets; pages come with the preset forms."""

from django.urls import URLPattern

app_name = "presets"

urlpatterns: list[URLPattern] = []
